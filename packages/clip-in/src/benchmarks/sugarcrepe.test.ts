import { join } from 'node:path';
import { randomAt } from '@clipin/data';
import { checkProperty, collect, writeFiles } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { published, sugarCrepeSubsets } from './published';
import { sugarCrepe } from './sugarcrepe';
import { type Answer, isSkipped } from './suite';

const item = (filename: string, n: number) => ({
  filename,
  caption: `right ${n}`,
  negative_caption: `wrong ${n}`,
});
/** Seven files with one item each. */
const files = (): Record<string, string> => ({
  ...Object.fromEntries(
    sugarCrepeSubsets.map((subset, i) => [
      `data/${subset}.json`,
      JSON.stringify({ 0: item('000000000139.jpg', i) }),
    ]),
  ),
  'val2017/000000000139.jpg': '',
});

async function read(directory: string) {
  const items = await collect(sugarCrepe.read(directory));
  return {
    questions: items.flatMap((one) => (isSkipped(one) ? [] : [one])),
    skipped: items.filter(isSkipped),
  };
}

describe('reading', () => {
  it('reads the seven subsets of the real layout', async () => {
    const directory = writeFiles(files());
    const { questions, skipped } = await read(directory);
    expect(skipped).toEqual([]);
    expect(questions.map(({ group }) => group)).toEqual([...sugarCrepeSubsets]);
    expect(questions[3]).toEqual({
      id: 'swap_obj 0',
      images: [join(directory, 'val2017', '000000000139.jpg')],
      texts: ['right 3', 'wrong 3'],
      group: 'swap_obj',
    });
  });

  it('reads gaps in the keys, a byte order mark, files without a folder, and the folders of COCO', async () => {
    const moved = Object.entries(files()).map(([path, content]) => [
      path.replace('data/', '').replace('val2017', 'coco/images/val2017'),
      content,
    ]);
    const gaps = JSON.stringify({ '12': item('000000000139.jpg', 12), '3': item('000000000139.jpg', 3) });
    const directory = writeFiles({ ...Object.fromEntries(moved), 'swap_obj.json': `\uFEFF${gaps}` });
    const { questions, skipped } = await read(directory);
    expect(skipped).toEqual([]);
    expect(questions.filter(({ group }) => group === 'swap_obj').map(({ id }) => id)).toEqual([
      'swap_obj 3',
      'swap_obj 12',
    ]);
  });

  it('skips items without an image or a caption', async () => {
    const items = {
      0: item('000000000139.jpg', 0),
      1: item('000000000285.jpg', 1),
      2: { filename: 'a.jpg' },
    };
    const directory = writeFiles({ ...files(), 'data/add_att.json': JSON.stringify(items) });
    const { questions, skipped } = await read(directory);
    expect(questions).toHaveLength(7);
    expect(skipped).toEqual([
      { skipped: 'add_att 1', reason: `no image 000000000285.jpg in ${join(directory, 'val2017')}` },
      { skipped: 'add_att 2', reason: expect.stringContaining('caption') },
    ]);
  });

  it('says what is missing, all files at once', async () => {
    const { 'data/add_obj.json': _, 'data/swap_att.json': __, ...rest } = files();
    await expect(read(writeFiles(rest))).rejects.toThrow(
      /^SugarCrepe: swap_att\.json, add_obj\.json not found in .*: looked for data\/, \.\/\. Expected: data\/<subset>\.json/,
    );
    const { 'val2017/000000000139.jpg': ___, ...noImages } = files();
    await expect(read(writeFiles(noImages))).rejects.toThrow(/the folder of images not found .* val2017, /);
    const cutOff = { ...files(), 'data/add_obj.json': '{"0": {"filename": "0000' };
    await expect(read(writeFiles(cutOff))).rejects.toThrow(
      /add_obj\.json is no JSON \(24 characters; is it whole\?\)/,
    );
    const list = { ...files(), 'data/add_obj.json': '[]' };
    await expect(read(writeFiles(list))).rejects.toThrow(/add_obj\.json: .*expected record/);
  });
});

const answer = (group: string, own: number, other: number): Answer => ({
  question: { id: '', images: [''], texts: ['', ''], group },
  scores: Float32Array.of(own, other),
});
const all = (own: number, other: number) => sugarCrepeSubsets.map((subset) => answer(subset, own, other));
const byItem = 'mean by item';

describe('scoring', () => {
  it('gives each subset, their plain mean, and the mean by item', () => {
    const { main, rows, metric, notes } = sugarCrepe.score([
      answer('add_obj', 0.3, 0.2),
      answer('add_obj', 0.3, 0.1),
      answer('add_obj', 0.1, 0.3),
      answer('swap_att', 0.2, 0.2), // a tie is wrong
    ]);
    // add_obj 2 of 3 = 66.67, swap_att 0 of 1: plain (66.67 + 0) / 2 = 33.33, by item 2 of 4 = 50.
    expect(main).toBeCloseTo(100 / 3, 10);
    expect(rows).toEqual([
      { name: 'swap_att', value: 0, count: 1 },
      { name: 'add_obj', value: 200 / 3, count: 3 },
      { name: byItem, value: 50, count: 4 },
    ]);
    expect(metric).toBe('captions chosen, plain mean of 2 subsets');
    expect(notes).toContain('swap_att: 1 of 666 items');
    expect(notes).toContain('replace_obj: 0 of 1652 items');
  });

  it.each([
    ['all right', 0.3, 0.2, 100],
    ['all wrong', 0.2, 0.3, 0],
    ['ties', 0.2, 0.2, 0],
    ['NaN', NaN, 0.2, 0],
    ['NaN of the other', 0.2, NaN, 0],
  ])('%s', (_, own, other, value) => {
    const figures = sugarCrepe.score(all(own, other));
    expect(figures.main).toBe(value);
    expect(figures.rows.map((row) => row.value)).toEqual(Array(8).fill(value));
  });

  it('gives the figures of OpenAI ViT-L/14 for as many right items', () => {
    // Items of each subset when the paper was written, and how many of them make its figures, such as 1554 / 1652 = 94.07.
    const sizes = [1652, 788, 1406, 246, 666, 2062, 692];
    const hits = [1554, 624, 916, 148, 415, 1615, 495];
    const answers = sugarCrepeSubsets.flatMap((subset, s) =>
      Array.from({ length: sizes[s]! }, (_, i) => answer(subset, i < hits[s]! ? 1 : 0, 0.5)),
    );
    const { rows, main, notes } = sugarCrepe.score(answers);
    const printed = published.sugarcrepe!.find(({ model }) => model === 'OpenAI CLIP ViT-L/14, 224')!.rows;
    for (const { name, value } of rows.slice(0, 7)) expect(value, name).toBeCloseTo(printed[name]!, 2);
    expect(main.toFixed(2)).toBe('72.96');
    // By item: 5767 of 7512.
    expect(rows[7]!.value.toFixed(2)).toBe('76.77');
    expect(notes).toBeUndefined();
  });

  it('guesses are right in half', () => {
    const random = randomAt(4, 'guesses', 0);
    const answers = Array.from({ length: 20_000 }, (_, i) =>
      answer(sugarCrepeSubsets[i % 7]!, random.float(), random.float()),
    );
    // Standard error of half: 0.35 points.
    expect(Math.abs(sugarCrepe.score(answers).rows[7]!.value - 50)).toBeLessThan(1.5);
  });

  it('does not depend on the order of answers', () => {
    const pair = fc.tuple(
      fc.constantFrom(...sugarCrepeSubsets),
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
    );
    checkProperty(
      fc.property(fc.array(pair, { minLength: 1 }), (pairs) => {
        const answers = pairs.map((one) => answer(...one));
        expect(sugarCrepe.score([...answers].reverse())).toEqual(sugarCrepe.score(answers));
        const hits = pairs.filter(([, own, other]) => own > other).length;
        expect(sugarCrepe.score(answers).rows.at(-1)!.value).toBeCloseTo((100 * hits) / pairs.length, 10);
      }),
    );
  });
});
