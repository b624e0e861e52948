import { join } from 'node:path';
import { checkProperty, collect, writeFiles } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aro } from './aro';
import { symmetricRelations } from './aro-relations';
import { type Answer, isSkipped } from './suite';

const box = { bbox_x: 12, bbox_y: 34, bbox_w: 200, bbox_h: 100.5 };
const captions = {
  true_caption: 'the horse is eating the grass',
  false_caption: 'the grass is eating the horse',
};
/** Items with the fields that the real files have. */
const relation = (relation_name: string, image_path = '2373554.jpg') => ({
  image_id: '2373554',
  relation_name,
  image_path,
  ...box,
  object1: {},
  object2: {},
  ...captions,
});
const attribution = (first: string, second: string, image_path = '2373554.jpg') => ({
  image_path,
  ...box,
  attributes: [first, second],
  obj1_name: 'car',
  obj2_name: 'grass',
  true_caption: `the ${first} car and the ${second} grass`,
  false_caption: `the ${second} car and the ${first} grass`,
});
const files = (relations: readonly unknown[], attributions: readonly unknown[]) => ({
  'visual_genome_relation.json': JSON.stringify(relations),
  'visual_genome_attribution.json': JSON.stringify(attributions),
  'images/2373554.jpg': '',
});
const times = <T>(n: number, item: T): T[] => Array.from({ length: n }, () => item);

async function read(directory: string) {
  const items = await collect(aro.read(directory));
  return {
    questions: items.flatMap((one) => (isSkipped(one) ? [] : [one])),
    skipped: items.filter(isSkipped),
  };
}

describe('reading', () => {
  it('cuts to the box, and has the true caption first', async () => {
    const directory = writeFiles(files([relation('eating')], times(25, attribution('red', 'green'))));
    const { questions, skipped } = await read(directory);
    expect(skipped).toEqual([]);
    expect(questions).toHaveLength(26);
    const source = join(directory, 'images', '2373554.jpg');
    expect(questions[0]).toEqual({
      id: 'relation 0',
      images: [{ source, box: [12, 34, 200, 100.5] }],
      texts: ['the horse is eating the grass', 'the grass is eating the horse'],
      group: 'relation/eating',
    });
    expect(questions[25]).toMatchObject({
      id: 'attribution 24',
      texts: ['the red car and the green grass', 'the green car and the red grass'],
      group: 'attribution/red, green',
    });
  });

  it('leaves out symmetric relations and rare pairs of attributes', async () => {
    const relations = [relation('next to'), relation('eating'), relation('wearing'), relation('with')];
    const attributions = [
      ...times(24, attribution('red', 'green')),
      ...times(25, attribution('green', 'red')),
    ];
    const { questions } = await read(writeFiles(files(relations, attributions)));
    expect(questions.slice(0, 2).map(({ group }) => group)).toEqual(['relation/eating', 'relation/wearing']);
    expect(questions.slice(2).map(({ group }) => group)).toEqual(times(25, 'attribution/green, red'));
  });

  it('knows the relations of the notebook', () => {
    expect(symmetricRelations.size).toBe(157);
    for (const name of ['adjusting', 'wrapped in', 'on the other side of', 'around', 'of']) {
      expect(symmetricRelations.has(name), name).toBe(true);
    }
    for (const name of ['behind', 'above', 'riding', 'wearing', 'to the left of', 'in front of', '']) {
      expect(symmetricRelations.has(name), name).toBe(false);
    }
  });

  it('skips items without an image, a box or captions', async () => {
    const { bbox_w: _, ...noWidth } = relation('eating');
    const relations = [
      noWidth,
      { ...relation('eating'), bbox_h: 0 },
      relation('eating', '1.jpg'),
      relation('eating'),
    ];
    const attributions = [{ ...attribution('red', 'green'), attributes: ['red'] }];
    const directory = writeFiles(files(relations, attributions));
    const { questions, skipped } = await read(directory);
    expect(questions.map(({ id }) => id)).toEqual(['relation 3']);
    expect(skipped).toEqual([
      { skipped: 'relation 0', reason: expect.stringContaining('bbox_w') },
      { skipped: 'relation 1', reason: expect.stringContaining('bbox_h') },
      { skipped: 'relation 2', reason: `no image 1.jpg in ${join(directory, 'images')}` },
      { skipped: 'attribution 0', reason: expect.stringContaining('attributes') },
    ]);
  });

  it('says what is missing', async () => {
    const { 'visual_genome_attribution.json': _, ...rest } = files([], []);
    await expect(read(writeFiles(rest))).rejects.toThrow(
      /^ARO: visual_genome_attribution\.json not found in .*Expected: visual_genome_relation\.json, /,
    );
    const { 'images/2373554.jpg': __, ...noImages } = files([], []);
    await expect(read(writeFiles(noImages))).rejects.toThrow(
      /the folder of images not found .*looked for images/,
    );
  });
});

const answer = (group: string, own: number, other: number): Answer => ({
  question: { id: '', images: [''], texts: ['', ''], group },
  scores: Float32Array.of(own, other),
});

describe('scoring', () => {
  it('averages kinds, then both tests', () => {
    const { main, rows, notes } = aro.score([
      answer('relation/riding', 0.3, 0.2),
      answer('relation/eating', 0.3, 0.2),
      answer('relation/riding', 0.1, 0.2),
      answer('relation/riding', 0.2, 0.2), // a tie is wrong
      answer('attribution/red, green', 0.1, 0.2),
      answer('attribution/red, green', 0.3, 0.2),
    ]);
    // eating 1 of 1, riding 1 of 3: relation (100 + 33.33) / 2 = 66.67; attribution 50; (66.67 + 50) / 2 = 58.33.
    expect(main).toBeCloseTo(175 / 3, 10);
    expect(rows).toEqual([
      { name: 'relation', value: expect.closeTo(200 / 3, 10), count: 4 },
      { name: 'attribution', value: 50, count: 2 },
      { name: 'eating', value: 100, count: 1, section: 'Relations' },
      { name: 'riding', value: expect.closeTo(100 / 3, 10), count: 3, section: 'Relations' },
      { name: 'red, green', value: 50, count: 2, section: 'Pairs of attributes' },
    ]);
    expect(notes).toBeUndefined();
  });

  it('says so where a test has no questions', () => {
    const { main, metric, notes } = aro.score([answer('relation/riding', 0.3, 0.2)]);
    expect(main).toBe(100);
    expect(metric).toBe('captions chosen, mean over kinds of relation');
    expect(notes).toEqual(['attribution: no questions']);
  });

  it('is a mean over kinds, written another way; guesses give half', () => {
    const one = fc.tuple(
      fc.constantFrom('relation/a', 'relation/b', 'relation/c', 'attribution/x, y', 'attribution/y, x'),
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
    );
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    checkProperty(
      fc.property(fc.array(one, { minLength: 1 }), (all) => {
        const verdicts: Record<string, Record<string, number[]>> = {};
        for (const [group, own, other] of all) {
          const [test, kind] = group.split('/') as [string, string];
          const kinds = verdicts[test] ?? {};
          verdicts[test] = { ...kinds, [kind]: [...(kinds[kind] ?? []), own - other > 0 ? 100 : 0] };
        }
        const expected = mean(Object.values(verdicts).map((kinds) => mean(Object.values(kinds).map(mean))));
        expect(aro.score(all.map((each) => answer(...each))).main).toBeCloseTo(expected, 8);
      }),
    );
  });

  it.each([
    ['all right', 0.3, 0.2, 100],
    ['all wrong', 0.2, 0.3, 0],
    ['ties', 0.2, 0.2, 0],
    ['NaN', NaN, NaN, 0],
  ])('%s', (_, own, other, value) => {
    const groups = ['relation/a', 'relation/b', 'attribution/x, y'];
    expect(aro.score(groups.map((group) => answer(group, own, other))).main).toBe(value);
  });
});
