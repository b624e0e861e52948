/** Every scalar operation, movement and composition on random shapes and dtypes, against nested loops. */
import { createReferenceDevice, type DType, type ScalarOp, type Shape, sizeOf } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import * as lib from './index';
import { setDefaultDevice, type Tensor } from './index';
import type { Plain } from './plain.test-helpers';
import * as plain from './plain.test-helpers';
import { Choices, randomPlain, randomShape, toTensor } from './random-graph.test-helpers';

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

const read = async (x: Tensor) => Array.from(await x.data());

async function expectSame(found: Tensor, expected: Plain): Promise<void> {
  expect([found.dtype, found.shape]).toEqual([expected.dtype, expected.shape]);
  expect(await read(found)).toEqual(expected.data);
}

async function expectClose(found: Tensor, expected: Plain): Promise<void> {
  expect([found.dtype, found.shape]).toEqual([expected.dtype, expected.shape]);
  (await read(found)).forEach((v, i) => {
    const wanted = expected.data[i] as number;
    if (Number.isFinite(wanted))
      expect(Math.abs(v - wanted)).toBeLessThanOrEqual(1e-12 * (1 + Math.abs(wanted)));
    else expect(v).toBe(wanted);
  });
}

const seeds = fc.nat();
const onSeeds = (check: (choices: Choices) => Promise<void>, numRuns = 40) =>
  checkProperty(
    fc.asyncProperty(seeds, (seed) => check(new Choices(seed))),
    { numRuns },
  );

/** Ordinary numbers with NaN, infinities, signed zeros and the ends of the integers among them. */
function edgy(choices: Choices, dtype: DType, shape: Shape): Plain {
  const x = randomPlain(choices, dtype, shape);
  if (dtype === 'bool') return x;
  const ends = {
    f16: [Number.NaN, Infinity, -0, 65504, 2 ** -24],
    f32: [Number.NaN, Infinity, -Infinity, -0, 1e30, 2 ** 31, 2 ** 32, -1.5],
    i32: [-(2 ** 31), 2 ** 31 - 1, -1],
    u32: [2 ** 32 - 1, 2 ** 31, 31],
  }[dtype];
  return { ...x, data: x.data.map((v) => (choices.chance(20) ? choices.pick(ends) : v)) };
}

type Unary = 'neg' | 'abs' | 'floor' | 'sqrt' | 'exp' | 'log' | 'sin' | 'cos' | 'tanh' | 'not';
const unary: readonly [Unary, ScalarOp, DType][] = [
  ...(['neg', 'abs', 'floor', 'sqrt', 'exp', 'log', 'sin', 'cos', 'tanh'] as const).map(
    (name): [Unary, ScalarOp, DType] => [name, name === 'neg' ? 'negate' : name, 'f32'],
  ),
  ['neg', 'negate', 'i32'],
  ['neg', 'negate', 'u32'],
  ['abs', 'abs', 'i32'],
  ['not', 'not', 'i32'],
  ['not', 'not', 'u32'],
  ['not', 'not', 'bool'],
];

type Binary = Extract<
  keyof Tensor,
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'remainder'
  | 'maximum'
  | 'minimum'
  | 'and'
  | 'or'
  | 'xor'
  | 'shiftLeft'
  | 'shiftRight'
>;
const names: Record<Binary, ScalarOp> = {
  add: 'add',
  sub: 'subtract',
  mul: 'multiply',
  div: 'divide',
  remainder: 'remainder',
  maximum: 'max',
  minimum: 'min',
  and: 'and',
  or: 'or',
  xor: 'xor',
  shiftLeft: 'shiftLeft',
  shiftRight: 'shiftRight',
};
const arithmetic = ['add', 'sub', 'mul', 'div', 'maximum', 'minimum'] as const;
const logic = ['and', 'or', 'xor'] as const;
const binary: readonly [Binary, DType][] = [
  ...arithmetic.flatMap((name) =>
    (['f32', 'i32', 'u32'] as const).map((dtype): [Binary, DType] => [name, dtype]),
  ),
  ...logic.flatMap((name) =>
    (['bool', 'i32', 'u32'] as const).map((dtype): [Binary, DType] => [name, dtype]),
  ),
  ...(['remainder', 'shiftLeft', 'shiftRight'] as const).flatMap((name): [Binary, DType][] => [
    [name, 'i32'],
    [name, 'u32'],
  ]),
];

/** Two shapes that broadcast, of up to 8 axes. */
function twoShapes(choices: Choices): [Shape, Shape] {
  const shape = randomShape(choices, 8);
  const shrink = () => shape.map((n) => (choices.chance(25) ? 1 : n)).slice(choices.below(shape.length + 1));
  return choices.chance(50) ? [shape, shrink()] : [shrink(), shape];
}

describe('scalar operations', () => {
  test.each(unary)('%s (%s of %s)', async (method, op, dtype) => {
    await onSeeds(async (choices) => {
      const x = edgy(choices, dtype, randomShape(choices, 8));
      await expectSame(toTensor(x)[method](), plain.elementwise(op, dtype, x));
    });
  });

  test('erf, by numerical integration', async () => {
    await onSeeds(async (choices) => {
      const x = randomPlain(choices, 'f32', [choices.below(6)]);
      const found = await read(toTensor(x).erf());
      plain.elementwise('erf', 'f32', x).data.forEach((v, i) => {
        expect(found[i]).toBeCloseTo(v, 10);
      });
    });
  });

  test.each(binary)('%s of %s', async (method, dtype) => {
    await onSeeds(async (choices) => {
      const [first, second] = twoShapes(choices);
      const [a, b] = [edgy(choices, dtype, first), edgy(choices, dtype, second)];
      await expectSame(toTensor(a)[method](toTensor(b)), plain.elementwise(names[method], dtype, a, b));
    });
  });

  test.each(['f32', 'i32', 'u32', 'bool'] as const)('comparisons of %s', async (dtype) => {
    await onSeeds(async (choices) => {
      const [first, second] = twoShapes(choices);
      const [a, b] = [edgy(choices, dtype, first), edgy(choices, dtype, second)];
      const [x, y] = [toTensor(a), toTensor(b)];
      const pairs = plain.elementwise('less', 'bool', a, b);
      await expectSame(x.less(y), pairs);
      await expectSame(x.greater(y), plain.elementwise('less', 'bool', b, a));
      await expectSame(x.lessEqual(y), plain.elementwise('lessEqual', 'bool', a, b));
      await expectSame(x.greaterEqual(y), plain.elementwise('lessEqual', 'bool', b, a));
      await expectSame(x.equal(y), plain.elementwise('equal', 'bool', a, b));
      await expectSame(
        x.notEqual(y),
        plain.elementwise('not', 'bool', plain.elementwise('equal', 'bool', a, b)),
      );
      await expectSame(
        lib.where(x.equal(y), x, y),
        plain.elementwise('select', dtype, plain.elementwise('equal', 'bool', a, b), a, b),
      );
    });
  });

  test('casts and bit casts between all dtypes', async () => {
    const all = ['f32', 'i32', 'u32', 'bool'] as const;
    await onSeeds(async (choices) => {
      for (const from of all) {
        const x = edgy(choices, from, [7]);
        for (const to of all) {
          await expectSame(toTensor(x).cast(to), plain.elementwise('cast', to, x));
          const bits =
            from !== 'bool' &&
            to !== 'bool' &&
            x.data.every((v) => Object.is(Math.fround(v), v) || from !== 'f32');
          if (bits) await expectSame(toTensor(x).bitcast(to), plain.elementwise('bitcast', to, x));
        }
      }
    });
  });
});

describe('movement of up to 8 axes', () => {
  test('transpose, swapAxes, expandDims, squeeze, flip', async () => {
    await onSeeds(async (choices) => {
      const x = randomPlain(choices, 'f32', randomShape(choices, 8));
      const axes = x.shape.map((_, axis) => axis);
      const t = toTensor(x);
      await expectSame(t.transpose(), plain.transpose(x, [...axes].reverse()));
      await expectSame(
        t.squeeze(),
        plain.reshape(
          x,
          x.shape.filter((n) => n !== 1),
        ),
      );
      await expectSame(
        t.flip(),
        plain.take(
          x,
          x.shape.map((n) => Array.from({ length: n }, (_, i) => n - 1 - i)),
        ),
      );
      if (axes.length < 8) await expectSame(t.expandDims(-1), plain.reshape(x, [...x.shape, 1]));
      if (axes.length < 2) return;
      const [a, b] = [choices.below(axes.length), choices.below(axes.length)];
      const swapped = axes.map((axis) => (axis === a ? b : axis === b ? a : axis));
      await expectSame(t.swapAxes(a, b - axes.length), plain.transpose(x, swapped));
    });
  });

  test('stack and split undo each other', async () => {
    await onSeeds(async (choices) => {
      const shape = randomShape(choices, 6, 20);
      const parts = [0, 1, 2].map(() => randomPlain(choices, 'i32', shape));
      const axis = choices.below(shape.length + 1);
      const stacked = lib.stack(parts.map(toTensor), axis);
      for (const [i, part] of lib.split(stacked, 3, axis).entries()) {
        await expectSame(part.squeeze(axis), parts[i] as Plain);
      }
    });
  });
});

describe('compositions', () => {
  /** A random f32 array and one of its axes, which is not empty. */
  const withAxis = (choices: Choices): [Plain, number] => {
    const shape = randomShape(choices, 4).map((n) => Math.max(1, n));
    return [randomPlain(choices, 'f32', [...shape, 3]), choices.below(shape.length + 1)];
  };
  /** Applies `f` to the numbers along an axis. */
  const along = (
    x: Plain,
    axis: number,
    f: (row: number[], i: number) => number,
    dtype: DType = 'f32',
  ): Plain =>
    plain.build(dtype, x.shape, (index) => {
      const row = Array.from({ length: x.shape[axis] as number }, (_, i) =>
        plain.at(
          x,
          index.map((n, a) => (a === axis ? i : n)),
        ),
      );
      return f(row, index[axis] as number);
    });
  const first = (x: Plain, axis: number): Plain => {
    const rows = x.shape.map((n, a) => Array.from({ length: a === axis ? 1 : n }, (_, i) => i));
    return plain.reshape(
      plain.take(x, rows),
      x.shape.filter((_, a) => a !== axis),
    );
  };
  const total = (row: readonly number[]) => row.reduce((sum, v) => sum + Math.exp(v), 0);

  test('softmax, logSoftmax, logSumExp, sigmoid', async () => {
    await onSeeds(async (choices) => {
      const [x, axis] = withAxis(choices);
      const t = toTensor(x);
      await expectClose(
        lib.softmax(t, axis),
        along(x, axis, (row, i) => Math.exp(row[i] as number) / total(row)),
      );
      await expectClose(
        lib.logSoftmax(t, axis),
        along(x, axis, (row, i) => (row[i] as number) - Math.log(total(row))),
      );
      await expectClose(
        lib.logSumExp(t, axis),
        first(
          along(x, axis, (row) => Math.log(total(row))),
          axis,
        ),
      );
      await expectClose(lib.sigmoid(t), { ...x, data: x.data.map((v) => 1 / (1 + Math.exp(-v))) });
    });
    await expectClose(lib.logSumExp(lib.tensor([1000, 1000])), {
      dtype: 'f32',
      shape: [],
      data: [1000 + Math.LN2],
    });
    await expectClose(lib.softmax(lib.tensor([-1000, 1000])), { dtype: 'f32', shape: [2], data: [0, 1] });
  });

  test('mean and variance', async () => {
    await onSeeds(async (choices) => {
      const [x, axis] = withAxis(choices);
      const mean = (row: readonly number[]) => row.reduce((sum, v) => sum + v, 0) / row.length;
      const spread = (row: readonly number[]) => mean(row.map((v) => (v - mean(row)) ** 2));
      await expectClose(toTensor(x).mean(axis), first(along(x, axis, mean), axis));
      await expectClose(lib.variance(toTensor(x), axis), first(along(x, axis, spread), axis));
    });
  });

  test('argMax, oneHot, all, any, eye', async () => {
    await onSeeds(async (choices) => {
      const [x, axis] = withAxis(choices);
      const best = along(x, axis, (row) => row.indexOf(Math.max(...row)), 'i32');
      await expectSame(lib.argMax(toTensor(x), axis), first(best, axis));
      const indices = randomPlain(choices, 'i32', randomShape(choices, 4));
      const hot = plain.build('f32', [...indices.shape, 4], (index) =>
        Number(plain.at(indices, index.slice(0, -1)) === index[index.length - 1]),
      );
      await expectSame(lib.oneHot(toTensor(indices), 4), hot);
      const truths = randomPlain(choices, 'bool', x.shape);
      const every = along(truths, axis, (row) => Number(row.every(Boolean)), 'bool');
      const some = along(truths, axis, (row) => Number(row.some(Boolean)), 'bool');
      await expectSame(lib.all(toTensor(truths), axis), first(every, axis));
      await expectSame(lib.any(toTensor(truths), axis), first(some, axis));
      const n = choices.below(5);
      await expectSame(
        lib.eye(n),
        plain.build('f32', [n, n], ([i, j]) => Number(i === j)),
      );
    });
  });

  test('attention with scale, causality and masks that broadcast', async () => {
    await onSeeds(async (choices) => {
      const [batch, heads, dim] = [1 + choices.below(2), 1 + choices.below(2), 1 + choices.below(3)];
      const [queries, keys] = [choices.below(4), choices.below(4)];
      const inputs = [queries, keys, keys].map((n) =>
        randomPlain(choices, 'f32', [batch, n, heads, dim]),
      ) as [Plain, Plain, Plain];
      const mask = choices.chance(50)
        ? randomPlain(choices, 'bool', choices.pick([[queries, keys], [batch, 1, 1, keys], [keys]]))
        : undefined;
      const options = { scale: 0.7, causal: choices.chance(50) };
      const [q, k, v] = inputs.map(toTensor) as [Tensor, Tensor, Tensor];
      const { result, logSumExp } = lib.attention(q, k, v, {
        ...options,
        ...(mask && { mask: toTensor(mask) }),
      });
      const [wanted, denominators] = plain.attention(inputs, { ...options, ...(mask && { mask }) });
      await expectClose(result, wanted);
      if (sizeOf(wanted.shape) > 0) await expectClose(logSumExp, denominators);
    });
  });
});

describe('trees', () => {
  test('mapTree, leaves and withLeaves keep structure and order', async () => {
    const tree = { b: [lib.tensor(1), 'text', null], a: { c: lib.tensor(2) }, n: 3 };
    expect(lib.leaves(tree).map(({ path }) => path)).toEqual(['b.0', 'a.c']);
    const sum = lib.mapTree((x, y, z) => x.add(y as Tensor).mul(z as Tensor), tree, tree, tree);
    expect(sum.n).toBe(3);
    expect(sum.b.slice(1)).toEqual(['text', null]);
    expect(await Promise.all(lib.leaves(sum).map(({ tensor }) => tensor.item()))).toEqual([2, 8]);
    const { leaves, structure } = lib.flatten(tree);
    expect(lib.unflatten(structure, leaves)).toEqual(tree);
    expect(lib.evaluate(tree)).toBe(tree);
  });
});
