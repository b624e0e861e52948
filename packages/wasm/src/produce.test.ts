/**
 * Products of operands that are programs, at sizes where they are cut into blocks, given to BLAS, or too long to be computed at
 * once: equal to the exact sums (all numbers are small whole ones), and the same on any number of threads.
 */
import type { Affine, Instruction, MatmulKernel, Operand, Producer } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { load, runCase } from './compare.test-helpers';
import { createWasmDevice } from './index';

/** How a matrix may lie, as strides of its rows and columns. */
const layouts = {
  rows: (_: number, columns: number): number[] => [columns, 1],
  columns: (rows: number): number[] => [1, rows],
};

/** `x · s + r` with `x` as large as the operand, `s` the same along its rows, `r` along its columns. */
const program = (first: number, strides: number[]): readonly Instruction[] => [
  load(first, strides),
  load(first + 1, [1, 0]),
  load(first + 2, [0, 1]),
  { op: 'multiply', dtype: 'f32', args: [0, 1] },
  { op: 'add', dtype: 'f32', args: [3, 2] },
];

const whole = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => ((i * 7 + seed * 13 + (i >> 3)) % 5) - 2);

/** An operand, its inputs, and its elements. */
function operandOf(
  first: number,
  rows: number,
  columns: number,
  layout: keyof typeof layouts,
  made: boolean,
) {
  const strides = layouts[layout](rows, columns);
  const data = [whole(rows * columns, first), whole(rows, first + 1), whole(columns, first + 2)] as const;
  const [x, s, r] = data;
  const index: Affine = { offset: 0, strides };
  const operand: Operand | Producer = made ? { program: program(first, strides) } : { input: first, index };
  const at = (row: number, column: number): number => {
    const value = x[row * (strides[0] as number) + column * (strides[1] as number)] as number;
    return made ? value * (s[row] as number) + (r[column] as number) : value;
  };
  return { operand, data, at };
}

const layout = fc.constantFrom<keyof typeof layouts>('rows', 'columns');
const sizes = fc.oneof(
  fc.tuple(
    fc.integer({ min: 1, max: 200 }),
    fc.integer({ min: 1, max: 90 }),
    fc.integer({ min: 1, max: 400 }),
  ),
  fc.tuple(
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 30_000, max: 70_000 }),
  ),
);
const cases = fc
  .record({ sizes, a: layout, b: layout, made: fc.constantFrom('a', 'b', 'ab') })
  .map(({ sizes: [m, n, k], a, b, made }) => {
    const left = operandOf(0, m, k, a, made.includes('a'));
    const right = operandOf(3, k, n, b, made.includes('b'));
    const kernel: MatmulKernel<Operand | Producer> = {
      ...{ kind: 'matmul', batch: [], m, n, k, a: left.operand, b: right.operand },
      program: [{ op: 'reduced', dtype: 'f32' }],
      stores: [0],
    };
    const exact = new Float32Array(m * n);
    for (let row = 0; row < m; row++)
      for (let column = 0; column < n; column++) {
        let sum = 0;
        for (let i = 0; i < k; i++) sum += left.at(row, i) * right.at(i, column);
        exact[row * n + column] = sum;
      }
    const inputs = [...left.data, ...right.data].map((data) => ({ dtype: 'f32' as const, data }));
    return {
      exact,
      toString: () => JSON.stringify({ m, n, k, a, b, made }),
      example: { kernel, inputs, outputs: [{ dtype: 'f32' as const, length: m * n }] },
    };
  });

describe.each([
  ['one thread', { threads: 1, blas: false }],
  ['two threads', { threads: 2, blas: false }],
  ['BLAS, if it is here', { threads: 2 }],
])('products of operands that are programs: %s', (_, options) => {
  let device: Awaited<ReturnType<typeof createWasmDevice>>;
  beforeAll(async () => {
    device = await createWasmDevice(options);
  });
  afterAll(() => device.destroy());

  test('are exact', async () => {
    await checkProperty(
      fc.asyncProperty(cases, async ({ example, exact }) => {
        const [result] = await runCase(device, example);
        expect(result).toEqual(exact);
      }),
      { numRuns: 30 },
    );
  });
});
