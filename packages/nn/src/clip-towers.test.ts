/** The towers against the published numbers of OpenAI's CLIP, and their invariants. */
import {
  concatenate,
  evaluate,
  init,
  type Key,
  randomKey,
  splitKey,
  type Tensor,
  tensor,
} from '@clipin/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  countParameters,
  quickGelu,
  sinCosPositions,
  summary,
  textTransformer,
  transformer,
  visionTransformer,
} from './index';

beforeAll(async () => {
  await init({ device: 'reference' });
});

const values = async (x: Tensor) => Array.from(await x.data());
const keys = (seed: number, n: number) => splitKey(randomKey(seed), n) as [Key, Key, ...Key[]];

describe('OpenAI CLIP has exactly as many parameters', () => {
  const vocabulary = 49408;
  const text = (width: number) =>
    textTransformer({
      vocabulary,
      contextLength: 77,
      width,
      depth: 12,
      heads: width / 64,
      outputs: width,
      activation: quickGelu,
    });
  const image = (imageSize: number, patchSize: number, width: number, depth: number, outputs: number) =>
    visionTransformer({
      imageSize,
      patchSize,
      width,
      depth,
      heads: width / 64,
      outputs,
      activation: quickGelu,
    });

  it.each([
    { name: 'B/32', vision: image(224, 32, 768, 12, 512), expected: 87_849_216 },
    { name: 'B/16', vision: image(224, 16, 768, 12, 512), expected: 86_192_640 },
    { name: 'L/14', vision: image(224, 14, 1024, 24, 768), expected: 303_966_208 },
    { name: 'L/14@336', vision: image(336, 14, 1024, 24, 768), expected: 304_293_888 },
  ])('$name image tower: $expected', ({ vision, expected }) => {
    expect(countParameters(vision.init(randomKey(0)))).toBe(expected);
  });

  it.each([
    { width: 512, expected: 63_428_096 },
    { width: 768, expected: 123_650_304 },
  ])('text tower of width $width: $expected', ({ width, expected }) => {
    expect(countParameters(text(width).init(randomKey(0)))).toBe(expected);
  });

  it('a summary folds equal blocks and adds up', () => {
    const table = summary(text(512).init(randomKey(0)));
    expect(table).toMatch(/blocks\.0-11\.mlp\.up\.weight +f32\[512, 2048\] +12,582,912\n/);
    expect(table).toMatch(/total +63,428,096$/);
    expect(table.split('\n')).toHaveLength(1 + 1 + 1 + 16 + 2 + 1 + 1);
  });
});

describe('text tower', () => {
  const options = { vocabulary: 20, contextLength: 8, width: 16, depth: 2, heads: 2, outputs: 6 };
  const ids = (rows: number[][]) => tensor(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);

  it.each(['absolute', 'rotary'] as const)(
    '%s: what follows the end token has no effect',
    async (positions) => {
      const tower = textTransformer({ ...options, positions });
      const params = evaluate(tower.init(randomKey(1)));
      const short = await values(tower.apply(params, ids([[17, 3, 4, 19]])));
      const padded = await values(tower.apply(params, ids([[17, 3, 4, 19, 0, 0, 0, 0]])));
      const noisy = await values(tower.apply(params, ids([[17, 3, 4, 19, 5, 19, 7, 1]])));
      expect(short).toHaveLength(6);
      padded.forEach((value, i) => {
        expect(value).toBeCloseTo(short[i]!, 12);
        expect(noisy[i]).toBeCloseTo(short[i]!, 12);
      });
    },
  );

  it.each(['absolute', 'rotary'] as const)(
    '%s: packed texts are embedded as if each were alone',
    async (positions) => {
      const tower = textTransformer({ ...options, positions });
      const params = evaluate(tower.init(randomKey(1)));
      const texts = [[17, 3, 19], [2, 4, 5, 6, 19], [19]];
      const packed = {
        ids: ids([
          [2, 4, 5, 6, 19, 19, 0, 0],
          [0, 17, 3, 19, 0, 0, 0, 0],
        ]),
        positions: ids([
          [0, 1, 2, 3, 4, 0, 0, 0],
          [0, 0, 1, 2, 0, 0, 0, 0],
        ]),
        texts: ids([
          [1, 1, 1, 1, 1, 2, 0, 0],
          [0, 7, 7, 7, 0, 0, 0, 0],
        ]),
        ends: ids([
          [4, 5],
          [3, 0],
        ]),
        slots: tensor(Int32Array.of(2, 0, 1)),
      };
      const got = await values(tower.apply(params, packed));
      const alone = await Promise.all(texts.map((text) => values(tower.apply(params, ids([text])))));
      expect(got).toHaveLength(18);
      alone.flat().forEach((value, i) => {
        expect(got[i]).toBeCloseTo(value, 12);
      });
    },
  );

  it.each(['absolute', 'rotary'] as const)('%s: the order of words counts', async (positions) => {
    const tower = textTransformer({ ...options, positions });
    const params = evaluate(tower.init(randomKey(1)));
    const [a, b] = [
      await values(tower.apply(params, ids([[17, 3, 4, 19]]))),
      await values(tower.apply(params, ids([[17, 4, 3, 19]]))),
    ];
    expect(Math.max(...a.map((value, i) => Math.abs(value - b[i]!)))).toBeGreaterThan(1e-4);
  });

  it('has no positions where they are rotary', () => {
    expect(textTransformer({ ...options, positions: 'rotary' }).init(randomKey(0)).positions).toBeUndefined();
  });

  it.each([
    { causal: false, pool: 'last' },
    { causal: true, pool: 'last' },
    { causal: false, pool: 'end' },
  ] as const)('causal $causal, pool $pool: reads padding, and refuses texts without it', async (form) => {
    const tower = textTransformer({ ...options, ...form, projectionBias: true });
    const params = evaluate(tower.init(randomKey(4)));
    const [text, padded] = [
      [17, 3, 19, 0, 0, 0, 0, 0],
      [17, 3, 19, 0, 0, 0, 0, 1],
    ];
    const [a, b] = [
      await values(tower.apply(params, ids([text]))),
      await values(tower.apply(params, ids([padded]))),
    ];
    expect(Math.max(...a.map((value, i) => Math.abs(value - b[i]!)))).toBeGreaterThan(1e-4);
    expect(() => tower.apply(params, ids([[17, 3, 19]]))).toThrow(
      'sequences of 3 tokens; wants 8 (contextLength), since this tower reads the padding too',
    );
    const one = ids([[17, 3, 19, 0, 0, 0, 0, 0]]);
    const packed = {
      ids: one,
      positions: one,
      texts: one,
      ends: ids([[2]]),
      slots: tensor(Int32Array.of(0)),
    };
    expect(() => tower.apply(params, packed)).toThrow('packed texts have no padding');
  });

  it('knows two lengths, if it reads padding', async () => {
    const form = { positions: 'rotary', causal: false, pool: 'last' } as const;
    const tower = textTransformer({ ...options, ...form, shortLength: 4 });
    const params = evaluate(tower.init(randomKey(4)));
    const short = ids([[17, 3, 19, 0]]);
    const alone = textTransformer({ ...options, ...form, contextLength: 4 });
    expect(await values(tower.apply(params, short))).toEqual(await values(alone.apply(params, short)));
    expect(tower.apply(params, ids([[17, 3, 19, 0, 0, 0, 0, 0]])).shape).toEqual([1, 6]);
    expect(() => tower.apply(params, ids([[17, 3, 19]]))).toThrow(
      'sequences of 3 tokens; wants 4 (shortLength) or 8 (contextLength), since this tower reads the padding too',
    );
    expect(() => textTransformer({ ...options, ...form, shortLength: 9 })).toThrow(
      'shortLength 9 with 8 tokens (contextLength); wants fewer',
    );
    expect(() => textTransformer({ ...options, shortLength: 4 })).toThrow(
      'a tower that does not read padding takes all lengths',
    );
  });

  it('takes the first 20 stretched positions from one table and the rest from the other', async () => {
    const long = { ...options, contextLength: 24 };
    const tower = textTransformer({ ...long, positions: 'stretched' });
    const params = evaluate(tower.init(randomKey(6)));
    const { positions, stretchedPositions, ...rest } = params;
    const table = concatenate([positions!.slice([0, 20]), stretchedPositions!.slice([20])]);
    const text = ids([[17, ...Array.from({ length: 22 }, (_, i) => i % 16), 19]]);
    const joined = textTransformer(long).apply({ ...rest, positions: table }, text);
    expect(await values(tower.apply(params, text))).toEqual(await values(joined));
  });

  it('refuses sequences that are too long, and ids that are no integers', () => {
    const tower = textTransformer(options);
    const params = tower.init(randomKey(0));
    expect(() => tower.apply(params, ids([[1, 1, 1, 1, 1, 1, 1, 1, 1]]))).toThrow(
      'textTransformer: sequences of 9 tokens; wants 1 to 8 (contextLength)',
    );
    expect(() => tower.apply(params, tensor([[1, 2]]))).toThrow(
      'textTransformer: the input is Tensor(f32[1, 2] on reference); wants i32 or u32[batch, tokens]',
    );
  });
});

describe('image tower', () => {
  const options = { imageSize: 8, patchSize: 4, width: 8, depth: 1, heads: 2, outputs: 5 };
  const image = (change = 0) =>
    tensor(
      Float64Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => Math.sin(i) + (i === 191 ? change : 0)),
      [2, 8, 8, 3],
      { dtype: 'f32' },
    );

  it.each(['class', 'mean'] as const)('%s: embeds each image by itself', async (pool) => {
    const tower = visionTransformer({ ...options, pool });
    const params = evaluate(tower.init(randomKey(2)));
    const [a, b] = [await values(tower.apply(params, image())), await values(tower.apply(params, image(1)))];
    expect(a).toHaveLength(10);
    expect(a.slice(5)).toEqual(b.slice(5)); // the second image is the same
    expect(Math.abs(a[0]! - b[0]!)).toBeGreaterThan(1e-6);
  });

  it('does not look at what is left over of the last patches', async () => {
    const cut = visionTransformer({ ...options, patchSize: 3 });
    const params = evaluate(cut.init(randomKey(2)));
    expect(params.positions.shape).toEqual([5, 8]);
    const pixels = await image().data();
    const changed = pixels.map((x, i) => (i % 24 >= 18 || Math.floor(i / 24) % 8 >= 6 ? 9 : x));
    const other = tensor(Float64Array.from(changed), [2, 8, 8, 3], { dtype: 'f32' });
    expect(await values(cut.apply(params, other))).toEqual(await values(cut.apply(params, image())));
  });

  it('refuses images of another size', () => {
    const tower = visionTransformer(options);
    expect(() => tower.apply(tower.init(randomKey(0)), tensor(new Float32Array(12), [1, 2, 2, 3]))).toThrow(
      'visionTransformer: the input is Tensor(f32[1, 2, 2, 3] on reference); wants f32[batch, 8, 8, 3]',
    );
    expect(() => visionTransformer({ ...options, patchSize: 9 })).toThrow(
      'visionTransformer: patchSize 9 is more than imageSize 8',
    );
    expect(() => visionTransformer({ ...options, projection: false })).toThrow(
      'visionTransformer: outputs is 5 without a projection; wants the width, 8',
    );
    expect(() => transformer({ width: 10, depth: 1, heads: 4 })).toThrow('heads 4 does not divide width 10');
  });

  it('starts from sines and cosines of the place if asked to', async () => {
    const tower = visionTransformer({ ...options, positionInit: sinCosPositions(0.5) });
    const { positions } = tower.init(randomKey(0));
    const table = await values(positions);
    expect(table.slice(0, 8)).toEqual(new Array(8).fill(0)); // the class token
    // The last patch: column 1, row 1; frequencies 1 and 1/100.
    const half = [Math.sin(1), Math.sin(0.01), Math.cos(1), Math.cos(0.01)].map((x) => x / 2);
    [...half, ...half].forEach((expected, i) => {
      expect(table[4 * 8 + i]).toBeCloseTo(expected, 12);
    });
  });
});

it('equal keys make equal parameters, other keys others', async () => {
  const stack = transformer({ width: 8, depth: 2, heads: 2 });
  const [key, other] = keys(5, 2);
  const weight = async (from: Key, block: number) => values(stack.init(from)[block]!.attention.query.weight);
  expect(await weight(key, 0)).toEqual(await weight(key, 0));
  expect(await weight(key, 0)).not.toEqual(await weight(key, 1));
  expect(await weight(key, 0)).not.toEqual(await weight(other, 0));
});
