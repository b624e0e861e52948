import { join } from 'node:path';
import { randomAt } from '@clipin/data';
import { checkProperty, collect, writeFiles } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { spec } from './spec';
import { type Answer, isSkipped } from './suite';

const subsets = [
  'absolute_size',
  'relative_size',
  'absolute_spatial',
  'relative_spatial',
  'existence',
  'count',
];
const texts = ['a photo of one apple.', 'a photo of two apples.', 'a photo of three apples.'];
const names = ['images/1/0.png', 'images/1/1.png', 'images/1/2.png'];
/** One question each way in each of the six folders, as data.zip has them. */
const files = (): Record<string, string> =>
  Object.fromEntries(
    subsets.flatMap((subset) => [
      [`${subset}/image2text.json`, JSON.stringify([{ query: names[1], keys: texts, label: 1 }])],
      [`${subset}/text2image.json`, JSON.stringify([{ query: texts[2], keys: names, label: 2 }])],
      ...names.map((name) => [`${subset}/${name}`, '']),
    ]),
  );

async function read(directory: string) {
  const items = await collect(spec.read(directory));
  return {
    questions: items.flatMap((one) => (isSkipped(one) ? [] : [one])),
    skipped: items.filter(isSkipped),
  };
}

describe('reading', () => {
  it('reads both directions of six folders, paths being relative to the folder', async () => {
    for (const above of ['', 'data/']) {
      const directory = writeFiles(
        Object.fromEntries(Object.entries(files()).map(([path, content]) => [above + path, content])),
      );
      const { questions, skipped } = await read(directory);
      expect(skipped).toEqual([]);
      expect(questions).toHaveLength(12);
      const folder = join(directory, above, 'count');
      expect(questions.slice(10)).toEqual([
        {
          id: 'count/text2image 0',
          images: names.map((name) => join(folder, name)),
          texts: [texts[2]],
          group: 'text to image/count',
          answer: 2,
        },
        {
          id: 'count/image2text 0',
          images: [join(folder, names[1]!)],
          texts,
          group: 'image to text/count',
          answer: 1,
        },
      ]);
    }
  });

  it('skips questions without an image or with a label that is none of the keys', async () => {
    const items = [
      { query: texts[0], keys: [names[0], 'images/9/0.png'], label: 0 },
      { query: texts[0], keys: names, label: 3 },
      { query: texts[0], keys: names.slice(0, 1), label: 0 },
      { query: texts[0], keys: names },
    ];
    const directory = writeFiles({ ...files(), 'count/text2image.json': JSON.stringify(items) });
    const { questions, skipped } = await read(directory);
    expect(questions).toHaveLength(11);
    expect(skipped).toEqual([
      { skipped: 'count/text2image 0', reason: `no image images/9/0.png in ${join(directory, 'count')}` },
      { skipped: 'count/text2image 1', reason: expect.stringContaining('label is none of the keys') },
      { skipped: 'count/text2image 2', reason: expect.stringContaining('keys') },
      { skipped: 'count/text2image 3', reason: expect.stringContaining('label') },
    ]);
  });

  it('says what is missing', async () => {
    const { 'existence/image2text.json': _, ...rest } = files();
    await expect(read(writeFiles(rest))).rejects.toThrow(
      /^SPEC: existence\/image2text\.json not found in .*Expected: the unpacked data\.zip/,
    );
  });
});

const answer = (group: string, right: number, scores: readonly number[]): Answer => ({
  question: { id: '', images: [''], texts: scores.map(() => ''), group, answer: right },
  scores: Float32Array.from(scores),
});
const groups = ['text to image', 'image to text'].flatMap((direction) =>
  subsets.map((subset) => `${direction}/${subset}`),
);

describe('scoring', () => {
  it('averages subsets by direction, then directions', () => {
    const { main, rows, notes } = spec.score([
      answer('image to text/count', 1, [0.1, 0.3, 0.2]),
      answer('image to text/count', 0, [0.1, 0.3, 0.2]),
      answer('image to text/count', 2, [0.1, 0.3, 0.3]), // a tie is wrong
      answer('image to text/existence', 0, [0.4, 0.3]),
      answer('text to image/count', 3, [0.1, 0.2, 0.3, 0.4]),
    ]);
    // Image to text: count 1 of 3, existence 1 of 1: 66.67. Text to image: 100. Mean 83.33.
    expect(main).toBeCloseTo(250 / 3, 10);
    expect(rows).toEqual([
      { name: 'text to image', value: 100, count: 1 },
      { name: 'image to text', value: expect.closeTo(200 / 3, 10), count: 4 },
      { name: 'count', value: 100, count: 1, section: 'text to image' },
      { name: 'existence', value: 100, count: 1, section: 'image to text' },
      { name: 'count', value: expect.closeTo(100 / 3, 10), count: 3, section: 'image to text' },
    ]);
    expect(notes).toHaveLength(9);
    expect(notes![0]).toBe('text to image/absolute_size: no questions, so that it is missing in the mean');
  });

  it.each([
    ['all right', [0.1, 0.9, 0.2], 100],
    ['all wrong', [0.9, 0.1, 0.2], 0],
    ['ties', [0.2, 0.2, 0.2], 0],
    ['NaN', [NaN, NaN, NaN], 0],
  ])('%s', (_, scores, value) => {
    const figures = spec.score(groups.map((group) => answer(group, 1, scores)));
    expect(figures.main).toBe(value);
    expect(figures.notes).toBeUndefined();
    expect(figures.rows).toHaveLength(14);
  });

  it('guesses among n are right in one of n', () => {
    const random = randomAt(3, 'guesses', 0);
    const guess = (i: number) => {
      const n = 2 + (i % 4);
      return answer(
        groups[i % 12]!,
        random.int(n),
        Array.from({ length: n }, () => random.float()),
      );
    };
    const { rows } = spec.score(Array.from({ length: 60_000 }, (_, i) => guess(i)));
    // Group g always has 2 + g % 4 keys. Standard error of a group of 5,000: at most 0.71 points.
    for (const [g, group] of groups.entries()) {
      const [section, name] = group.split('/');
      const row = rows.find((one) => one.section === section && one.name === name)!;
      expect(Math.abs(row.value - 100 / (2 + (g % 4))), group).toBeLessThan(3);
    }
  });

  it('is argmax where there are no ties', () => {
    const scores = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { minLength: 2, maxLength: 9 });
    checkProperty(
      fc.property(scores, fc.nat(), (all, label) => {
        const right = label % all.length;
        const argmax = all.reduce((best, score, i) => (score > all[best]! ? i : best), 0);
        const { main } = spec.score([answer('image to text/count', right, all)]);
        expect(main).toBe(argmax === right ? 100 : 0);
      }),
    );
  });
});
