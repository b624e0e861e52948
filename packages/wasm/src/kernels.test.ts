/**
 * Kernels of the sizes and strides that take the special paths of this device: blocks, ragged edges, packed operands,
 * segmented sums, many queries. Compared with the float64 reference; one, two and three threads must agree to the bit.
 */
import {
  createReferenceDevice,
  type Device,
  type DType,
  type Instruction,
  type Kernel,
  type ReduceOp,
  type ScalarOp,
} from '@clipin/kernel';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Case, distanceFromReference, noise, runCase, wholeNumbers } from './compare.test-helpers';
import { createWasmDevice } from './index';

let one: Device;
let two: Device;
let three: Device;
beforeAll(async () => {
  one = await createWasmDevice({ threads: 1, blas: false });
  two = await createWasmDevice({ threads: 2, blas: false });
  three = await createWasmDevice({ threads: 3, blas: false });
});
afterAll(() => {
  one.destroy();
  two.destroy();
  three.destroy();
});

/** Checks a case against the reference, and the bits on two and three threads against those on one. */
async function check(example: Case, tolerance: number): Promise<void> {
  expect(await distanceFromReference(one, example)).toBeLessThanOrEqual(tolerance);
  const bits = await runCase(one, example);
  for (const device of [two, three]) expect(await runCase(device, example)).toEqual(bits);
}

/** The rounding unit of f32. */
const u = 2 ** -24;
const f32 = (length: number, seed = 1) => ({ dtype: 'f32' as const, data: noise(length, seed) });
const output = (length: number) => ({ dtype: 'f32' as const, length });
const load = (input: number, strides: number[], offset = 0, dtype: DType = 'f32'): Instruction => ({
  op: 'load',
  dtype,
  input,
  index: { offset, strides },
  guards: [],
});
const reduced: Instruction = { op: 'reduced', dtype: 'f32' };

describe('loops', () => {
  const map = (axes: number[], program: Instruction[]): Kernel => ({
    kind: 'loop',
    axes,
    program,
    stores: [program.length - 1],
  });
  const copies: Record<string, [number[], Instruction, number]> = {
    'a long axis in blocks': [[10_003], load(0, [1]), 10_003],
    transposed: [[33, 45], load(0, [1, 33]), 33 * 45],
    flipped: [[33, 45], load(0, [45, -1], 44), 33 * 45],
    'flipped rows': [[33, 45], load(0, [-45, 1], 32 * 45), 33 * 45],
    'every third': [[10, 11], load(0, [33, 3]), 330],
    broadcast: [[3, 5, 7], load(0, [0, 1, 0]), 5],
    'a scalar': [[], load(0, []), 1],
  };
  test.each(Object.entries(copies))('%s', async (_, [axes, instruction, length]) => {
    const size = axes.reduce((a, b) => a * b, 1);
    await check({ kernel: map(axes, [instruction]), inputs: [f32(length)], outputs: [output(size)] }, 0);
  });

  test('padding reads nothing outside', async () => {
    const pad = (strides: number[], size: number) => ({ value: { offset: -2, strides }, size });
    const program: Instruction[] = [
      {
        op: 'load',
        dtype: 'f32',
        input: 0,
        index: { offset: -20, strides: [9, 1] },
        guards: [pad([1, 0], 5), pad([0, 1], 9)],
      },
    ];
    await check({ kernel: map([9, 13], program), inputs: [f32(45)], outputs: [output(117)] }, 0);
  });

  test.each([
    ['rows', [20, 10], [1, 0], [0, 1], 10],
    ['elements', [21, 3], [3, 1], [0, 0], 1],
  ] as const)('gathers %s; indices out of range give 0', async (_, axes, at, strides, stride) => {
    const program: Instruction[] = [
      load(1, [...at], 0, 'i32'),
      {
        op: 'load',
        dtype: 'f32',
        input: 0,
        index: { offset: 0, strides: [...strides] },
        guards: [],
        gather: { at: 0, stride, size: 7 },
      },
    ];
    const indices = wholeNumbers(64, 10).map((index) => index - 1);
    await check(
      {
        kernel: map([...axes], program),
        inputs: [f32(70), { dtype: 'i32', data: indices }],
        outputs: [output(axes[0] * axes[1])],
      },
      0,
    );
  });
});

describe('reductions', () => {
  const reduce = (axes: number[], over: number[], strides: number[], op: ReduceOp, offset = 0): Kernel => ({
    kind: 'loop',
    axes,
    program: [reduced],
    stores: [0],
    reduction: { op, dtype: 'f32', axes: over, program: [load(0, strides, offset)] },
  });
  const shapes: Record<string, [number[], number[], number[]]> = {
    rows: [[7], [103], [103, 1]],
    'short rows': [[50], [3], [3, 1]],
    columns: [[103], [9], [1, 103]],
    'few columns, many rows': [[37], [5183], [1, 37]],
    'one number': [[], [100_003], [1]],
    'few long rows': [[3], [40_001], [40_001, 1]],
    'axes in the middle': [
      [5, 6],
      [4, 3],
      [6, 1, 90, 30],
    ],
    'first and last axis': [[6], [40, 50], [50, 300, 1]],
    'rows run backwards': [[7], [103], [103, -1]],
    'every other element': [[9], [60], [120, 2]],
  };
  const cases = Object.entries(shapes).flatMap(([name, shape]) =>
    (['sum', 'max', 'min'] as const).map((op) => [op, name, shape] as const),
  );
  test.each(cases)('%s of %s', async (op, _, [axes, over, strides]) => {
    const count = over.reduce((a, b) => a * b, 1);
    const size = axes.reduce((a, b) => a * b, 1);
    const kernel = reduce(axes, over, strides, op, strides.includes(-1) ? count - 1 : 0);
    // Sums of n numbers below 1: at most n roundings of at most n; spread evenly they stay near √n.
    await check(
      { kernel, inputs: [f32(2 * count * size)], outputs: [output(size)] },
      op === 'sum' ? 4 * count * u : 0,
    );
  });

  test('of nothing', async () => {
    for (const op of ['sum', 'product', 'max', 'min'] as const) {
      await check({ kernel: reduce([5], [0], [1, 5], op), inputs: [f32(0)], outputs: [output(5)] }, 0);
    }
  });
});

describe('rows', () => {
  const fold = (number: number): Instruction => ({ ...reduced, fold: number });
  const step = (op: ScalarOp, ...args: number[]): Instruction => ({ op, dtype: 'f32', args });
  /** `exp(x − max) / Σ exp(x − max)`, and `max + log Σ exp(x − max)`. */
  const softmax = (axes: number[], row: number[], strides: number[]): Kernel => ({
    ...{ kind: 'row', axes, row },
    program: [
      ...[load(0, strides), fold(0), step('subtract', 0, 1), step('exp', 2), fold(1)],
      ...[step('divide', 3, 4), step('log', 4), step('add', 1, 6)],
    ],
    folds: [
      { op: 'max', of: 0 },
      { op: 'sum', of: 3 },
    ],
    ...{ stores: [5], rowStores: [7] },
  });
  const shapes: Record<string, [number[], number[], number[]]> = {
    'short, in groups': [[261], [33], [33, 1]],
    'groups cut short by the axis': [[9, 37], [20], [740, 20, 1]],
    'of one group each': [[300], [700], [700, 1]],
    long: [[5], [4099], [4099, 1]],
    'of two axes': [[150], [7, 9], [126, 18, 1]],
    'that lie across': [[150], [40], [1, 150]],
    'of one element': [[200], [1], [1, 1]],
    'a single one': [[], [100], [1]],
    'with rows swapped': [[70, 40], [16], [16, 1120, 1]],
  };
  test.each(Object.entries(shapes))('softmax of rows: %s', async (_, [axes, row, strides]) => {
    const [size, length] = [axes, row].map((shape) => shape.reduce((a, b) => a * b, 1)) as [number, number];
    const outputs = [output(size * length), output(size)];
    // A sum of n powers is off by n roundings, relative to itself; a logarithm by as much, absolutely.
    const tolerance = (length + 32) * u;
    await check(
      { kernel: softmax(axes, row, strides), inputs: [f32(2 * size * length)], outputs },
      tolerance,
    );
  });

  test('folds of nothing, and what does not depend on them', async () => {
    const kernel: Kernel = {
      ...{ kind: 'row', axes: [130], row: [0] },
      program: [load(0, [0, 1]), fold(0), load(1, [1, 0]), step('exp', 2), step('add', 1, 3)],
      folds: [{ op: 'sum', of: 0 }],
      ...{ stores: [0], rowStores: [4, 1] },
    };
    const outputs = [output(0), output(130), output(130)];
    await check({ kernel, inputs: [f32(0), f32(130)], outputs }, 16 * u);
  });
});

describe('matrix products', () => {
  const product = (
    batch: number[],
    [m, n, k]: readonly [number, number, number],
    a: number[],
    b: number[],
    program: Instruction[] = [reduced],
  ): Kernel => ({
    kind: 'matmul',
    batch,
    m,
    n,
    k,
    a: { input: 0, index: { offset: 0, strides: a } },
    b: { input: 1, index: { offset: 0, strides: b } },
    program,
    stores: [program.length - 1],
  });
  const sizes = [
    [1, 1, 1],
    [4, 8, 5],
    [5, 9, 7],
    [64, 64, 16],
    [67, 35, 30],
    [70, 40, 400],
    [5, 270, 70],
    [3, 50, 800],
    [96, 41, 20],
    [33, 1, 40],
    [20, 24, 1000],
    [5, 5, 0],
  ] as const;
  test.each(sizes)('%i x %i over %i, all forms of strides', async (m, n, k) => {
    const forms = [
      [
        [k, 1],
        [n, 1],
      ],
      [
        [1, m],
        [n, 1],
      ],
      [
        [k, 1],
        [1, k],
      ],
      [
        [1, m],
        [1, k],
      ],
      [
        [2 * k, 2],
        [2, 2 * k],
      ],
      [
        [0, 1],
        [1, 0],
      ],
      [
        [k, 0],
        [0, 1],
      ],
    ] as const;
    for (const [a, b] of forms) {
      const inputs = [f32(2 * m * k + k + m), f32(2 * n * k + n + k, 3)];
      await check(
        { kernel: product([], [m, n, k], [...a], [...b]), inputs, outputs: [output(m * n)] },
        2 * k * u,
      );
    }
  });

  const long = [
    [16, 16, 4200],
    [13, 21, 2300],
    [1, 9, 4100],
    [40, 48, 1100],
    [200, 60, 77],
    [6, 260, 256],
    [150, 20, 256],
  ] as const;
  test.each(long)(
    '%i x %i over %i: k in segments, blocks of rows, strides of powers of two',
    async (m, n, k) => {
      const epilogue: Instruction[] = [reduced, load(2, [0, 1]), { op: 'add', dtype: 'f32', args: [0, 1] }];
      for (const [a, b] of [
        [
          [k, 1],
          [n, 1],
        ],
        [
          [1, m],
          [n, 1],
        ],
        [
          [k, 1],
          [1, k],
        ],
        [
          [1, m],
          [1, k],
        ],
      ] as const)
        for (const program of [[reduced], epilogue])
          await check(
            {
              kernel: product([], [m, n, k], [...a], [...b], program),
              inputs: [f32(m * k), f32(n * k, 3), f32(n, 5)],
              outputs: [output(m * n)],
            },
            2 * k * u,
          );
    },
  );

  test('batches of long sums', async () => {
    const kernel = product([2], [10, 12, 3000], [30_000, 1, 10], [36_000, 12, 1]);
    await check({ kernel, inputs: [f32(60_000), f32(72_000, 3)], outputs: [output(240)] }, 6000 * u);
  });

  test('rows that run backwards', async () => {
    const kernel = product([], [21, 19, 15], [-15, 1], [-19, 1]);
    if (kernel.kind !== 'matmul') throw new TypeError('not a product');
    const flipped = {
      ...kernel,
      a: { input: 0, index: { offset: 20 * 15, strides: [-15, 1] } },
      b: { input: 1, index: { offset: 14 * 19, strides: [-19, 1] } },
    };
    await check(
      { kernel: flipped, inputs: [f32(21 * 15), f32(15 * 19, 2)], outputs: [output(21 * 19)] },
      30 * u,
    );
  });

  test.each([
    ['separate operands', [4 * 117, 117, 13, 1], [4 * 143, 143, 11, 1]],
    ['operands shared along an axis', [0, 117, 1, 9], [143, 0, 1, 13]],
    ['weights shared by all', [4 * 117, 117, 13, 1], [0, 0, 11, 1]],
  ])('batches with %s', async (_, a, b) => {
    const kernel = product([3, 4], [9, 11, 13], a, b);
    await check({ kernel, inputs: [f32(12 * 117), f32(12 * 143, 3)], outputs: [output(12 * 99)] }, 26 * u);
  });

  test('rows of a batch of vectors', async () => {
    const kernel = product([12], [1, 21, 13], [13, 1, 1], [0, 21, 1]);
    await check({ kernel, inputs: [f32(12 * 13), f32(13 * 21, 3)], outputs: [output(12 * 21)] }, 26 * u);
  });

  test('an epilogue of bias, function and residual, with two results', async () => {
    const program: Instruction[] = [
      reduced,
      load(2, [0, 1]),
      { op: 'add', dtype: 'f32', args: [0, 1] },
      { op: 'tanh', dtype: 'f32', args: [2] },
      load(3, [45, 1]),
      { op: 'add', dtype: 'f32', args: [3, 4] },
    ];
    const kernel: Kernel = {
      kind: 'matmul',
      batch: [],
      m: 70,
      n: 45,
      k: 400,
      a: { input: 0, index: { offset: 0, strides: [400, 1] } },
      b: { input: 1, index: { offset: 0, strides: [45, 1] } },
      program,
      stores: [5, 2],
    };
    const inputs = [f32(70 * 400), f32(400 * 45, 2), f32(45, 3), f32(70 * 45, 4)];
    await check({ kernel, inputs, outputs: [output(70 * 45), output(70 * 45)] }, 800 * u);
  });
});

describe('scatter-add', () => {
  test.each([
    [1, 10, 500, 96],
    [3, 7, 20, 5],
    [2, 5, 9, 16],
    [1, 4, 1000, 1],
    [2, 3, 0, 37],
  ])('%i times %i rows, %i updates of %i', async (batch, rows, count, width) => {
    const kernel: Kernel = { kind: 'scatterAdd', dtype: 'f32', indices: 'i32', batch, rows, count, width };
    const indices = wholeNumbers(batch * count, rows + 1);
    const inputs = [{ dtype: 'i32' as const, data: indices }, f32(batch * count * width)];
    await check({ kernel, inputs, outputs: [output(batch * rows * width)] }, count * u);
  });
});

describe('attention', () => {
  const sizes = [
    [2, 3, 37, 37, 24],
    [1, 2, 5, 7, 3],
    [1, 1, 100, 90, 9],
    [1, 1, 3, 0, 4],
    [1, 1, 130, 100, 4],
  ] as const;
  const options = sizes.flatMap((size) =>
    [false, true].flatMap((causal) =>
      ([undefined, 'rows', 'columns'] as const).map(
        (mask) => [causal ? 'causal' : 'plain', mask ?? 'no', size] as const,
      ),
    ),
  );
  test.each(options)(
    '%s, %s mask, %j, both directions of tokens',
    async (kind, masked, [batch, heads, queries, keys, dim]) => {
      for (const backwards of [false, true]) {
        const operand = (input: number, tokens: number) => ({
          input,
          index: {
            offset: backwards ? Math.max(0, tokens - 1) * heads * dim : 0,
            strides: [tokens * heads * dim, dim, (backwards ? -1 : 1) * heads * dim, 1],
          },
        });
        const mask = {
          input: 3,
          index: { offset: 0, strides: masked === 'rows' ? [0, 0, keys, 1] : [0, 0, 2, 2 * queries] },
        };
        const shape = {
          batch,
          heads,
          queries,
          keys,
          dim,
          scale: dim ** -0.5,
          causal: kind === 'causal',
          query: operand(0, queries),
          key: operand(1, keys),
          value: operand(2, keys),
          ...(masked !== 'no' && { mask }),
        };
        const [rows, columns] = [batch * queries * heads * dim, batch * keys * heads * dim];
        const inputs = [
          f32(rows, 1),
          f32(columns, 2),
          f32(columns, 3),
          { dtype: 'bool' as const, data: Uint32Array.from(wholeNumbers(2 * queries * keys, 2, 9)) },
        ];
        const forward: Case = {
          kernel: { kind: 'attention', ...shape },
          inputs,
          outputs: [output(rows), output(batch * heads * queries)],
        };
        const tolerance = (keys + dim + 16) * 2 * u;
        await check(forward, tolerance);
        const [result, logSumExp] = await runCase(createReferenceDevice(), forward);
        const saved = [result, logSumExp].map((data) => ({
          dtype: 'f32' as const,
          data: Float32Array.from(data ?? []),
        }));
        await check(
          {
            kernel: {
              kind: 'attentionBackward',
              ...shape,
              result: 4,
              logSumExp: 5,
              gradient: operand(6, queries),
            },
            inputs: [...inputs, ...saved, f32(rows, 7)],
            outputs: [output(rows), output(columns), output(columns)],
          },
          2 * tolerance + queries * u,
        );
      }
    },
  );
});
