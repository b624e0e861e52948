/** What plans know of operands that are programs, before they are computed: `produce.ts` has the code. */
import type { Affine, Instruction } from '@clipin/kernel';

/** The most elements of an operand that a thread computes at once, if that leaves room for a tile. */
export const mostProduced = 2 ** 18;

/** Whether a program reads memory rather along the first than along the second of the last two axes. */
export function walksFirst(program: readonly Instruction[], rank: number): boolean {
  const loads = program.flatMap((step) => (step.op === 'load' ? [step.index.strides] : []));
  const along = (axis: number) =>
    loads.filter((strides) => Math.abs(strides[axis] ?? 0) === 1).length -
    loads.filter((strides) => Math.abs(strides[axis] ?? 0) > 1).length;
  return along(rank - 2) > along(rank - 1);
}

/** The affine function of a matrix of its own, as if all of it were computed: what plans are made with. */
export function planned(
  program: readonly Instruction[],
  rank: number,
  rows: number,
  columns: number,
): Affine {
  const [row, column] = walksFirst(program, rank) ? [1, rows] : [columns, 1];
  return { offset: 0, strides: [...new Array<number>(rank - 2).fill(0), row, column] };
}
