/** Single kernels of the kind that training runs, with what one run of each amounts to. How they are timed: `main.ts`. */
import { type DType, type Instruction, type Kernel, sizeOf } from '@clipin/kernel';

/** A kernel, and the lengths of the f32 buffers that it reads and writes. */
export interface KernelWork {
  readonly name: string;
  readonly kernel: Kernel;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** What one run does, and in which unit a second of it is reported. */
  readonly amount: number;
  readonly unit: 'GFLOP/s' | 'GB/s';
}

const load = (input: number, strides: number[], dtype: DType = 'f32'): Instruction => ({
  op: 'load',
  dtype,
  input,
  index: { offset: 0, strides },
  guards: [],
});
const binary = (op: 'add' | 'multiply' | 'subtract' | 'divide', a: number, b: number): Instruction => ({
  op,
  dtype: 'f32',
  args: [a, b],
});
const unary = (op: 'exp' | 'log' | 'tanh' | 'erf' | 'sqrt', a: number): Instruction => ({
  op,
  dtype: 'f32',
  args: [a],
});
const reduced: Instruction = { op: 'reduced', dtype: 'f32' };
const value = (n: number): Instruction => ({ op: 'constant', dtype: 'f32', value: n });

function matmul(
  label: string,
  [m, k, n]: readonly [number, number, number],
  form: 'nn' | 'tn' | 'nt',
  batch: number[] = [],
  program: Instruction[] = [reduced],
): KernelWork {
  const count = sizeOf(batch);
  const outer = (size: number) => batch.map(() => size);
  const a = form === 'tn' ? [1, m] : [k, 1];
  const b = form === 'nt' ? [1, k] : [n, 1];
  return {
    name: `matmul ${label || form} ${batch.length ? `${batch}x` : ''}${m}x${k}x${n}`,
    kernel: {
      kind: 'matmul',
      batch,
      m,
      n,
      k,
      a: { input: 0, index: { offset: 0, strides: [...outer(m * k), ...a] } },
      b: { input: 1, index: { offset: 0, strides: [...outer(k * n), ...b] } },
      program,
      stores: [program.length - 1],
    },
    inputs: [count * m * k, count * k * n, n],
    outputs: [count * m * n],
    amount: 2 * count * m * k * n,
    unit: 'GFLOP/s',
  };
}

const gelu: Instruction[] = [
  reduced,
  load(2, [0, 1]),
  binary('add', 0, 1),
  value(Math.SQRT1_2),
  binary('multiply', 2, 3),
  unary('erf', 4),
  value(1),
  binary('add', 5, 6),
  value(0.5),
  binary('multiply', 2, 8),
  binary('multiply', 9, 7),
];

const n = 5184 * 96;
const map = (
  name: string,
  program: Instruction[],
  inputs: number,
  axes = [n],
  stores = [program.length - 1],
): KernelWork => ({
  name,
  kernel: { kind: 'loop', axes, program, stores },
  inputs: new Array<number>(inputs).fill(sizeOf(axes)),
  outputs: stores.map(() => sizeOf(axes)),
  amount: 4 * (inputs + stores.length) * sizeOf(axes),
  unit: 'GB/s',
});
const reduce = (
  name: string,
  axes: number[],
  over: number[],
  strides: number[],
  program: Instruction[] = [load(0, strides)],
): KernelWork => ({
  name,
  kernel: {
    kind: 'loop',
    axes,
    program: [reduced],
    stores: [0],
    reduction: { op: 'sum', dtype: 'f32', axes: over, program },
  },
  inputs: [sizeOf(axes) * sizeOf(over)],
  outputs: [sizeOf(axes)],
  amount: 4 * sizeOf(axes) * sizeOf(over),
  unit: 'GB/s',
});
const adam: Instruction[] = [
  load(0, [1]),
  load(1, [1]),
  load(2, [1]),
  load(3, [1]),
  value(0.9),
  value(0.1),
  value(0.99),
  value(0.01),
  binary('multiply', 1, 5),
  binary('multiply', 2, 4),
  binary('add', 8, 9),
  binary('multiply', 1, 1),
  binary('multiply', 11, 7),
  binary('multiply', 3, 6),
  binary('add', 12, 13),
  unary('sqrt', 14),
  value(1e-8),
  binary('add', 15, 16),
  binary('divide', 10, 17),
  value(1e-3),
  binary('multiply', 18, 19),
  binary('subtract', 0, 20),
];

function attention(batch: number, heads: number, tokens: number, dim: number): KernelWork[] {
  const strides = [tokens * heads * dim, dim, heads * dim, 1];
  const operand = (input: number) => ({ input, index: { offset: 0, strides } });
  const size = batch * heads * tokens * dim;
  const shape = {
    batch,
    heads,
    queries: tokens,
    keys: tokens,
    dim,
    scale: dim ** -0.5,
    causal: false,
    query: operand(0),
    key: operand(1),
    value: operand(2),
  };
  const label = `${batch}x${heads}x${tokens}x${dim}`;
  return [
    {
      name: `attention ${label}`,
      kernel: { kind: 'attention', ...shape },
      inputs: [size, size, size],
      outputs: [size, batch * heads * tokens],
      amount: 4 * size * tokens,
      unit: 'GFLOP/s',
    },
    {
      name: `attentionBackward ${label}`,
      kernel: { kind: 'attentionBackward', ...shape, result: 3, logSumExp: 4, gradient: operand(5) },
      inputs: [size, size, size, size, batch * heads * tokens, size],
      outputs: [size, size, size],
      amount: 10 * size * tokens,
      unit: 'GFLOP/s',
    },
  ];
}

/** The kernels, many with the shapes of the small CLIP: 144 images of 36 patches, width 96. */
export const kernels: readonly KernelWork[] = [
  ...[256, 512, 1024].flatMap((s) =>
    (['nn', 'tn', 'nt'] as const).map((form) => matmul('', [s, s, s], form)),
  ),
  ...(['nn', 'tn', 'nt'] as const).map((form) => matmul('', [36, 32, 36], form, [288])),
  matmul('', [5184, 96, 384], 'nn'),
  matmul('gelu', [5184, 96, 384], 'nn', [], gelu),
  matmul('', [5184, 384, 96], 'nn'),
  matmul('', [5184, 96, 96], 'nn'),
  matmul('', [5184, 384, 96], 'nt'),
  matmul('', [5184, 96, 384], 'nt'),
  matmul('', [96, 5184, 384], 'tn'),
  matmul('', [384, 5184, 96], 'tn'),
  matmul('', [96, 5184, 96], 'tn'),
  matmul('', [128, 96, 128], 'nt'),
  map('copy', [load(0, [1])], 1),
  map('add', [load(0, [1]), load(1, [1]), binary('add', 0, 1)], 2),
  map('bias', [load(0, [96, 1]), load(1, [0, 1]), binary('add', 0, 1)], 2, [5184, 96]),
  map('exp', [load(0, [1]), unary('exp', 0)], 1),
  map('log', [load(0, [1]), unary('log', 0)], 1),
  map('tanh', [load(0, [1]), unary('tanh', 0)], 1),
  map('erf', [load(0, [1]), unary('erf', 0)], 1),
  map('adam', adam, 4, [n], [21, 10, 14]),
  map('transpose', [load(0, [1, 5184])], 1, [5184, 96]),
  map('heads', [load(0, [36 * 96, 24, 96, 1])], 1, [144, 4, 36, 24]),
  map('small add 96x96', [load(0, [1]), load(1, [1]), binary('add', 0, 1)], 2, [9216]),
  reduce('row sums 5184x96', [5184], [96], [96, 1]),
  reduce(
    'row variance 5184x96',
    [5184],
    [96],
    [96, 1],
    [load(0, [96, 1]), load(0, [96, 0]), binary('subtract', 0, 1), binary('multiply', 2, 2)],
  ),
  reduce('column sums 5184x96', [96], [5184], [1, 96]),
  reduce('column sums 5184x384', [384], [5184], [1, 384]),
  reduce('sum', [], [n], [1]),
  ...attention(144, 4, 36, 24),
  ...attention(8, 4, 256, 32),
  {
    name: 'scatter 4096 of 2048x96',
    kernel: {
      kind: 'scatterAdd',
      dtype: 'f32',
      indices: 'i32',
      batch: 1,
      rows: 2048,
      count: 4096,
      width: 96,
    },
    inputs: [4096, 4096 * 96],
    outputs: [2048 * 96],
    amount: 4 * 96 * (4096 * 3 + 2048),
    unit: 'GB/s',
  },
];
