import { join } from 'node:path';
import { randomAt } from '@clipin/data';
import { checkProperty, collect, writeFiles } from '@clipin/testing';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { type Answer, isSkipped } from './suite';
import { winoground } from './winoground';

const tags = ['Object', 'Relation', 'Both'];
/** A line of examples.jsonl, with the fields that the real one has. */
const example = (id: number) => ({
  id,
  image_0: `ex_${id}_img_0`,
  image_1: `ex_${id}_img_1`,
  caption_0: `some plants ${id} surrounding a lightbulb`,
  caption_1: `a lightbulb ${id} surrounding some plants`,
  tag: 'Adjective-Age',
  secondary_tag: '',
  num_main_preds: 1,
  collapsed_tag: tags[id % 3]!,
});
const images = (ids: readonly number[]) =>
  Object.fromEntries(ids.flatMap((id) => [0, 1].map((i) => [`images/ex_${id}_img_${i}.png`, ''])));

async function read(directory: string) {
  const items = await collect(winoground.read(directory));
  return {
    questions: items.flatMap((one) => (isSkipped(one) ? [] : [one])),
    skipped: items.filter(isSkipped),
  };
}

describe('reading', () => {
  it('reads examples.jsonl and the images beside it, or in data/', async () => {
    for (const folder of ['', 'data/']) {
      const lines = [0, 1, 2].map((id) => JSON.stringify(example(id))).join('\r\n');
      const files = { 'examples.jsonl': `\uFEFF${lines}\r\n\r\n`, ...images([0, 1, 2]) };
      const directory = writeFiles(
        Object.fromEntries(Object.entries(files).map(([path, content]) => [folder + path, content])),
      );
      const { questions, skipped } = await read(directory);
      expect(skipped).toEqual([]);
      expect(questions).toHaveLength(3);
      expect(questions[1]).toEqual({
        id: 'example 1',
        images: [0, 1].map((i) => join(directory, folder, 'images', `ex_1_img_${i}.png`)),
        texts: ['some plants 1 surrounding a lightbulb', 'a lightbulb 1 surrounding some plants'],
        group: 'Relation',
      });
    }
  });

  it('skips examples without an image, lines that are cut off, and lines that are no examples', async () => {
    const lines = [
      JSON.stringify(example(0)),
      JSON.stringify({ ...example(1), caption_1: undefined }),
      JSON.stringify(example(2)),
      JSON.stringify(example(3)).slice(0, 30),
    ];
    const directory = writeFiles({
      'examples.jsonl': lines.join('\n'),
      ...images([0, 1]),
      'images/ex_2_img_0.png': '',
    });
    const { questions, skipped } = await read(directory);
    expect(questions.map(({ id }) => id)).toEqual(['example 0']);
    const file = join(directory, 'examples.jsonl');
    expect(skipped).toEqual([
      { skipped: `line 2 of ${file}`, reason: expect.stringContaining('caption_1') },
      { skipped: 'example 2', reason: `no image ex_2_img_1.png in ${join(directory, 'images')}` },
      { skipped: `line 4 of ${file}`, reason: expect.stringMatching(/^no JSON: /) },
    ]);
  });

  it('reads parquet with the bytes of the images, over files and row groups', async () => {
    const bytes = (id: number, i: number) => Uint8Array.of(0x89, 0x50, 0x4e, 0x47, id, i, 255, 0);
    const directory = writeFiles({
      'data/test-00000-of-00002.parquet': parquet([0, 1, 2], bytes),
      'data/test-00001-of-00002.parquet': parquet([3, 4], bytes),
    });
    const { questions, skipped } = await read(directory);
    expect(skipped).toEqual([]);
    expect(questions).toEqual(
      [0, 1, 2, 3, 4].map((id) => ({
        id: `example ${id}`,
        images: [0, 1].map((i) => ({ name: `example ${id}, image ${i}`, bytes: bytes(id, i) })),
        texts: [example(id).caption_0, example(id).caption_1],
        group: tags[id % 3],
      })),
    );
  });

  it('says what is missing', async () => {
    await expect(read(writeFiles({ 'images.zip': '' }))).rejects.toThrow(
      /^Winoground: the captions not found in .*looked for examples\.jsonl, .*Expected: examples\.jsonl with the unpacked/,
    );
    const lines = { 'examples.jsonl': JSON.stringify(example(0)), 'images.zip': '' };
    await expect(read(writeFiles(lines))).rejects.toThrow(/the folder of images not found/);
    const cutOff = parquet([0, 1], () => Uint8Array.of(1)).slice(0, 200);
    await expect(read(writeFiles({ 'test.parquet': cutOff }))).rejects.toThrow(
      /test\.parquet cannot be read as parquet \(is it whole\?\)/,
    );
  });
});

/** A file as Hugging Face writes them: images are groups of bytes and path. */
function parquet(ids: readonly number[], bytes: (id: number, image: number) => Uint8Array): Uint8Array {
  const rows = ids.map(example);
  const picture = (i: 0 | 1) => ids.map((id) => ({ bytes: bytes(id, i), path: `ex_${id}_img_${i}.png` }));
  const group = (name: string) => [
    { name, repetition_type: 'OPTIONAL' as const, num_children: 2 },
    { name: 'bytes', type: 'BYTE_ARRAY' as const, repetition_type: 'OPTIONAL' as const },
    {
      name: 'path',
      type: 'BYTE_ARRAY' as const,
      repetition_type: 'OPTIONAL' as const,
      converted_type: 'UTF8' as const,
    },
  ];
  const text = (name: string) => ({
    name,
    type: 'BYTE_ARRAY' as const,
    repetition_type: 'OPTIONAL' as const,
    converted_type: 'UTF8' as const,
  });
  return new Uint8Array(
    parquetWriteBuffer({
      schema: [
        { name: 'schema', num_children: 6 },
        { name: 'id', type: 'INT32', repetition_type: 'OPTIONAL' },
        ...group('image_0'),
        ...group('image_1'),
        text('caption_0'),
        text('caption_1'),
        text('collapsed_tag'),
      ],
      columnData: [
        { name: 'id', data: [...ids] },
        { name: 'image_0', data: picture(0) },
        { name: 'image_1', data: picture(1) },
        { name: 'caption_0', data: rows.map((row) => row.caption_0) },
        { name: 'caption_1', data: rows.map((row) => row.caption_1) },
        { name: 'collapsed_tag', data: rows.map((row) => row.collapsed_tag) },
      ],
      rowGroupSize: 2,
    }),
  );
}

const answer = (scores: readonly number[], group?: string): Answer => ({
  question: { id: '', images: ['', ''], texts: ['', ''], ...(group !== undefined && { group }) },
  scores: Float32Array.from(scores),
});

describe('scoring', () => {
  // Images by captions.
  const both = [0.9, 0.1, 0.2, 0.8];
  const onlyText = [0.9, 0.8, 0.2, 0.3]; // image 1 prefers caption 1, but caption 1 prefers image 0
  const onlyImage = [0.3, 0.4, 0.2, 0.5]; // caption 0 prefers image 0, but image 0 prefers caption 1
  const none = [0.1, 0.9, 0.8, 0.2];

  it('gives text, image and group score, and the same by tag', () => {
    const { main, rows } = winoground.score([
      answer(both, 'Object'),
      answer(onlyText, 'Relation'),
      answer(onlyImage, 'Relation'),
      answer(none, 'Object'),
      answer(onlyText, 'Object'),
    ]);
    // Text: 1, 2, 5 = 60. Image: 1, 3 = 40. Group: 1 = 20. Their mean: 40.
    expect(main).toBeCloseTo(40, 10);
    expect(rows).toEqual([
      { name: 'text', value: 60, count: 5 },
      { name: 'image', value: 40, count: 5 },
      { name: 'group', value: 20, count: 5 },
      { name: 'text', value: 200 / 3, count: 3, section: 'Object' },
      { name: 'image', value: 100 / 3, count: 3, section: 'Object' },
      { name: 'group', value: 100 / 3, count: 3, section: 'Object' },
      { name: 'text', value: 50, count: 2, section: 'Relation' },
      { name: 'image', value: 50, count: 2, section: 'Relation' },
      { name: 'group', value: 0, count: 2, section: 'Relation' },
    ]);
  });

  it.each([
    ['all right', both, [100, 100, 100]],
    ['all wrong', none, [0, 0, 0]],
    ['ties', [0.5, 0.5, 0.5, 0.5], [0, 0, 0]],
    ['a tie of one image', [0.5, 0.5, 0.1, 0.6], [0, 100, 0]],
    ['a tie of one caption', [0.5, 0.1, 0.5, 0.6], [100, 0, 0]],
    ['NaN', [0.9, NaN, 0.2, 0.8], [0, 0, 0]],
  ])('%s', (_, scores, expected) => {
    const { rows } = winoground.score(Array.from({ length: 400 }, () => answer(scores)));
    expect(rows.slice(0, 3).map(({ value }) => value)).toEqual(expected);
    expect(rows.slice(3).map(({ section }) => section)).toEqual(Array(3).fill('no tag'));
  });

  it('guesses are right in 25, 25 and 16.7 percent', () => {
    const random = randomAt(9, 'guesses', 0);
    const guess = () => answer(Array.from({ length: 4 }, () => random.float()));
    const { rows, main } = winoground.score(Array.from({ length: 30_000 }, guess));
    const [text, image, group] = rows.map(({ value }) => value);
    // Standard errors: 0.25, 0.25, 0.22 points.
    expect(Math.abs(text! - 25)).toBeLessThan(1);
    expect(Math.abs(image! - 25)).toBeLessThan(1);
    expect(Math.abs(group! - 100 / 6)).toBeLessThan(1);
    expect(Math.abs(main - winoground.chance!)).toBeLessThan(1);
  });

  it('is the definition by matchings, written another way', () => {
    const scores = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 4, maxLength: 4 });
    // For each one of a side, the strict best of the other side must be its own.
    const bests = (table: readonly (readonly number[])[]) =>
      table.map((row) => {
        const [top, next] = [...row].sort((a, b) => b - a);
        return top === next ? undefined : row.indexOf(top!);
      });
    const own = (found: readonly (number | undefined)[]) => found.every((one, i) => one === i);
    checkProperty(
      fc.property(fc.array(scores, { minLength: 1 }), (all) => {
        const counts = [0, 0, 0];
        for (const [a, b, c, d] of all) {
          const text = own(
            bests([
              [a!, b!],
              [c!, d!],
            ]),
          );
          const image = own(
            bests([
              [a!, c!],
              [b!, d!],
            ]),
          );
          for (const [i, right] of [text, image, text && image].entries()) counts[i]! += right ? 1 : 0;
        }
        const { rows } = winoground.score(all.map((one) => answer(one)));
        for (const [i, count] of counts.entries()) {
          expect(rows[i]!.value).toBeCloseTo((100 * count) / all.length, 8);
        }
      }),
    );
  });
});
