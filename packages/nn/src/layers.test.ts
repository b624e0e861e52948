/** Each layer against its formula written out, and what must hold for any input. */
import {
  evaluate,
  init,
  normal,
  ones,
  randomKey,
  splitKey,
  type Tensor,
  tensor,
  zeros,
} from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import {
  activations,
  dropout,
  embedding,
  initEach,
  keyMask,
  type LayerNormParams,
  type LinearParams,
  l2Normalize,
  layer,
  layerNorm,
  lecunNormal,
  linear,
  mlp,
  multiHeadAttention,
  ntkBase,
  type ParamsOf,
  patchEmbedding,
  relu,
  rotaryEmbedding,
  rotaryTables,
  transformer,
  transformerBlock,
  xavierUniform,
} from './index';

beforeAll(async () => {
  await init({ device: 'reference' });
});

const values = async (x: Tensor) => Array.from(await x.data());
const mean = (xs: readonly number[]) => xs.reduce((sum, x) => sum + x, 0) / xs.length;
const variance = (xs: readonly number[]) => mean(xs.map((x) => (x - mean(xs)) ** 2));
const finite = (limit: number) => fc.double({ min: -limit, max: limit, noNaN: true });

async function expectClose(actual: Tensor, wanted: readonly number[], digits = 12) {
  const got = await values(actual);
  expect(got).toHaveLength(wanted.length);
  wanted.forEach((value, i) => {
    expect(got[i]).toBeCloseTo(value, digits);
  });
}

describe('linear', () => {
  it('is x W + b', async () => {
    const layer = linear(2, 3);
    const weight = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const x = tensor([[10, 1]]);
    await expectClose(layer.apply({ weight, bias: tensor([0.5, 0, -0.5]) }, x), [14.5, 25, 35.5]);
    await expectClose(layer.apply({ weight }, x.reshape([1, 1, 2])), [14, 25, 36]);
  });

  it('has a bias of zeros unless told not to', async () => {
    expect(await values(linear(2, 3).init(randomKey(0)).bias!)).toEqual([0, 0, 0]);
    expect(linear(2, 3, { bias: false }).init(randomKey(0))).not.toHaveProperty('bias');
  });

  it('refuses another width by name', () => {
    const layer = linear(2, 3);
    expect(() => layer.apply(layer.init(randomKey(0)), zeros([4, 5]))).toThrow(
      'linear: the input is Tensor(f32[4, 5] on reference); wants f32[..., rows, 2]',
    );
    expect(() => linear(2, 0)).toThrow('linear: outputs is 0; wants a whole number of at least 1');
  });
});

it('embedding picks rows; ids that are none give zeros', async () => {
  const layer = embedding(3, 2);
  const weight = tensor([
    [1, 2],
    [3, 4],
    [5, 6],
  ]);
  await expectClose(layer.apply({ weight }, tensor(Int32Array.of(2, 0, 7), [1, 3])), [5, 6, 1, 2, 0, 0]);
  expect(() => layer.apply({ weight }, zeros([2]))).toThrow(
    'embedding: the input is Tensor(f32[2] on reference)',
  );
});

describe('layerNorm', () => {
  it('gives rows of mean bias and deviation gain', async () => {
    const layer = layerNorm(5, { epsilon: 0 });
    const row = fc.array(finite(100), { minLength: 5, maxLength: 5 }).filter((xs) => variance(xs) > 1e-4);
    await checkProperty(
      fc.asyncProperty(row, finite(10), finite(10), async (xs, gain, bias) => {
        const params = { gain: ones([5]).mul(gain), bias: ones([5]).mul(bias) };
        const got = await values(layer.apply(params, tensor([xs])));
        expect(mean(got)).toBeCloseTo(bias, 9);
        expect(Math.sqrt(variance(got))).toBeCloseTo(Math.abs(gain), 9);
      }),
      { numRuns: 50 },
    );
  });

  it('is finite where all elements are equal', async () => {
    const layer = layerNorm(3);
    expect(await values(layer.apply(layer.init(randomKey(0)), ones([1, 3])))).toEqual([0, 0, 0]);
  });
});

it('l2Normalize gives vectors of length 1, and zeros of zeros', async () => {
  await checkProperty(
    fc.asyncProperty(fc.array(finite(100), { minLength: 1, maxLength: 6 }), async (xs) => {
      const length = Math.hypot(...(await values(l2Normalize(tensor([xs])))));
      if (Math.hypot(...xs) > 1e-9) expect(length).toBeCloseTo(1, 9);
    }),
    { numRuns: 50 },
  );
  expect(await values(l2Normalize(zeros([1, 3])))).toEqual([0, 0, 0]);
});

describe('activations', () => {
  /** erf by its power series (Abramowitz and Stegun 7.1.5), enough for |x| < 4. */
  const erf = (x: number): number => {
    let [sum, term] = [0, x];
    for (let n = 0; n < 120; n++) {
      sum += term / (2 * n + 1);
      term *= (-x * x) / (n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  };
  const formulas: Record<keyof typeof activations, (x: number) => number> = {
    relu: (x) => Math.max(x, 0),
    gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
    geluTanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    quickGelu: (x) => x / (1 + Math.exp(-1.702 * x)),
    silu: (x) => x / (1 + Math.exp(-x)),
  };

  it.each(Object.keys(formulas) as (keyof typeof formulas)[])('%s is its formula', async (name) => {
    const xs = Array.from({ length: 41 }, (_, i) => (i - 20) / 4);
    await expectClose(activations[name](tensor(xs)), xs.map(formulas[name]), 9);
  });
});

describe('dropout', () => {
  it('keeps the mean and the share, and is the same for the same key', async () => {
    const x = ones([5_000]);
    const got = await values(dropout(x, 0.3, randomKey(3)));
    expect(mean(got)).toBeCloseTo(1, 1);
    expect(got.filter((value) => value === 0).length / got.length).toBeCloseTo(0.3, 1);
    expect(new Set(got)).toEqual(new Set([0, 1 / 0.7]));
    expect(await values(dropout(x, 0.3, randomKey(3)))).toEqual(got);
    expect(await values(dropout(x, 0.3, randomKey(4)))).not.toEqual(got);
  });

  it('does nothing without a key, and refuses a rate of 1', () => {
    const x = ones([3]);
    expect(dropout(x, 0.5, undefined)).toBe(x);
    expect(() => dropout(x, 1, randomKey(0))).toThrow('the rate is 1; wants at least 0 and less than 1');
  });
});

it('mlp is two linear maps with the activation between', async () => {
  const layer = mlp({ inputs: 1, hidden: 2, activation: relu });
  const params = {
    up: { weight: tensor([[1, -1]]), bias: tensor([0, 1]) },
    down: { weight: tensor([[10], [100]]), bias: tensor([7]) },
  };
  await expectClose(layer.apply(params, tensor([[3], [-3]])), [37, 407]);
});

it('initializers have the spread that they promise', async () => {
  const shape = [64, 64];
  expect(variance(await values(lecunNormal(randomKey(1), shape)))).toBeCloseTo(1 / 64, 3);
  const uniform = await values(xavierUniform(randomKey(1), shape));
  const limit = Math.sqrt(6 / 128);
  expect(variance(uniform)).toBeCloseTo(limit ** 2 / 3, 3);
  expect(Math.max(...uniform.map(Math.abs))).toBeLessThanOrEqual(limit);
  expect(() => lecunNormal(randomKey(1), [3])).toThrow('lecunNormal: shape [3]; wants [inputs, outputs]');
});

it('patchEmbedding takes patches by row, and in a patch row, column, channel', async () => {
  const layer = patchEmbedding({ patchSize: 2, width: 8, channels: 2 });
  // The identity shows which pixels each token is made of; pixel values say where they are: 100 y + 10 x + channel.
  const weight = tensor(
    Array.from({ length: 8 }, (_, i) => Array.from({ length: 8 }, (_, j) => Number(i === j))),
  );
  const image = Array.from({ length: 2 }, (_, y) =>
    Array.from({ length: 4 }, (_, x) => [100 * y + 10 * x, 100 * y + 10 * x + 1]),
  );
  const tokens = layer.apply({ weight }, tensor([image]));
  expect(tokens.shape).toEqual([1, 2, 8]);
  await expectClose(tokens, [0, 1, 10, 11, 100, 101, 110, 111, 20, 21, 30, 31, 120, 121, 130, 131]);
  expect(() => layer.apply({ weight }, zeros([1, 3, 4, 2]))).toThrow(
    'patchSize 2 does not divide image height 3',
  );
});

describe('rotary positions', () => {
  it('turn interleaved pairs by position · base^(−2j/dim)', async () => {
    const x = tensor([1, 2, 3, 4, 5, 6, 7, 8]).reshape([1, 2, 1, 4]);
    const turn = ([a, b]: [number, number], angle: number) => [
      a * Math.cos(angle) - b * Math.sin(angle),
      a * Math.sin(angle) + b * Math.cos(angle),
    ];
    const expected = [
      ...turn([1, 2], 3),
      ...turn([3, 4], 3 / 100),
      ...turn([5, 6], 4),
      ...turn([7, 8], 4 / 100),
    ];
    await expectClose(rotaryEmbedding(x, { offset: 3 }), expected);
  });

  it('leave products of queries and keys to the distance alone, and lengths as they are', async () => {
    const dims = fc.constantFrom(2, 4, 6);
    const places = fc.record({ query: fc.nat(50), key: fc.nat(50), shift: fc.nat(500) });
    await checkProperty(
      fc.asyncProperty(dims, places, fc.nat(1000), async (dim, { query, key, shift }, seed) => {
        const [a, b] = splitKey(randomKey(seed)).map((own) => evaluate(normal(own, [1, 1, 1, dim])));
        const at = (x: Tensor, offset: number) => rotaryEmbedding(x, { offset });
        const product = (by: number) =>
          at(a!, query + by)
            .mul(at(b!, key + by))
            .sum()
            .item();
        expect(await product(shift)).toBeCloseTo(await product(0), 9);
        expect(Math.hypot(...(await values(at(a!, query))))).toBeCloseTo(
          Math.hypot(...(await values(a!))),
          12,
        );
      }),
      { numRuns: 50 },
    );
  });

  it('have the base of TULIP for longer texts', () => {
    // theta' of the two stages of TULIP, and of its flags as they are printed.
    expect(Math.round(ntkBase({ dim: 64, from: 77, to: 248 }))).toBe(206_278);
    expect(Math.round(ntkBase({ dim: 64, from: 77, to: 248, factor: 2 }))).toBe(57_472);
    expect(Math.round(ntkBase({ dim: 64, from: 248, to: 231 }))).toBe(4_402);
    expect(ntkBase({ dim: 64, from: 77, to: 77, base: 500 })).toBe(500);
    expect(() => ntkBase({ dim: 64, from: 248, to: 77 })).toThrow('ntkBase: from 248 to 77 tokens');
  });

  it('refuse odd heads and other shapes', () => {
    expect(() => rotaryEmbedding(zeros([1, 2, 1, 3]))).toThrow('heads are 3 wide; wants an even width');
    expect(() => rotaryEmbedding(zeros([2, 4]))).toThrow('rotaryEmbedding: the input is Tensor(f32[2, 4]');
  });
});

describe('attention', () => {
  const layer = multiHeadAttention({ width: 8, heads: 2 });
  const causal = multiHeadAttention({ width: 8, heads: 2, causal: true });
  const setup = () => {
    const [a, b] = splitKey(randomKey(7)) as [Tensor, Tensor];
    return { params: evaluate(layer.init(a)), x: evaluate(normal(b, [2, 5, 8])) };
  };
  const tables = (x: Tensor, options: Parameters<typeof rotaryTables>[3]) =>
    rotaryTables(5, 4, x.device, options);

  it('does not change when one offset is added to all positions', async () => {
    const { params, x } = setup();
    const plain = await values(layer.apply(params, x));
    const here = await values(layer.apply(params, x, { rotary: tables(x, {}) }));
    await expectClose(layer.apply(params, x, { rotary: tables(x, { offset: 41 }) }), here);
    expect(Math.max(...here.map((value, i) => Math.abs(value - plain[i]!)))).toBeGreaterThan(1e-3);
  });

  it('is plain attention where all angles are 0', async () => {
    const { params, x } = setup();
    const none = { cos: ones([5, 1, 4]), sin: zeros([5, 1, 4]) };
    await expectClose(layer.apply(params, x, { rotary: none }), await values(layer.apply(params, x)));
  });

  it('causal: later tokens do not change earlier outputs', async () => {
    const { params, x } = setup();
    const changed = x.add(tensor([0, 0, 0, 1, 1]).reshape([5, 1]));
    const [before, after] = [causal.apply(params, x), causal.apply(params, changed)];
    await expectClose(after.slice([], [0, 3]), await values(before.slice([], [0, 3])));
    expect(await values(after.slice([], [3]))).not.toEqual(await values(before.slice([], [3])));
  });

  it('hidden keys have no effect, as if they were not there', async () => {
    const { params, x } = setup();
    const mask = keyMask(
      tensor([true, true, true, false, false, true, true, true, false, false]).reshape([2, 5]),
    );
    const cut = layer.apply(params, x.slice([], [0, 3]));
    await expectClose(layer.apply(params, x, { mask }).slice([], [0, 3]), await values(cut));
  });

  it('is the same as causal with a full mask of that form', async () => {
    const { params, x } = setup();
    const rows = Array.from({ length: 5 }, (_, i) => Array.from({ length: 5 }, (_, j) => j <= i));
    await expectClose(layer.apply(params, x, { mask: tensor(rows) }), await values(causal.apply(params, x)));
  });

  it('refuses what does not fit, by name', () => {
    const { params } = setup();
    expect(() => multiHeadAttention({ width: 8, heads: 3 })).toThrow(
      'multiHeadAttention: heads 3 does not divide width 8',
    );
    expect(() => layer.apply(params, zeros([2, 5, 7]))).toThrow(
      'multiHeadAttention: the input is Tensor(f32[2, 5, 7] on reference); wants f32[batch, tokens, 8]',
    );
  });
});

it('a transformer is its blocks one after another', async () => {
  const options = { width: 8, depth: 3, heads: 2 };
  const [stack, block] = [transformer(options), transformerBlock(options)];
  const params = evaluate(stack.init(randomKey(2)));
  const x = evaluate(normal(randomKey(3), [1, 4, 8]));
  const [a, b, c] = params.map((own) => (y: Tensor) => block.apply(own, y));
  await expectClose(stack.apply(params, x), await values(c!(b!(a!(x)))));
});

describe('a transformer that is asked for some tokens', () => {
  const bools = (shape: number[]) => (bits: boolean[]) => tensor(bits).reshape(shape);
  const masks = fc.oneof(
    fc.constant(undefined),
    fc.array(fc.boolean(), { minLength: 10, maxLength: 10 }).map(bools([2, 1, 1, 5])),
    fc.array(fc.boolean(), { minLength: 25, maxLength: 25 }).map(bools([5, 5])),
    fc.array(fc.boolean(), { minLength: 100, maxLength: 100 }).map(bools([2, 2, 5, 5])),
  );
  const queries = fc
    .integer({ min: 1, max: 3 })
    .chain((count) => fc.array(fc.nat(4), { minLength: 2 * count, maxLength: 2 * count }))
    .map((positions) => tensor(Int32Array.from(positions), [2, positions.length / 2]));

  it('gives what it gives for them among all', async () => {
    const form = fc.record({ causal: fc.boolean(), rotary: fc.boolean(), depth: fc.constantFrom(1, 2) });
    await checkProperty(
      fc.asyncProperty(form, masks, queries, fc.nat(1000), async (options, mask, wanted, seed) => {
        const stack = transformer({ width: 8, heads: 2, mlpHidden: 8, ...options });
        const params = evaluate(stack.init(randomKey(seed)));
        const x = evaluate(normal(randomKey(seed + 1), [2, 5, 8]));
        const context = mask ? { mask } : {};
        const all = stack.apply(params, x, context).gather(wanted, { batchDims: 1 });
        await expectClose(stack.apply(params, x, { ...context, queries: wanted }), await values(all));
      }),
      { numRuns: 40 },
    );
  });

  it('refuses positions of another batch, by name', () => {
    const stack = transformer({ width: 8, depth: 1, heads: 2 });
    const wanted = zeros([3, 1], { dtype: 'i32' });
    expect(() => stack.apply(stack.init(randomKey(0)), zeros([2, 5, 8]), { queries: wanted })).toThrow(
      'attention queries: the input is Tensor(i32[3, 1] on reference); wants i32 or u32[2, queries]',
    );
  });
});

it('the types of a layer follow from what it is made of', async () => {
  const [norm, map] = [layerNorm(2), linear(2, 2)];
  const own = layer({
    init: (key) => ({ scale: ones([]), ...initEach(key, { norm, maps: { init: () => [map.init(key)] } }) }),
    apply: (p, x: Tensor, times: number) =>
      p.maps
        .reduce((y, each) => map.apply(each, y), norm.apply(p.norm, x))
        .mul(p.scale)
        .mul(times),
  });
  type Own = { scale: Tensor; norm: LayerNormParams; maps: LinearParams[] };
  expectTypeOf<ParamsOf<typeof own>>().branded.toEqualTypeOf<Own>();
  expectTypeOf(own.apply).parameters.branded.toEqualTypeOf<[Own, Tensor, number]>();
  const params = own.init(randomKey(0));
  const twice = own.apply(params, tensor([[1, 2]]), 2);
  await expectClose(twice, await values(own.apply(params, tensor([[1, 2]]), 1).mul(2)));
});
