import { ImageError, type ImageSource, nameOf } from '@clipin/data';
import { init } from '@clipin/tensor';
import { encode } from 'fast-png';
import { beforeAll, describe, expect, it } from 'vitest';
import type {
  Answer,
  ClassificationSuite,
  Question,
  QuestionSuite,
  RetrievalSuite,
  Skipped,
} from '../benchmarks/suite';
import { SuiteError } from '../benchmarks/suite';
import { smallWorldCheckpoint } from '../pretrained';
import { loadPretrained } from '../weights/load-pretrained';
import { createEmbedder, type Embedder } from './embedder';
import { runSuite } from './run-suite';

beforeAll(() => init({ device: 'wasm', threads: 1 }).then(() => undefined));

/** Two numbers in the name of an image, or in a text, are its embedding; "broken" is none. */
const embedder = (): Embedder => {
  const rowOf = (text: string): Float32Array =>
    Float32Array.from((/(-?[\d.]+),(-?[\d.]+)/.exec(text) ?? []).slice(1).map(Number));
  return {
    width: 2,
    embedded: { images: 0, texts: 0 },
    damaged: 0,
    cut: 0,
    contextLength: 77,
    async *images(sources) {
      for await (const source of sources) {
        if (nameOf(source).includes('broken'))
          yield { source, error: new ImageError(nameOf(source), 'it is broken') };
        else yield { source, embedding: rowOf(nameOf(source)) };
      }
    },
    texts: async (texts) => Float32Array.from(texts.flatMap((text) => [...rowOf(text)])),
    close: () => undefined,
  };
};

async function* listOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

const questions = (
  items: readonly (Question | Skipped)[],
  more: Partial<QuestionSuite> = {},
): QuestionSuite => ({
  kind: 'questions',
  name: 'pairs',
  title: 'Pairs',
  layout: 'a file',
  read: () => listOf(items),
  score: (answers) => {
    const right = answers.filter(({ scores }) => scores[0]! > scores[1]!).length;
    return {
      main: (100 * right) / answers.length,
      metric: 'right',
      rows: [{ name: 'right', value: 0, count: answers.length }],
    };
  },
  ...more,
});
const question = (id: string, images: readonly ImageSource[], texts: readonly string[]): Question => ({
  id,
  images,
  texts,
});

it('fails alone where the model does not know a word', async () => {
  const bytes = encode({ width: 1, height: 1, data: new Uint8Array(3), channels: 3, depth: 8 });
  const small = createEmbedder(await loadPretrained(smallWorldCheckpoint));
  const suite = questions([question('a', [{ name: 'a.png', bytes }], ['a hippogriff'])]);
  const error = await runSuite(suite, '.', small).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SuiteError);
  expect((error as SuiteError).message).toMatch(
    /"hippogriff" in "a hippogriff" is outside the cut vocabulary/,
  );
  const lost = { ...embedder(), texts: () => Promise.reject(new Error('the device is lost')) };
  const other = await runSuite(suite, '.', lost).catch((thrown: unknown) => thrown);
  expect(other).not.toBeInstanceOf(SuiteError);
});

it('prepares images in the way of the suite', async () => {
  const given = embedder();
  const seen: unknown[] = [];
  const watched: Embedder = {
    ...given,
    images: (sources, change) => {
      seen.push(change);
      return given.images(sources, change);
    },
  };
  const items = [{ id: 'one', images: ['1,0.png'], texts: ['1,0', '0,1'] }];
  await runSuite(questions(items), '.', watched);
  await runSuite(questions(items, { prepare: { rgbFirst: true } }), '.', watched);
  expect(seen).toEqual([undefined, { rgbFirst: true }]);
});

describe('questions', () => {
  it('get the cosines of their own images and texts, image by text', async () => {
    let seen: readonly Answer[] = [];
    const items = [
      question('a', ['1,0', '0,1'], ['1,0', '0.6,0.8', '0,1']),
      question('b', [{ name: '0.8,0.6', bytes: new Uint8Array(9) }], ['1,0', '-1,0']),
    ];
    const suite = questions(items, {
      score: (answers) => {
        seen = answers;
        return { main: 1, metric: 'm', rows: [] };
      },
    });
    await runSuite(suite, '.', embedder());
    const rounded = seen.map(({ scores }) => [...scores].map((value) => Math.round(value * 1e5) / 1e5));
    expect(rounded).toEqual([
      [1, 0.6, 0, 0, 0.8, 1],
      [0.8, -0.8],
    ]);
    // Without the bytes, which would fill the memory.
    expect(seen.map(({ question: { id, images } }) => [id, images])).toEqual([
      ['a', ['1,0', '0,1']],
      ['b', ['0.8,0.6']],
    ]);
  });

  it('of which an image is broken take no part, and are told of', async () => {
    const items = [
      question('first', ['1,0', 'broken'], ['1,0', '0,1']),
      { skipped: 'row 2', reason: 'it is empty' },
      question('third', ['1,0'], ['1,0', '0,1']),
      question('fourth', [], ['1,0']),
      question('fifth', ['broken', 'broken 2', '1,0'], ['1,0']),
      question('sixth', ['1,0'], ['0,1', '1,0']),
    ];
    const result = await runSuite(questions(items, { size: 7 }), '.', embedder());
    expect([result.figures.main, result.items]).toEqual([50, 2]);
    // Lists are read ahead of the images.
    expect([...result.skipped].sort((x, y) => (x.skipped < y.skipped ? -1 : 1))).toEqual([
      { skipped: 'fifth', reason: 'broken: it is broken' },
      { skipped: 'first', reason: 'broken: it is broken' },
      { skipped: 'fourth', reason: 'it has no image' },
      { skipped: 'row 2', reason: 'it is empty' },
    ]);
    expect(result.figures.notes).toEqual(['The benchmark has 7 items; here are 6.']);
  });

  it('are prepared as the suite wants it', async () => {
    const asked: unknown[] = [];
    const base = embedder();
    const images: Embedder['images'] = (sources, change) => {
      asked.push(change);
      return base.images(sources);
    };
    const items = [question('a', ['1,0'], ['1,0', '0,1'])];
    await runSuite(questions(items, { prepare: { rgbFirst: true } }), '.', { ...base, images });
    await runSuite(questions(items), '.', { ...base, images });
    expect(asked).toEqual([{ rgbFirst: true }, undefined]);
  });

  it('have a note where texts were cut by this suite', async () => {
    const base = { ...embedder(), cut: 5 };
    const texts = (list: readonly string[]) => {
      base.cut += list.length;
      return embedder().texts(list);
    };
    const suite = questions([question('a', ['1,0'], ['1,0', '0,1'])]);
    const { figures } = await runSuite(suite, '.', Object.assign(base, { texts }));
    expect(figures.notes).toEqual([
      '2 texts are longer than the 77 tokens that the model reads; what is beyond them was cut off.',
    ]);
  });

  it('fail where none is left, and say the first reason and the layout', async () => {
    const items = [question('a', ['broken'], ['1,0']), { skipped: 'b', reason: 'why not' }];
    const run = runSuite(questions(items), 'here', embedder());
    await expect(run).rejects.toThrow(SuiteError);
    await expect(run).rejects.toThrow(
      /nothing to score in here; all 2 items were skipped, first .*\nexpected: a file/,
    );
    await expect(runSuite(questions([]), 'here', embedder())).rejects.toThrow('it has no items');
  });

  it('never give a figure that is none', async () => {
    const items = [question('a', ['1,0'], ['1,0', '0,1'])];
    for (const value of [Number.NaN, 101, -1, Infinity]) {
      const score = () => ({ main: 50, metric: 'm', rows: [{ name: 'r', value, count: 1 }] });
      await expect(runSuite(questions(items, { score }), '.', embedder())).rejects.toThrow(
        `"r" came out as ${value}`,
      );
    }
  });

  it('are told of as errors of the suite where reading fails, and of the device where that does', async () => {
    const suite = questions([], {
      async *read() {
        yield question('a', ['1,0'], ['1,0']);
        throw new Error('cut short');
      },
    });
    await expect(runSuite(suite, '.', embedder())).rejects.toThrow(SuiteError);
    const texts = () => Promise.reject(new Error('device lost'));
    const lost = runSuite(questions([question('a', ['1,0'], ['1,0'])]), '.', { ...embedder(), texts });
    await expect(lost).rejects.not.toThrow(SuiteError);
    await expect(lost).rejects.toThrow('device lost');
  });
});

describe('progress', () => {
  const run = async (items: readonly Question[]) => {
    const told: [string, number, number | undefined][] = [];
    await runSuite(questions(items), '.', embedder(), { onProgress: (...progress) => told.push(progress) });
    return told;
  };
  const texts = ['1,0', '0,1'];

  it('knows how many there are where the list holds paths', async () => {
    expect(
      await run([
        question('a', ['1,0'], texts),
        question('b', ['broken'], texts),
        question('c', ['1,0'], texts),
      ]),
    ).toEqual([
      ['items', 1, 3],
      ['items', 2, 3],
      ['items', 3, 3],
    ]);
  });

  it('does not read a list of pictures ahead to count it', async () => {
    const bytes = (id: string) => question(id, [{ name: '1,0', bytes: new Uint8Array(4) }], texts);
    expect(await run([question('a', ['1,0'], texts), bytes('b'), bytes('c')])).toEqual([
      ['items', 1, undefined],
      ['items', 2, undefined],
      ['items', 3, undefined],
    ]);
  });
});

it('classification averages the templates of a class, and keeps what a name says', async () => {
  const asked: string[] = [];
  const base = embedder();
  const suite: ClassificationSuite = {
    kind: 'classification',
    name: 'c',
    title: 'C',
    layout: '',
    metric: 'top-1',
    read: async () => ({
      classes: ['1,0 $&', '0,1'],
      templates: ['a {c}, {c}', 'the {c}'],
      images: listOf([
        { image: '0.9,0.1', label: 0 },
        { image: '0.1,0.9', label: 0 },
        { image: 'broken', label: 1 },
        { skipped: 's', reason: 'r' },
        { image: '0.2,0.8', label: 1 },
      ]),
    }),
  };
  const result = await runSuite(suite, '.', {
    ...base,
    texts: (texts) => {
      asked.push(...texts);
      return base.texts(texts);
    },
  });
  expect(asked).toEqual(['a 1,0 $&, 1,0 $&', 'the 1,0 $&', 'a 0,1, 0,1', 'the 0,1']);
  expect(result.figures.main).toBeCloseTo((100 * 2) / 3, 9);
  expect(result.skipped).toEqual([
    { skipped: 'broken', reason: 'it is broken' },
    { skipped: 's', reason: 'r' },
  ]);
});

it('retrieval leaves out the captions of a broken image too', async () => {
  const suite: RetrievalSuite = {
    kind: 'retrieval',
    name: 'r',
    title: 'R',
    layout: '',
    read: () =>
      listOf([
        { image: '1,0', captions: ['1,0'] },
        { image: 'broken', captions: ['1,0', '0,1'] },
        { image: '0,1', captions: ['0,1', '0.1,0.9', '-1,0'] },
      ]),
  };
  const { figures, items } = await runSuite(suite, '.', embedder());
  expect(items).toBe(2);
  expect(figures.rows.map(({ name, value, count }) => [name, value, count])).toEqual([
    ['image to text, R@1', 100, 2],
    ['image to text, R@5', 100, 2],
    ['image to text, R@10', 100, 2],
    ['text to image, R@1', 100, 4],
    ['text to image, R@5', 100, 4],
    ['text to image, R@10', 100, 4],
  ]);
});
