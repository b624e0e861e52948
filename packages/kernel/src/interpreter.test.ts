/** The oracle against cases small enough for paper, textbook formulas, and finite differences. */
import { describe, expect, test } from 'vitest';
import type { DType, TypedArray } from './dtype';
import { createReferenceDevice } from './interpreter';
import type {
  Affine,
  AttentionBackwardKernel,
  AttentionKernel,
  Instruction,
  Kernel,
  ReduceOp,
} from './kernel';

interface Column {
  readonly dtype: DType;
  readonly data: ArrayLike<number>;
}

const f32 = (...data: number[]): Column => ({ dtype: 'f32', data });
const i32 = (...data: number[]): Column => ({ dtype: 'i32', data });
const u32 = (...data: number[]): Column => ({ dtype: 'u32', data });
const bool = (...data: number[]): Column => ({ dtype: 'bool', data });

/** Runs one kernel; outputs are given by dtype and length. */
async function run(
  kernel: Kernel,
  inputs: readonly Column[],
  outputs: readonly [DType, number][],
): Promise<TypedArray[]> {
  const device = createReferenceDevice();
  const allocate = (dtype: DType, length: number) => device.allocate(dtype, length);
  const table = [
    ...inputs.map(({ dtype, data }) => {
      const buffer = allocate(dtype, data.length);
      device.write(buffer, Float64Array.from(data));
      return buffer;
    }),
    ...outputs.map(([dtype, length]) => {
      const buffer = allocate(dtype, length);
      device.write(buffer, new Float64Array(length).fill(1));
      return buffer;
    }),
  ];
  const program = device.load([
    {
      kernel,
      inputs: inputs.map((_, i) => i),
      inputTypes: inputs.map(({ dtype }) => dtype),
      outputs: outputs.map((_, i) => inputs.length + i),
      outputTypes: outputs.map(([dtype]) => dtype),
    },
  ]);
  program.run(table);
  return Promise.all(table.slice(inputs.length).map((buffer) => device.read(buffer)));
}

const affine = (offset: number, ...strides: number[]): Affine => ({ offset, strides });
const load = (input: number, index: Affine, dtype: DType = 'f32'): Instruction => ({
  ...{ op: 'load', dtype, input, index },
  guards: [],
});
const reduced: Instruction = { op: 'reduced', dtype: 'f32' };

describe('loops', () => {
  test('of no axes run once, of an empty axis never', async () => {
    const constant: Instruction = { op: 'constant', dtype: 'f32', value: 5 };
    const [once] = await run({ kind: 'loop', axes: [], program: [constant], stores: [0] }, [], [['f32', 1]]);
    expect(once).toEqual(Float64Array.of(5));
    const [never] = await run(
      { kind: 'loop', axes: [2, 0], program: [constant], stores: [0] },
      [],
      [['f32', 0]],
    );
    expect(never).toHaveLength(0);
  });

  test('read transposed, flipped, sliced and broadcast inputs', async () => {
    const matrix = f32(1, 2, 3, 4, 5, 6); // [2, 3]
    const read = async (index: Affine) => {
      const kernel: Kernel = { kind: 'loop', axes: [3, 2], program: [load(0, index)], stores: [0] };
      return [...((await run(kernel, [matrix], [['f32', 6]]))[0] ?? [])];
    };
    expect(await read(affine(0, 1, 3))).toEqual([1, 4, 2, 5, 3, 6]);
    expect(await read(affine(5, -1, -3))).toEqual([6, 3, 5, 2, 4, 1]);
    expect(await read(affine(0, 1, 0))).toEqual([1, 1, 2, 2, 3, 3]);
    expect(await read(affine(1, 0, 2))).toEqual([2, 4, 2, 4, 2, 4]);
  });

  test('read 0 where a guard is out of range', async () => {
    const guards = [{ value: affine(-1, 1), size: 2 }];
    const program: Instruction[] = [{ op: 'load', dtype: 'f32', input: 0, index: affine(-1, 1), guards }];
    const [padded] = await run({ kind: 'loop', axes: [5], program, stores: [0] }, [f32(7, 8)], [['f32', 5]]);
    expect(padded).toEqual(Float64Array.of(0, 7, 8, 0, 0));
  });

  test('gather rows, and 0 for rows that are not there', async () => {
    const program: Instruction[] = [
      load(1, affine(0, 1, 0), 'i32'),
      {
        ...{ op: 'load', dtype: 'f32', input: 0 },
        index: affine(0, 0, 1),
        guards: [],
        gather: { at: 0, stride: 2, size: 2 },
      },
    ];
    const kernel: Kernel = { kind: 'loop', axes: [4, 2], program, stores: [1] };
    const [rows] = await run(kernel, [f32(1, 2, 3, 4), i32(1, -1, 0, 2)], [['f32', 8]]);
    expect(rows).toEqual(Float64Array.of(3, 4, 0, 0, 1, 2, 0, 0));
  });

  test('know their indices, and store several results', async () => {
    const program: Instruction[] = [
      { op: 'index', dtype: 'i32', index: affine(10, 3, -1) },
      { op: 'constant', dtype: 'i32', value: 12 },
      { op: 'less', dtype: 'bool', args: [0, 1] },
      { op: 'cast', dtype: 'f32', args: [0] },
    ];
    const kernel: Kernel = { kind: 'loop', axes: [2, 2], program, stores: [0, 2, 3] };
    const outputs = await run(
      kernel,
      [],
      [
        ['i32', 4],
        ['bool', 4],
        ['f32', 4],
      ],
    );
    expect(outputs).toEqual([
      Int32Array.of(10, 9, 13, 12),
      Uint32Array.of(1, 1, 0, 0),
      Float64Array.of(10, 9, 13, 12),
    ]);
  });

  test('say which element is out of bounds', async () => {
    const kernel: Kernel = { kind: 'loop', axes: [3], program: [load(0, affine(0, 1))], stores: [0] };
    await expect(run(kernel, [f32(1, 2)], [['f32', 3]])).rejects.toThrow(
      'input 0 has 2 elements, the kernel reads number 2',
    );
  });
});

describe('reductions', () => {
  const rows = (op: ReduceOp, dtype: DType, columns: number): Kernel => ({
    kind: 'loop',
    axes: [2],
    reduction: { op, dtype, axes: [columns], program: [load(0, affine(0, columns, 1), dtype)] },
    program: [{ op: 'reduced', dtype }],
    stores: [0],
  });

  test.each<[ReduceOp, Column, number[]]>([
    ['sum', f32(1, 2, 3, -4, 5, 6), [6, 7]],
    ['product', f32(1, 2, 3, -4, 5, 6), [6, -120]],
    ['max', f32(1, 2, 3, -4, 5, 6), [3, 6]],
    ['min', f32(1, 2, 3, -4, 5, 6), [1, -4]],
    ['sum', i32(2 ** 31 - 1, 1, 0, -1, -2, -3), [-(2 ** 31), -6]],
    ['product', i32(65536, 65536, 3, 65535, 65537, 1), [0, -1]],
    ['product', u32(65536, 65535, 1, 65535, 65537, 1), [4294901760, 4294967295]],
    ['sum', u32(2 ** 32 - 1, 2, 0, 1, 1, 1), [1, 3]],
    ['max', bool(0, 0, 0, 0, 1, 0), [0, 1]],
    ['min', bool(1, 1, 1, 0, 1, 1), [1, 0]],
  ])('%s', async (op, input, expected) => {
    const [result] = await run(rows(op, input.dtype, 3), [input], [[input.dtype, 2]]);
    expect([...(result ?? [])]).toEqual(expected);
  });

  test.each<[ReduceOp, DType, number]>([
    ['sum', 'f32', 0],
    ['product', 'f32', 1],
    ['max', 'f32', -Infinity],
    ['min', 'f32', Infinity],
    ['max', 'i32', -(2 ** 31)],
    ['min', 'u32', 2 ** 32 - 1],
    ['max', 'bool', 0],
    ['min', 'bool', 1],
  ])('%s of no %s', async (op, dtype, expected) => {
    const [result] = await run(rows(op, dtype, 0), [{ dtype, data: [] }], [[dtype, 2]]);
    expect([...(result ?? [])]).toEqual([expected, expected]);
  });

  test('with programs before and after: Σ x² / 2 + bias', async () => {
    const kernel: Kernel = {
      kind: 'loop',
      axes: [2],
      reduction: {
        ...{ op: 'sum', dtype: 'f32', axes: [2, 2] },
        program: [load(0, affine(0, 4, 2, 1)), { op: 'multiply', dtype: 'f32', args: [0, 0] }],
      },
      program: [
        reduced,
        { op: 'constant', dtype: 'f32', value: 0.5 },
        { op: 'multiply', dtype: 'f32', args: [0, 1] },
        load(1, affine(0, 1)),
        { op: 'add', dtype: 'f32', args: [2, 3] },
      ],
      stores: [4, 0],
    };
    const inputs = [f32(1, 2, 3, 4, 0, 1, 0, 1), f32(100, 200)];
    const outputs = await run(kernel, inputs, [
      ['f32', 2],
      ['f32', 2],
    ]);
    expect(outputs).toEqual([Float64Array.of(115, 201), Float64Array.of(30, 2)]);
  });
});

describe('matmul', () => {
  test('of two matrices on paper', async () => {
    const kernel: Kernel = {
      ...{ kind: 'matmul', batch: [], m: 2, n: 2, k: 3 },
      a: { input: 0, index: affine(0, 3, 1) },
      b: { input: 1, index: affine(0, 2, 1) },
      program: [reduced],
      stores: [0],
    };
    const [product] = await run(kernel, [f32(1, 2, 3, 4, 5, 6), f32(7, 8, 9, 10, 11, 12)], [['f32', 4]]);
    expect(product).toEqual(Float64Array.of(58, 64, 139, 154));
  });

  test('in batches, of a transpose and a broadcast, with bias and residual, by plain loops', async () => {
    const [batch, m, n, k] = [3, 4, 5, 6];
    const a = Array.from({ length: batch * k * m }, (_, i) => Math.sin(i)); // [batch, k, m]
    const b = Array.from({ length: k * n }, (_, i) => Math.cos(i)); // [k, n]
    const bias = Array.from({ length: n }, (_, i) => i);
    const residual = Array.from({ length: batch * m * n }, (_, i) => i / 7);
    const kernel: Kernel = {
      ...{ kind: 'matmul', batch: [batch], m, n, k },
      a: { input: 0, index: affine(0, k * m, 1, m) },
      b: { input: 1, index: affine(0, 0, n, 1) },
      program: [
        reduced,
        load(2, affine(0, 0, 0, 1)),
        { op: 'add', dtype: 'f32', args: [0, 1] },
        load(3, affine(0, m * n, n, 1)),
        { op: 'add', dtype: 'f32', args: [2, 3] },
      ],
      stores: [4, 2],
    };
    const size = batch * m * n;
    const [sum, biased] = await run(
      kernel,
      [f32(...a), f32(...b), f32(...bias), f32(...residual)],
      [
        ['f32', size],
        ['f32', size],
      ],
    );
    for (let p = 0, at = 0; p < batch; p++)
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++, at++) {
          let product = 0;
          for (let l = 0; l < k; l++)
            product += (a[(p * k + l) * m + i] as number) * (b[l * n + j] as number);
          expect(biased?.[at]).toBeCloseTo(product + j, 12);
          expect(sum?.[at]).toBeCloseTo(product + j + at / 7, 12);
        }
  });

  test('of no terms is 0', async () => {
    const kernel: Kernel = {
      ...{ kind: 'matmul', batch: [], m: 1, n: 2, k: 0 },
      a: { input: 0, index: affine(0, 0, 1) },
      b: { input: 1, index: affine(0, 2, 1) },
      program: [reduced],
      stores: [0],
    };
    expect((await run(kernel, [f32(), f32()], [['f32', 2]]))[0]).toEqual(Float64Array.of(0, 0));
  });
});

test('scatterAdd adds duplicates and drops what is out of range', async () => {
  const kernel: Kernel = {
    ...{ kind: 'scatterAdd', dtype: 'f32', indices: 'i32' },
    ...{ batch: 2, rows: 2, count: 3, width: 2 },
  };
  const indices = i32(1, 1, -1, 0, 2, 0);
  const updates = f32(1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60);
  const [sums] = await run(kernel, [indices, updates], [['f32', 8]]);
  expect(sums).toEqual(Float64Array.of(0, 0, 4, 6, 60, 80, 0, 0));
});

describe('attention', () => {
  const [batch, heads, queries, keys, dim] = [2, 2, 3, 4, 2];
  const scale = 0.7;
  const wave = (length: number, phase: number) => Array.from({ length }, (_, i) => Math.sin(1.7 * i + phase));
  const query = wave(batch * heads * queries * dim, 0);
  const key = wave(batch * heads * keys * dim, 1);
  const value = wave(batch * heads * keys * dim, 2);
  const gradient = wave(batch * heads * queries * dim, 3);
  // One row of queries sees nothing at all.
  const mask = Array.from({ length: queries * keys }, (_, i) =>
    i >= keys && i < 2 * keys ? 0 : i % 3 === 1 ? 0 : 1,
  );
  const tokens = (n: number): Affine => affine(0, heads * n * dim, n * dim, dim, 1);

  const kernelOf = (causal: boolean, masked: boolean): AttentionKernel => ({
    ...{ kind: 'attention', batch, heads, queries, keys, dim, scale, causal },
    query: { input: 0, index: tokens(queries) },
    key: { input: 1, index: tokens(keys) },
    value: { input: 2, index: tokens(keys) },
    ...(masked && { mask: { input: 3, index: affine(0, 0, 0, keys, 1) } }),
  });

  const outputs: [DType, number][] = [
    ['f32', batch * queries * heads * dim],
    ['f32', batch * heads * queries],
  ];

  const forward = (kernel: AttentionKernel, q = query, k = key, v = value) =>
    run(kernel, [f32(...q), f32(...k), f32(...v), bool(...mask)], outputs);

  const modes = [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ] as const;

  test.each(modes)('causal %s, masked %s: exp(q·k) v / Σ exp(q·k)', async (causal, masked) => {
    const [result, logSumExp] = await forward(kernelOf(causal, masked));
    for (let bh = 0; bh < batch * heads; bh++)
      for (let i = 0; i < queries; i++) {
        let denominator = 0;
        const numerator = new Array<number>(dim).fill(0);
        for (let j = 0; j < keys; j++) {
          if ((causal && j > i) || (masked && mask[i * keys + j] === 0)) continue;
          let score = 0;
          for (let d = 0; d < dim; d++)
            score +=
              (query[(bh * queries + i) * dim + d] as number) * (key[(bh * keys + j) * dim + d] as number);
          const weight = Math.exp(scale * score);
          denominator += weight;
          for (let d = 0; d < dim; d++)
            numerator[d] = (numerator[d] as number) + weight * (value[(bh * keys + j) * dim + d] as number);
        }
        const [b, h] = [Math.floor(bh / heads), bh % heads];
        for (let d = 0; d < dim; d++) {
          const expected = denominator === 0 ? 0 : (numerator[d] as number) / denominator;
          expect(result?.[((b * queries + i) * heads + h) * dim + d]).toBeCloseTo(expected, 13);
        }
        const logarithm = logSumExp?.[bh * queries + i];
        if (denominator === 0) expect(logarithm).toBe(-Infinity);
        else expect(logarithm).toBeCloseTo(Math.log(denominator), 13);
      }
  });

  /** `Σ gradient · attention`, whose derivatives the backward kernel gives. */
  async function loss(kernel: AttentionKernel, q: number[], k: number[], v: number[]): Promise<number> {
    const [result] = await forward(kernel, q, k, v);
    let sum = 0;
    for (let b = 0; b < batch; b++)
      for (let h = 0; h < heads; h++)
        for (let i = 0; i < queries; i++)
          for (let d = 0; d < dim; d++)
            sum +=
              (gradient[((b * heads + h) * queries + i) * dim + d] as number) *
              (result?.[((b * queries + i) * heads + h) * dim + d] ?? NaN);
    return sum;
  }

  test.each(modes)('causal %s, masked %s: the derivative by central differences', async (causal, masked) => {
    const kernel = kernelOf(causal, masked);
    const [result, logSumExp] = await forward(kernel);
    const backward: AttentionBackwardKernel = {
      ...kernel,
      ...{ kind: 'attentionBackward', result: 4, logSumExp: 5 },
      gradient: { input: 6, index: tokens(queries) },
    };
    const inputs = [query, key, value].map((data) => f32(...data));
    const gradients = await run(
      backward,
      [...inputs, bool(...mask), f32(...(result ?? [])), f32(...(logSumExp ?? [])), f32(...gradient)],
      [queries, keys, keys].map((n) => ['f32', batch * n * heads * dim]),
    );
    const step = 1e-5;
    for (const [which, data] of [query, key, value].entries()) {
      const n = which === 0 ? queries : keys;
      for (let at = 0; at < data.length; at += 3) {
        const moved = (by: number) => {
          const all = [query, key, value].map((values) => [...values]) as [number[], number[], number[]];
          const own = all[which] as number[];
          own[at] = (own[at] as number) + by;
          return loss(kernel, ...all);
        };
        const slope = ((await moved(step)) - (await moved(-step))) / (2 * step);
        // The operand lies as [batch, heads, tokens, dim], its gradient as [batch, tokens, heads, dim].
        const [d, token, bh] = [at % dim, Math.floor(at / dim) % n, Math.floor(at / (dim * n))];
        const [b, h] = [Math.floor(bh / heads), bh % heads];
        expect(gradients[which]?.[((b * n + token) * heads + h) * dim + d]).toBeCloseTo(slope, 8);
      }
    }
  });
});

describe('the device', () => {
  test('reads f32 back in float64, and counts its memory', async () => {
    const device = createReferenceDevice();
    const buffer = device.allocate('f32', 1);
    device.write(buffer, Float64Array.of(0.1));
    expect(await device.read(buffer)).toEqual(Float64Array.of(0.1));
    expect(device.memory).toMatchObject({ bytes: 8, buffers: 1 });
    device.free(buffer);
    expect(device.memory).toMatchObject({ bytes: 0, buffers: 0 });
  });

  test('names the lengths that do not fit, and buffers that are gone', async () => {
    const device = createReferenceDevice();
    const buffer = device.allocate('i32', 3);
    expect(() => device.write(buffer, Int32Array.of(1, 2))).toThrow(
      'write: the buffer has 3 elements, the data 2',
    );
    device.free(buffer);
    expect(() => device.free(buffer)).toThrow(
      'reference: this buffer was freed or belongs to another device',
    );
    await expect(device.read(buffer)).rejects.toThrow('freed');
  });
});
