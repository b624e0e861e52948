/** For tests: short ways to write launches. */
import { type Body, contiguousStrides, type Instruction, type Launch, type ReduceOp } from '@clipin/kernel';

const f32 = 'f32';

/** A load of an input, affine with these strides. */
export const load = (input: number, strides: readonly number[], offset = 0): Instruction => ({
  op: 'load',
  dtype: f32,
  input,
  index: { offset, strides },
  guards: [],
});

/** `output = a + b` over `axes`; the buffers are numbers 0, 1, 2; `b` is read from `offset` on. */
export const addLaunch = (
  axes: readonly number[],
  a = contiguousStrides(axes),
  b = contiguousStrides(axes),
  buffers: readonly [number, number, number] = [0, 1, 2],
  offset = 0,
): Launch => ({
  kernel: {
    kind: 'loop',
    axes,
    program: [load(0, a), load(1, b, offset), { op: 'add', dtype: f32, args: [0, 1] }],
    stores: [2],
  },
  inputs: buffers.slice(0, 2),
  inputTypes: [f32, f32],
  outputs: [buffers[2]],
  outputTypes: [f32],
});

/** The fold of buffer 0 over `inner`, into buffer 1. */
export const reduceLaunch = (
  axes: readonly number[],
  inner: readonly number[],
  strides: readonly number[],
  op: ReduceOp = 'sum',
): Launch => ({
  kernel: {
    kind: 'loop',
    axes,
    program: [{ op: 'reduced', dtype: f32 }],
    stores: [0],
    reduction: { op, dtype: f32, axes: inner, program: [load(0, strides)] },
  },
  inputs: [0],
  inputTypes: [f32],
  outputs: [1],
  outputTypes: [f32],
});

/** Buffer 1: `exp(x − max) / Σ exp(x − max)` of the rows of buffer 0; buffer 2: their sums. */
export const softmaxLaunch = (rows: number, length: number): Launch => ({
  kernel: {
    kind: 'row',
    axes: [rows],
    row: [length],
    program: [
      load(0, [length, 1]),
      { op: 'reduced', dtype: f32, fold: 0 },
      { op: 'subtract', dtype: f32, args: [0, 1] },
      { op: 'exp', dtype: f32, args: [2] },
      { op: 'reduced', dtype: f32, fold: 1 },
      { op: 'divide', dtype: f32, args: [3, 4] },
    ],
    folds: [
      { op: 'max', of: 0 },
      { op: 'sum', of: 3 },
    ],
    stores: [5],
    rowStores: [4],
  },
  inputs: [0],
  inputTypes: [f32],
  outputs: [1, 2],
  outputTypes: [f32, f32],
});

/** Buffer 0 times buffer 1, either transposed, into buffer 2; with `bias`, buffer 3 `[n]` is added. */
export function matmulLaunch(
  { batch = [], m, n, k }: { batch?: readonly number[]; m: number; n: number; k: number },
  { left = false, right = false, bias = false }: { left?: boolean; right?: boolean; bias?: boolean } = {},
): Launch {
  const strides = (rows: number, columns: number, transposed: boolean) => {
    const all = contiguousStrides([...batch, rows, columns]);
    return transposed ? [...all.slice(0, -2), 1, rows] : all;
  };
  const reduced: Instruction = { op: 'reduced', dtype: f32 };
  const withBias: Body = {
    program: [reduced, load(2, [...batch.map(() => 0), 0, 1]), { op: 'add', dtype: f32, args: [0, 1] }],
    stores: [2],
  };
  return {
    kernel: {
      kind: 'matmul',
      batch,
      m,
      n,
      k,
      a: { input: 0, index: { offset: 0, strides: strides(m, k, left) } },
      b: { input: 1, index: { offset: 0, strides: strides(k, n, right) } },
      ...(bias ? withBias : { program: [reduced], stores: [0] }),
    },
    inputs: bias ? [0, 1, 3] : [0, 1],
    inputTypes: bias ? [f32, f32, f32] : [f32, f32],
    outputs: [2],
    outputTypes: [f32],
  };
}
