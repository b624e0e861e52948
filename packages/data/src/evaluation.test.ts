import { expect, test } from 'vitest';
import { loadArt } from './art/art';
import { EDIT_KIND_NAMES } from './edits/edit';
import { classificationSet, gallery, renderScenes, testPairs } from './evaluation';
import { createRenderer } from './scenes/render';
import { splitOf } from './scenes/splits';
import { handsForScenes } from './world';

test('test pairs: as many of each kind, all of the test split, all drawn by the hand', () => {
  for (const hand of ['noto', 'emojione'] as const) {
    const pairs = testPairs({ hand, perKind: 5 });
    for (const kind of EDIT_KIND_NAMES) expect(pairs.filter((pair) => pair.kind === kind)).toHaveLength(5);
    for (const { source, target } of pairs) {
      expect(splitOf(source)).toBe('test');
      expect(handsForScenes([source, target], [hand])).toEqual([hand]);
    }
  }
  expect(testPairs({ hand: 'noto', perKind: 3 })).toEqual(testPairs({ hand: 'noto', perKind: 3 }));
});

test('galleries: all captions differ', () => {
  const scenes = gallery({ hand: 'noto', size: 300, split: 'validation' });
  expect(new Set(scenes.map(({ short }) => short)).size).toBe(300);
  expect(new Set(scenes.map(({ long }) => long)).size).toBe(300);
});

test('classification: each item once, with its own prompt', () => {
  const { items, prompts, scenes } = classificationSet({ hand: 'noto' });
  expect(scenes).toHaveLength(items.length);
  expect(new Set(prompts).size).toBe(items.length);
  expect(prompts).toContain('a picture of an open book');
  const renderer = createRenderer(loadArt(['noto']));
  expect(renderScenes(renderer, scenes, 'noto')).toHaveLength(items.length * 48 * 48 * 3);
});

test('bad input is refused by name', () => {
  expect(() => testPairs({ hand: 'noto', perKind: 0 })).toThrow(
    /perKind must be a whole number from 1 up, got 0/,
  );
  expect(() => gallery({ hand: 'nobody' as 'noto', size: 3 })).toThrow(/no hand is called "nobody"/);
});
