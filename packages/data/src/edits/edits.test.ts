import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Art, loadArt } from '../art/art';
import { HANDS } from '../art/hands';
import { type Mention, shortCaption, WORDINGS } from '../scenes/captions';
import { createRenderer } from '../scenes/render';
import type { Scene } from '../scenes/scene';
import { SPLITS, splitOf } from '../scenes/splits';
import { editAt, handsForScenes } from '../world';
import { EDIT_KIND_NAMES, type EditKind, PATTERNS } from './edit';

let art: Art;
beforeAll(() => {
  art = loadArt(HANDS);
});

const anyEdit = fc
  .tuple(fc.nat(1e6), fc.constantFrom(...SPLITS), fc.nat(1e9), fc.constantFrom(...EDIT_KIND_NAMES))
  .map(([seed, split, index, kind]) => ({ split, ...editAt(seed, split, index, [kind]) }));

const ASPECTS = ['background', 'relation', 'place', 'size', 'facing', 'view', 'upright', 'only'] as const;
const MENTIONS: Mention[] = [
  {},
  ...ASPECTS.flatMap((aspect) => [{ [aspect]: true }, { [aspect]: true, of: [0] }]),
];

/** Everything the grammar could say of a scene, one aspect at a time. */
const sayable = (scene: Scene) =>
  new Set(
    MENTIONS.flatMap((mention) =>
      Array.from({ length: WORDINGS }, (_, wording) => shortCaption(scene, mention, wording)),
    ),
  );

describe('edits', () => {
  test('all nine patterns are covered', () => {
    const covered = new Set(EDIT_KIND_NAMES.map((kind) => editAt(0, 'train', 0, [kind]).pattern));
    expect([...covered].sort()).toEqual([...PATTERNS].sort());
  });

  test('each caption is true of its own scene, and the grammar could not say it of the other', () => {
    checkProperty(
      fc.property(anyEdit, ({ source, target, sourceCaption, targetCaption }) => {
        const [ofSource, ofTarget] = [sayable(source), sayable(target)];
        expect(ofSource.has(sourceCaption)).toBe(true);
        expect(ofTarget.has(targetCaption)).toBe(true);
        expect(ofTarget.has(sourceCaption), `${sourceCaption} | ${targetCaption}`).toBe(false);
        expect(ofSource.has(targetCaption), `${sourceCaption} | ${targetCaption}`).toBe(false);
      }),
      { numRuns: 600 },
    );
  });

  test('both scenes belong to the split', () => {
    checkProperty(
      fc.property(anyEdit, ({ split, source, target }) => {
        expect([splitOf(source), splitOf(target)]).toEqual([split, split]);
      }),
      { numRuns: 300 },
    );
  });

  test('the pictures differ visibly by every hand', () => {
    const renderer = createRenderer(art, { scale: 'unit' });
    checkProperty(
      fc.property(anyEdit, ({ source, target }) => {
        for (const hand of handsForScenes([source, target])) {
          const [a, b] = [renderer.render(source, hand), renderer.render(target, hand)];
          const changed = a.filter((value, i) => Math.abs(value - b[i]!) > 0.1).length;
          expect(changed, `${JSON.stringify(source)} by ${hand}`).toBeGreaterThanOrEqual(20);
        }
      }),
      { numRuns: 600 },
    );
  });

  test('what an edit does not touch stays where it is', () => {
    checkProperty(
      fc.property(anyEdit, ({ kind, source, target }) => {
        if (kind !== 'background') expect(target.background).toBe(source.background);
        const untouched = source.objects.filter((object) =>
          target.objects.some((other) => JSON.stringify(other) === JSON.stringify(object)),
        );
        const expected: Partial<Record<EditKind, number>> = {
          background: source.objects.length,
          swap: 0,
          add: source.objects.length,
          remove: target.objects.length,
          count: Math.min(source.objects.length, target.objects.length),
        };
        expect(untouched.length).toBe(expected[kind] ?? source.objects.length - 1);
      }),
      { numRuns: 400 },
    );
  });

  test('a kind that is not there is refused with the list', () => {
    expect(() => editAt(0, 'train', 0, ['paint' as EditKind])).toThrow(
      /no kind of edit is called "paint"; there are mirror/,
    );
    expect(() => editAt(0, 'train', 0, [])).toThrow(/there are mirror/);
  });
});
