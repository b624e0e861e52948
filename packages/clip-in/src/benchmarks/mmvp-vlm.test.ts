import { join } from 'node:path';
import { checkProperty, collect, writeFiles } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mmvpVlm } from './mmvp-vlm';
import { mmvpPatterns } from './published';
import { type Answer, isSkipped, type Question, type Skipped } from './suite';

const types = [
  'Orientation',
  'Presence',
  'State',
  'Quantity',
  'Spatial',
  'Color',
  'Structural Character',
  'Text',
  'Camera Perspective',
];
/** The type of a question by its id, 30 of each. */
const typeOf = (id: number) => types[Math.floor((id - 1) / 30)]!;
const ids = Array.from({ length: 270 }, (_, i) => i + 1);

/** The benchmark as it is downloaded, with empty files for images. */
const wholeBenchmark = (): Record<string, string> => ({
  'Questions.csv': `Question ID, Type, Statement\n${ids.map((id) => `${id},${typeOf(id)},statement ${id}\n`).join('')}`,
  ...Object.fromEntries(ids.map((id) => [`MLLM_VLM Images/${typeOf(id)}/${id}.jpg`, ''])),
});

async function read(directory: string): Promise<{ questions: Question[]; skipped: Skipped[] }> {
  const items = await collect(mmvpVlm.read(directory));
  return {
    questions: items.flatMap((item) => (isSkipped(item) ? [] : [item])),
    skipped: items.filter(isSkipped),
  };
}

describe('reading', () => {
  it('makes 135 pairs, 15 of each pattern, of the real layout', async () => {
    const directory = writeFiles(wholeBenchmark());
    const { questions, skipped } = await read(directory);
    expect(skipped).toEqual([]);
    expect(questions).toHaveLength(135);
    expect(questions[45]).toEqual({
      id: 'pair 91-92',
      images: ['91.jpg', '92.jpg'].map((name) => join(directory, 'MLLM_VLM Images', 'Quantity', name)),
      texts: ['a photo of statement 91', 'a photo of statement 92'],
      group: 'Quantity and Count',
    });
    const groups = questions.map(({ group }) => group);
    expect(groups).toEqual(mmvpPatterns.flatMap((pattern) => Array(15).fill(pattern)));
  });

  it('takes the pattern from the row of a whole table, not from its type', async () => {
    const files = wholeBenchmark();
    files['Questions.csv'] = files['Questions.csv']!.replace('31,Presence', '31,Orientation');
    files['MLLM_VLM Images/Orientation/31.jpg'] = '';
    files['MLLM_VLM Images/Orientation/32.jpg'] = '';
    const { questions } = await read(writeFiles(files));
    // Both images come from the folder of the first one, as in the script.
    expect(questions[15]).toMatchObject({ id: 'pair 31-32', group: 'Presence of Specific Features' });
    expect(questions[15]!.images[1]).toMatch(/Orientation.32\.jpg$/);
  });

  it('reads a byte order mark, CRLF, quotes, other names of folders, and png', async () => {
    const csv =
      '\uFEFFQuestion ID, Type, Statement\r\n' +
      '1, Camera Perspective, "a dog, seen from ""above"""\r\n' +
      '2, Camera Perspective,a dog seen from below\r\n\r\n';
    const folder = 'MMVP_VLM_Images/Camera_Perspective';
    const directory = writeFiles({ 'Questions.csv': csv, [`${folder}/1.png`]: '', [`${folder}/2.jpeg`]: '' });
    expect(await read(directory)).toEqual({
      questions: [
        {
          id: 'pair 1-2',
          images: ['1.png', '2.jpeg'].map((name) => join(directory, folder, name)),
          texts: ['a photo of a dog, seen from "above"', 'a photo of a dog seen from below'],
          group: 'Viewpoint and Perspective',
        },
      ],
      skipped: [],
    });
  });

  it('leaves out a pair without an image and keeps the patterns of those after it', async () => {
    const files = wholeBenchmark();
    delete files['MLLM_VLM Images/Orientation/6.jpg'];
    const directory = writeFiles(files);
    const { questions, skipped } = await read(directory);
    const folder = join(directory, 'MLLM_VLM Images', 'Orientation');
    expect(skipped).toEqual([{ skipped: 'pair 5-6', reason: `no image 6.jpg or 6.png in ${folder}` }]);
    expect(questions).toHaveLength(134);
    expect(questions.filter(({ group }) => group === 'Texts').map(({ id }) => id)[0]).toBe('pair 211-212');
  });

  it('goes by types where rows are missing, since places have moved', async () => {
    const files = wholeBenchmark();
    files['Questions.csv'] = files['Questions.csv']!.replace(/^(7|8|21|45),.*\n/gm, '');
    const { questions, skipped } = await read(writeFiles(files));
    expect(skipped).toEqual([
      { skipped: 'question 22', reason: 'its pair needs question 21 in the row before it' },
      { skipped: 'question 46', reason: 'its pair needs question 45 in the row before it' },
    ]);
    expect(questions).toHaveLength(132);
    for (const { id, group } of questions) {
      const first = Number(id.match(/\d+/)![0]);
      expect(group).toBe(mmvpPatterns[types.indexOf(typeOf(first))]);
    }
  });

  it('skips rows that are none, and types that it does not know', async () => {
    const csv = 'Question ID,Type,Statement\nx,State,one\n3,State\n5,Mood,a\n6,Mood,b\n7,State,last\n';
    const { questions, skipped } = await read(writeFiles({ 'Questions.csv': csv, 'MLLM_VLM Images/x': '' }));
    expect(questions).toEqual([]);
    expect(skipped.map((one) => one.skipped)).toEqual([
      'row 1 of Questions.csv',
      'row 2 of Questions.csv',
      'pair 5-6',
      'question 7',
    ]);
    expect(skipped[0]!.reason).toContain('Question ID');
    expect(skipped[1]!.reason).toContain('Statement');
    expect(skipped[2]!.reason).toContain('Mood is none of Orientation, Presence');
  });

  it('says what is missing', async () => {
    await expect(read(writeFiles({ 'readme.md': '' }))).rejects.toThrow(
      /MMVP-VLM: the questions not found in .*looked for Questions\.csv.*Expected: Questions\.csv/,
    );
    await expect(read('/nowhere/at/all')).rejects.toThrow('there is no such directory');
    await expect(read(writeFiles({ 'Questions.csv': 'Question ID,Type,Statement\n' }))).rejects.toThrow(
      /the folder of images not found in .*MLLM_VLM Images, /,
    );
    const other = { 'Questions.csv': 'Index,Question,Options\n1,a,b\n', 'MLLM_VLM Images/1.jpg': '' };
    await expect(read(writeFiles(other))).rejects.toThrow(
      'its first line must name the columns Question ID, Type, Statement, but has Index, Question, Options',
    );
  });
});

const answer = (group: string, scores: readonly number[]): Answer => ({
  question: { id: '', images: ['', ''], texts: ['', ''], group },
  scores: Float32Array.from(scores),
});
// Images by texts.
const right = [0.3, 0.1, 0.2, 0.4];
const wrong = [0.1, 0.4, 0.3, 0.2];
/** Each statement chooses its image, but image 1 prefers statement 2. */
const oneWay = [0.3, 0.35, 0.2, 0.4];
const all = (scores: readonly number[]) =>
  mmvpPatterns.flatMap((pattern) => Array.from({ length: 15 }, () => answer(pattern, scores)));

describe('scoring', () => {
  it('averages the patterns in the order of the benchmark', () => {
    const figures = mmvpVlm.score([
      answer('Texts', wrong),
      answer('Texts', right),
      answer('State and Condition', oneWay),
      answer('State and Condition', right),
      answer('State and Condition', wrong),
    ]);
    // State 2 of 3, Texts 1 of 2: (66.67 + 50) / 2 = 58.33; both directions (33.33 + 50) / 2 = 41.67.
    expect(figures.main).toBeCloseTo((200 / 3 + 50) / 2, 10);
    expect(figures.rows.slice(0, 2)).toEqual([
      { name: 'State and Condition', value: 200 / 3, count: 3 },
      { name: 'Texts', value: 50, count: 2 },
    ]);
    expect(figures.rows.at(-1)).toMatchObject({ name: 'mean of the patterns', count: 5 });
    expect(figures.rows.at(-1)!.value).toBeCloseTo((100 / 3 + 50) / 2, 10);
    expect(figures.metric).toBe('pairs right, mean of 2 patterns');
    expect(figures.notes).toContain('Texts: 2 pairs, of 15 in the benchmark');
    expect(figures.notes).toContain('Quantity and Count: no pairs, so that it is missing in the mean');
  });

  it.each([
    ['all right', right, 100, 100],
    ['all wrong', wrong, 0, 0],
    ['right one way', oneWay, 100, 0],
    ['ties', [0.2, 0.2, 0.2, 0.2], 0, 0],
    ['NaN', [NaN, NaN, NaN, NaN], 0, 0],
  ])('%s', (_, scores, official, both) => {
    const figures = mmvpVlm.score(all(scores));
    expect(figures.main).toBe(official);
    expect(figures.rows.at(-1)!.value).toBe(both);
    expect(figures.rows).toHaveLength(19);
    expect(figures.metric).toBe('pairs right, mean of nine patterns');
    expect(figures.notes).toBeUndefined();
  });

  it('gives the printed row of OpenAI ViT-L/14 for as many right pairs', () => {
    const pairs = [2, 2, 3, 3, 2, 8, 3, 1, 2]; // of 15: 13.3 13.3 20.0 20.0 13.3 53.3 20.0 6.7 13.3
    const answers = mmvpPatterns.flatMap((pattern, p) =>
      Array.from({ length: 15 }, (_, i) => answer(pattern, i < pairs[p]! ? right : wrong)),
    );
    const figures = mmvpVlm.score(answers);
    expect(figures.main.toFixed(1)).toBe('19.3');
    expect(figures.rows.slice(0, 9).map(({ value }) => value.toFixed(1))).toEqual(
      '13.3 13.3 20.0 20.0 13.3 53.3 20.0 6.7 13.3'.split(' '),
    );
  });

  it('is the script, written another way', () => {
    const scores = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 4, maxLength: 4 });
    const pair = fc.record({ pattern: fc.constantFrom(...mmvpPatterns), scores });
    checkProperty(
      fc.property(fc.array(pair, { minLength: 1 }), (pairs) => {
        const counts = new Map<string, [right: number, all: number]>();
        for (const { pattern, scores: s } of pairs) {
          // Which image each statement chooses; a tie chooses none.
          const chosen = [0, 1].map((text) =>
            [0, 1].filter((image) => s[2 * image + text]! > s[2 * (1 - image) + text]!),
          );
          const [hits, n] = counts.get(pattern) ?? [0, 0];
          counts.set(pattern, [hits + (`${chosen}` === '0,1' ? 1 : 0), n + 1]);
        }
        const shares = [...counts.values()].map(([hits, n]) => (100 * hits) / n);
        const figures = mmvpVlm.score(pairs.map(({ pattern, scores: s }) => answer(pattern, s)));
        expect(figures.main).toBeCloseTo(shares.reduce((a, b) => a + b) / shares.length, 8);
      }),
    );
  });
});
