import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { published } from './published';
import { suiteList, suites, suitesNamed } from './suites';

it('have names that differ, and that the documentation and the published figures know', () => {
  const names = suites.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names.every((name) => /^[a-z0-9]+(-[a-z0-9]+)*$/.test(name))).toBe(true);
  expect(names).toEqual(expect.arrayContaining(Object.keys(published)));
  const text = readFileSync(join(import.meta.dirname, '../../../../docs/evaluation.md'), 'utf8');
  for (const name of names) expect(text).toContain(`\`${name}\``);
  for (const { layout } of suites) expect(suiteList()).toContain(layout);
});

it('are found by name, in the order of the names, and unknown ones are told with all there are', () => {
  expect(suitesNamed(['coco', 'mmvp-vlm', 'coco']).map(({ name }) => name)).toEqual(['coco', 'mmvp-vlm']);
  expect(() => suitesNamed(['coco', 'mmvp', ''])).toThrow(
    /there is no suite "mmvp", ""; there are mmvp-vlm, .*captions$/,
  );
  expect(() => suitesNamed([])).toThrow('name at least one suite');
});
