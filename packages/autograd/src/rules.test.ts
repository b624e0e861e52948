/** Every derivative rule against central differences in float64, on random shapes, away from kinks. */
import { createReferenceDevice, type Shape } from '@clipin/kernel';
import { attention, type Range, setDefaultDevice, type Tensor, tensor, where, zeros } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { grad } from './index';

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

type Scalar = (...xs: Tensor[]) => Tensor;

const read = async (x: Tensor) => Array.from(await x.data());

/** Slopes of `f` at `xs[at]`, one element at a time. */
async function centralDifferences(f: Scalar, xs: readonly Tensor[], at: number): Promise<number[]> {
  const x = xs[at] as Tensor;
  const values = await read(x);
  const step = 1e-5;
  const shifted = (i: number, by: number) => {
    const moved = tensor(
      Float64Array.from(values, (v, j) => (i === j ? v + by : v)),
      x.shape,
    );
    return f(...xs.map((other, j) => (j === at ? moved : other))).item();
  };
  return Promise.all(
    values.map(async (_, i) => ((await shifted(i, step)) - (await shifted(i, -step))) / (2 * step)),
  );
}

/** Gradients of `Σ f(xs) · weights` for each of `xs` agree with central differences, for uneven weights. */
async function checkGradients(f: (...xs: Tensor[]) => Tensor, ...xs: Tensor[]): Promise<void> {
  const loss: Scalar = (...at) => {
    const y = f(...at);
    const weights = tensor(
      Float64Array.from({ length: y.size }, (_, i) => 1 + ((i * 7) % 5) / 4),
      y.shape,
    );
    return y.mul(weights).sum();
  };
  for (const [at, x] of xs.entries()) {
    const own = grad((target: Tensor) => loss(...xs.map((other, j) => (j === at ? target : other))))(x);
    expect(own.shape).toEqual(x.shape);
    const [found, expected] = [await read(own), await centralDifferences(loss, xs, at)];
    found.forEach((slope, i) => {
      const wanted = expected[i] as number;
      expect(Math.abs(slope - wanted)).toBeLessThanOrEqual(2e-6 * Math.max(1, Math.abs(wanted)));
    });
  }
}

const shapes = (minRank = 0, maxRank = 4) =>
  fc.array(fc.constantFrom(1, 2, 3), { minLength: minRank, maxLength: maxRank }).map((shape) => {
    const small: number[] = [];
    for (const n of shape) small.push(small.reduce((a, b) => a * b, n) > 12 ? 1 : n);
    return small;
  });

/** Numbers in ±[0.2, 1.8], all different, in an order from `seed`; `sign: 1` makes them positive. */
function numbers(shape: Shape, seed: number, sign?: 1): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const values = Float64Array.from({ length: size }, (_, i) => {
    const place = ((i * 7919 + seed) % 104729) / 104729;
    const scrambled = (place * 9301 + seed * 0.618) % 1;
    const size = 0.2 + 1.6 * scrambled;
    return sign || (i + seed) % 2 === 0 ? size : -size;
  });
  return tensor(values, shape);
}

const seeds = fc.nat(10000);
const runs = { numRuns: 15 };

const unary: Record<string, (x: Tensor) => Tensor> = {
  neg: (x) => x.neg(),
  abs: (x) => x.abs(),
  floor: (x) => x.floor().add(x),
  exp: (x) => x.exp(),
  sin: (x) => x.sin(),
  cos: (x) => x.cos(),
  tanh: (x) => x.tanh(),
  erf: (x) => x.erf(),
  square: (x) => x.square(),
  'a cast there and back, which stops': (x) => x.cast('i32').cast('f32').mul(x),
  bitcast: (x) => x.bitcast('i32').bitcast('f32').mul(0).add(x),
};
const positive: Record<string, (x: Tensor) => Tensor> = { sqrt: (x) => x.sqrt(), log: (x) => x.log() };
const binary: Record<string, (x: Tensor, y: Tensor) => Tensor> = {
  add: (x, y) => x.add(y),
  sub: (x, y) => x.sub(y),
  mul: (x, y) => x.mul(y),
  div: (x, y) => x.div(y),
  maximum: (x, y) => x.maximum(y),
  minimum: (x, y) => x.minimum(y),
  where: (x, y) => where(y.less(0), x, y),
  'comparisons, which stop': (x, y) =>
    x.less(y).or(x.equal(y)).and(x.lessEqual(y)).xor(y.less(x)).not().cast('f32').mul(x).mul(y),
};

describe('scalar operations', () => {
  const all = [...Object.entries(unary), ...Object.entries(positive)];
  test.each(all)('%s', async (name, f) => {
    await checkProperty(
      fc.asyncProperty(shapes(), seeds, async (shape, seed) => {
        await checkGradients(f, numbers(shape, seed, name in positive ? 1 : undefined));
      }),
      runs,
    );
  });

  test.each(Object.entries(binary))('%s, broadcast', async (_, f) => {
    const broadcasts = fc.array(fc.boolean(), { minLength: 4, maxLength: 4 });
    await checkProperty(
      fc.asyncProperty(shapes(0, 3), broadcasts, broadcasts, seeds, async (shape, ones, others, seed) => {
        const shrink = (flags: boolean[]) => shape.map((n, axis) => (flags[axis] ? 1 : n));
        const second = others[3] ? shrink(others).slice(1) : shrink(others);
        await checkGradients(f, numbers(shrink(ones), seed), numbers(second, seed + 1));
      }),
      runs,
    );
  });

  test.each(
    [...Object.entries(unary), ...Object.entries(positive)].filter(
      ([name]) => !/floor|stops|bitcast/.test(name),
    ),
  )('second derivative of %s', async (name, f) => {
    await checkProperty(
      fc.asyncProperty(shapes(0, 2), seeds, async (shape, seed) => {
        const slope = (x: Tensor) => grad((y: Tensor) => f(y).mul(y).sum())(x);
        await checkGradients(slope, numbers(shape, seed, name in positive ? 1 : undefined));
      }),
      { numRuns: 6 },
    );
  });

  test('ties share the gradient; at 0, abs has slope 0', async () => {
    const x = tensor([1, 2, 0]);
    expect(await read(grad((y: Tensor) => y.maximum(tensor([1, 1, 1])).sum())(x))).toEqual([0.5, 1, 0]);
    expect(await read(grad((y: Tensor) => y.minimum(tensor([1, 1, 1])).sum())(x))).toEqual([0.5, 0, 1]);
    expect(await read(grad((y: Tensor) => y.abs().sum())(x))).toEqual([1, 1, 0]);
    expect(await read(grad((y: Tensor) => y.max())(tensor([3, 1, 3])))).toEqual([0.5, 0, 0.5]);
  });

  test('what is not chosen sends no NaN back', async () => {
    const x = tensor([0, 4]);
    expect(await read(grad((y: Tensor) => where(y.equal(0), 0, y.sqrt()).sum())(x))).toEqual(
      [NaN, 0.25].map((v, i) => (i ? v : NaN)),
    );
    const safe = (y: Tensor) => where(y.equal(0), 0, where(y.equal(0), 1, y).sqrt()).sum();
    expect(await read(grad(safe)(x))).toEqual([0, 0.25]);
  });
});

describe('movement', () => {
  test('reshape, transpose, expand, pad, flip', async () => {
    await checkProperty(
      fc.asyncProperty(shapes(1), seeds, fc.nat(3), async (shape, seed, width) => {
        const x = numbers(shape, seed);
        await checkGradients((y) => y.reshape([-1]).square(), x);
        await checkGradients((y) => y.transpose().exp(), x);
        await checkGradients(
          (y) =>
            y
              .expandDims(0)
              .expand([2, ...shape])
              .sin(),
          x,
        );
        await checkGradients((y) => y.pad(shape.map((_, axis) => [axis % 2, width] as const)).exp(), x);
        await checkGradients((y) => y.flip(0).mul(y), x);
      }),
      runs,
    );
  });

  test('slices with any start, stop and step', async () => {
    const ends = fc.option(fc.integer({ min: -6, max: 6 }), { nil: undefined });
    const ranges: fc.Arbitrary<Range> = fc.tuple(ends, ends, fc.constantFrom(1, 2, 3, -1, -2, -3));
    await checkProperty(
      fc.asyncProperty(
        fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 })),
        ranges,
        ranges,
        seeds,
        async (shape, a, b, seed) => {
          await checkGradients((y) => y.slice(a, b).exp(), numbers(shape, seed));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('slices of 8 axes', async () => {
    await checkGradients(
      (y) => y.slice([], [0, 5, 2], [], [], [], [], [], [undefined, undefined, -2]).exp(),
      numbers([1, 3, 1, 1, 1, 1, 1, 3], 1),
    );
  });
});

describe('reductions', () => {
  test('sum, mean, max, min, product along any axes', async () => {
    await checkProperty(
      fc.asyncProperty(shapes(1), fc.nat(15), fc.boolean(), seeds, async (shape, bits, keepDims, seed) => {
        const axes = shape.map((_, axis) => axis).filter((axis) => bits & (1 << axis));
        const x = numbers(shape, seed);
        for (const op of ['sum', 'mean', 'max', 'min', 'product'] as const) {
          await checkGradients((y) => y[op](axes, { keepDims }).mul(2).tanh(), x);
        }
      }),
      runs,
    );
  });

  test('products with zeros', async () => {
    for (const zerosAt of [[0], [1], [0, 1], [0, 1, 2]]) {
      const values = [1.5, -0.5, 2, 0.7, 3, -1].map((v, i) => (zerosAt.includes(i) ? 0 : v));
      await checkGradients((x) => x.product(1), tensor(Float64Array.from(values), [2, 3]));
      await checkGradients((x) => x.product(), tensor(Float64Array.from(values), [2, 3]));
    }
  });
});

describe('products and lookups', () => {
  test('matmul, batched and broadcast', async () => {
    const sizes = fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
    );
    const batches = fc.constantFrom<[number[], number[]]>(
      [[], []],
      [[2], [2]],
      [[2], []],
      [[], [3]],
      [[2, 1], [3]],
      [[1], [2]],
    );
    await checkProperty(
      fc.asyncProperty(sizes, batches, seeds, async ([m, k, n], [first, second], seed) => {
        await checkGradients(
          (a, b) => a.matmul(b).tanh(),
          numbers([...first, m, k], seed),
          numbers([...second, k, n], seed + 3),
        );
      }),
      { numRuns: 25 },
    );
  });

  test('gather and scatterAdd, with duplicates, out of range, and batch axes', async () => {
    const cases = fc.record({
      batch: fc.constantFrom([], [2]),
      count: fc.integer({ min: 1, max: 4 }),
      rest: fc.constantFrom([], [2]),
      rows: fc.integer({ min: 1, max: 3 }),
      seed: seeds,
    });
    await checkProperty(
      fc.asyncProperty(cases, async ({ batch, count, rest, rows, seed }) => {
        const size = [...batch, count].reduce((a, b) => a * b);
        const indices = tensor(
          Int32Array.from({ length: size }, (_, i) => ((i * 31 + seed) % (rows + 2)) - 1),
          [...batch, count],
        );
        const options = { batchDims: batch.length };
        await checkGradients(
          (x) => x.gather(indices, options).exp(),
          numbers([...batch, rows, ...rest], seed),
        );
        await checkGradients(
          (x) => x.scatterAdd(indices, rows, options).exp(),
          numbers([...batch, count, ...rest], seed),
        );
        const twice = (x: Tensor) => grad((y: Tensor) => y.gather(indices, options).square().sum())(x);
        await checkGradients(twice, numbers([...batch, rows, ...rest], seed));
      }),
      { numRuns: 25 },
    );
  });

  test('attention with masks, rows that see nothing among them, once and twice', async () => {
    const cases = fc.record({
      batch: fc.constantFrom(1, 2),
      queries: fc.integer({ min: 1, max: 3 }),
      keys: fc.integer({ min: 1, max: 3 }),
      heads: fc.constantFrom(1, 2),
      causal: fc.boolean(),
      mask: fc.option(fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }), { nil: undefined }),
      seed: seeds,
    });
    await checkProperty(
      fc.asyncProperty(cases, async ({ batch, queries, keys, heads, causal, mask, seed }) => {
        const bits = mask && tensor(mask.slice(0, queries * keys), [queries, keys]);
        const options = { causal, ...(bits && { mask: bits }) };
        const f = (q: Tensor, k: Tensor, v: Tensor) => attention(q, k, v, options).result;
        const inputs = [queries, keys, keys].map((tokens, i) =>
          numbers([batch, tokens, heads, 2], seed + i),
        ) as [Tensor, Tensor, Tensor];
        await checkGradients(f, ...inputs);
        const [, key, value] = inputs;
        await checkGradients(
          (q) => grad((x: Tensor) => f(x, key, value.mul(x.mean())).square().sum())(q),
          inputs[0],
        );
      }),
      { numRuns: 12 },
    );
  });

  test('attention of all hidden keys has gradients 0', async () => {
    const x = numbers([1, 2, 1, 2], 3);
    const mask = zeros([2, 2], { dtype: 'bool' });
    const g = grad((y: Tensor) => attention(y, y, y, { mask }).result.square().sum())(x);
    expect(await read(g)).toEqual([0, 0, 0, 0]);
  });
});
