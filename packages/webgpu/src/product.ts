/** A matrix product as it stands alone: what the tuner times and what probes compare. */
import { contiguousStrides, type Launch } from '@clipin/kernel';

/**
 * Buffer 0 times buffer 1 into buffer 2, f32; buffer 3 `[n]`, where there is one, is added to every row.
 *
 * @param transposed - whether the operands lie by columns
 */
export function product(
  { m, n, k }: { readonly m: number; readonly n: number; readonly k: number },
  {
    dtype = 'f32',
    transposed = false,
    bias = false,
  }: { readonly dtype?: 'f16' | 'f32'; readonly transposed?: boolean; readonly bias?: boolean } = {},
): Launch {
  const matrix = (rows: number, columns: number) => ({
    offset: 0,
    strides: transposed ? [1, rows] : contiguousStrides([rows, columns]),
  });
  const sum = { op: 'reduced', dtype: 'f32' } as const;
  const index = { offset: 0, strides: [0, 1] };
  const row = { op: 'load', dtype: 'f32', input: 2, index, guards: [] } as const;
  return {
    kernel: {
      kind: 'matmul',
      batch: [],
      m,
      n,
      k,
      a: { input: 0, index: matrix(m, k) },
      b: { input: 1, index: matrix(k, n) },
      program: bias ? [sum, row, { op: 'add', dtype: 'f32', args: [0, 1] }] : [sum],
      stores: [bias ? 2 : 0],
    },
    inputs: bias ? [0, 1, 3] : [0, 1],
    inputTypes: bias ? [dtype, dtype, 'f32'] : [dtype, dtype],
    outputs: [2],
    outputTypes: ['f32'],
  };
}
