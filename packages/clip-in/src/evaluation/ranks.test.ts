/** Recall and top-k against a formula written otherwise: all similarities sorted in float64, ties put before the right one. */

import { init } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { ClassificationScore } from './classification';
import type { Embeddings } from './ranks';
import { retrievalFigures } from './retrieval';

beforeAll(() => init({ device: 'wasm', threads: 1 }).then(() => undefined));

/** Unit rows of a few coarse values, so that ties and equal rows are many. */
const coarse = (width: number) =>
  fc
    .array(fc.integer({ min: -2, max: 2 }), { minLength: width, maxLength: width })
    .map((values) => (values.every((value) => value === 0) ? values.map(() => 1) : values))
    .map((values) => {
      const norm = Math.hypot(...values);
      return values.map((value) => Math.fround(value / norm));
    });

const embeddings = (rows: readonly (readonly number[])[], width: number): Embeddings => ({
  rows: Float32Array.from(rows.flat()),
  count: rows.length,
  width,
});

/** In another way than the code: a list sorted by similarity, the right ones last among equals. */
function foundAt(similarities: readonly number[], isOwn: (i: number) => boolean): number {
  const order = similarities
    .map((value, i) => ({ value, own: isOwn(i) }))
    .sort((a, b) => b.value - a.value || Number(a.own) - Number(b.own));
  return order.findIndex(({ own }) => own);
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, k) => sum + value * b[k]!, 0);
const share = (found: readonly boolean[]): number => (100 * found.filter(Boolean).length) / found.length;
const rowOf = (figures: { rows: readonly { name: string; value: number }[] }, name: string): number =>
  figures.rows.find((row) => row.name === name)!.value;

describe('retrieval', () => {
  it('is recall by brute force, with any number of captions an image', async () => {
    const width = 3;
    const item = fc.record({
      image: coarse(width),
      captions: fc.array(coarse(width), { minLength: 1, maxLength: 6 }),
    });
    await checkProperty(
      fc.asyncProperty(fc.array(item, { minLength: 1, maxLength: 14 }), async (items) => {
        const captions = items.flatMap((one) => one.captions);
        const owners = items.flatMap((one, i) => one.captions.map(() => i));
        const figures = await retrievalFigures(
          embeddings(
            items.map(({ image }) => image),
            width,
          ),
          embeddings(captions, width),
          owners,
        );
        for (const k of [1, 5, 10]) {
          const toText = items.map(
            ({ image }, i) =>
              foundAt(
                captions.map((caption) => dot(image, caption)),
                (c) => owners[c] === i,
              ) < k,
          );
          const toImage = captions.map(
            (caption, c) =>
              foundAt(
                items.map(({ image }) => dot(caption, image)),
                (i) => owners[c] === i,
              ) < k,
          );
          expect(rowOf(figures, `image to text, R@${k}`)).toBeCloseTo(share(toText), 9);
          expect(rowOf(figures, `text to image, R@${k}`)).toBeCloseTo(share(toImage), 9);
        }
      }),
      { numRuns: 60 },
    );
  });

  /** `n` rows at right angles. */
  const axes = (n: number) =>
    Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, k) => Number(i === k)));

  it('is 100 for a model that is always right, and 0 for one that always takes the next', async () => {
    const images = embeddings(axes(12), 12);
    const all = await retrievalFigures(
      images,
      images,
      axes(12).map((_, i) => i),
    );
    expect(all.rows.map(({ value }) => value)).toEqual([100, 100, 100, 100, 100, 100]);
    expect([all.main, all.notes]).toEqual([100, []]);
    const next = await retrievalFigures(
      images,
      images,
      axes(12).map((_, i) => (i + 1) % 12),
    );
    expect(rowOf(next, 'image to text, R@1')).toBe(0);
    expect(rowOf(next, 'text to image, R@1')).toBe(0);
  });

  it('gives nothing to a model that says the same of everything, and says what ties hide', async () => {
    const same = embeddings(
      axes(12).map(() => [1, 0, 0]),
      3,
    );
    const figures = await retrievalFigures(
      same,
      same,
      axes(12).map((_, i) => i),
    );
    expect(figures.rows.map(({ value }) => value)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(figures.notes?.[0]).toMatch(/12 queries tie.*would be 100\.0/);
  });

  it('takes the best of an image’s captions', async () => {
    const images = embeddings(
      [
        [1, 0],
        [0, 1],
      ],
      2,
    );
    // The first image has two poor captions and a good one; the second a caption that looks like the first image.
    const captions = embeddings(
      [
        [0, 1],
        [-1, 0],
        [1, 0],
        [0.6, 0.8],
      ],
      2,
    );
    const figures = await retrievalFigures(images, captions, [0, 0, 0, 1]);
    expect(rowOf(figures, 'image to text, R@1')).toBe(50);
    expect(rowOf(figures, 'text to image, R@1')).toBe(50);
    expect(figures.rows.map(({ count }) => count)).toEqual([2, 2, 2, 4, 4, 4]);
  });

  it('holds equal captions for equal wherever they stand among thousands', async () => {
    const width = 64;
    const random = (seed: number) => {
      const values = Array.from(
        { length: width },
        (_, k) => (Math.sin(seed * 12.9898 + k * 78.233) * 43758.5453) % 1,
      );
      const norm = Math.hypot(...values);
      return values.map((value) => Math.fround(value / norm));
    };
    const rows = Array.from({ length: 3000 }, (_, i) => random(i));
    const captions = [...rows, rows[0]!, rows[1500]!, rows[2999]!];
    const owners = [...rows.keys(), 7, 8, 9];
    const figures = await retrievalFigures(embeddings(rows, width), embeddings(captions, width), owners);
    // Images 0, 1500 and 2999 have a caption that another image has too.
    expect(rowOf(figures, 'image to text, R@1')).toBeCloseTo((100 * 2997) / 3000, 9);
    expect(rowOf(figures, 'text to image, R@1')).toBeCloseTo((100 * 3000) / 3003, 9);
    expect(figures.notes?.join()).toContain('3 queries tie');
  });
});

describe('classification', () => {
  const figuresOf = async (
    classes: readonly string[],
    rows: number[][],
    images: number[][],
    labels: number[],
  ) => {
    const width = rows[0]!.length;
    const score = new ClassificationScore(classes, embeddings(rows, width));
    await score.add(embeddings(images, width), labels);
    return score;
  };

  it('is top-1, top-5 and the mean of the classes by brute force', async () => {
    const width = 3;
    await checkProperty(
      fc.asyncProperty(
        fc.array(coarse(width), { minLength: 6, maxLength: 9 }),
        fc.array(fc.record({ image: coarse(width), label: fc.nat(5) }), { minLength: 1, maxLength: 20 }),
        async (rows, items) => {
          const names = rows.map((_, i) => `class ${i}`);
          const score = await figuresOf(
            names,
            rows,
            items.map(({ image }) => image),
            items.map(({ label }) => label),
          );
          const places = items.map(({ image, label }) =>
            foundAt(
              rows.map((row) => dot(image, row)),
              (i) => i === label,
            ),
          );
          const classes = [...new Set(items.map(({ label }) => label))];
          const perClass = classes.map((c) =>
            share(places.flatMap((place, i) => (items[i]!.label === c ? [place < 1] : []))),
          );
          const figures = score.figures('mean per class');
          expect(rowOf(figures, 'top-1')).toBeCloseTo(share(places.map((place) => place < 1)), 9);
          expect(rowOf(figures, 'top-5')).toBeCloseTo(share(places.map((place) => place < 5)), 9);
          expect(figures.main).toBeCloseTo(
            perClass.reduce((sum, value) => sum + value, 0) / perClass.length,
            9,
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it('takes the first of two classes of one name, as an argmax does, and no other that ties', async () => {
    const rows = [
      [1, 0],
      [0, 1],
      [1, 0],
      [1, 0],
    ];
    const score = await figuresOf(
      ['missile', 'wall', 'missile', 'rocket'],
      rows,
      [
        [1, 0],
        [1, 0],
        [1, 0],
      ],
      [0, 2, 3],
    );
    // Class 0 ties with "rocket", class 2 with the first missile too.
    expect(score.figures('top-1').main).toBe(0);
    const alone = await figuresOf(
      ['missile', 'wall', 'missile'],
      rows.slice(0, 3),
      [
        [1, 0],
        [1, 0],
      ],
      [0, 2],
    );
    expect(alone.figures('top-1').main).toBe(50);
    expect(alone.figures('top-1').notes?.join()).toContain('“missile”');
  });

  it('weighs every class alike in the mean, and says which have no image', async () => {
    const images = [
      [1, 0],
      [1, 0],
      [1, 0],
      [1, 0],
    ];
    const figures = (
      await figuresOf(
        ['a', 'b', 'c'],
        [
          [1, 0],
          [0, 1],
          [-1, 0],
        ],
        images,
        [0, 0, 0, 1],
      )
    ).figures('top-1');
    expect(figures.main).toBe(75);
    expect(rowOf(figures, 'mean of the classes')).toBe(50);
    expect(figures.notes).toEqual(['1 of 3 classes have no image.']);
  });
});
