/** A block of a matrix product by one call of BLAS: what `tiles.ts` is for our own tiles. */
import type { Affine } from '@clipin/kernel';
import { type BlasMatrix, type BlasPlan, cblas, type WidenedBlock } from './blas';
import { type Code, call, i32, loadInt, op, plus } from './code';
import { elementAddress } from './frame';
import { halfBytes, widenLines } from './half';
import { imported, type Local, type ModuleBuilder } from './module';
import type { SimpleMatmul } from './nest';
import type { Block } from './tiles';

/** The plan with operands that lie otherwise than it was made for: computed for each block. */
export function withLeading(plan: BlasPlan, { batch, a, b, produced }: SimpleMatmul): BlasPlan {
  const leading = ({ strides }: Affine): number => Math.max(...strides.slice(batch.length));
  return {
    ...plan,
    ...(produced.a && { a: { ...plan.a, leading: leading(a) } }),
    ...(produced.b && { b: { ...plan.b, leading: leading(b) } }),
  };
}

/** Bytes of a thread's memory that `blasProduct` wants. */
export const blasBytes = ({ wideA, wideB }: BlasPlan): number => (wideA?.bytes ?? 0) + (wideB?.bytes ?? 0);

/** Code that computes one block into rows of sums of `leadingC` elements. `own` is an address of `blasBytes`. */
export function blasProduct(
  module: ModuleBuilder,
  kernel: SimpleMatmul,
  plan: BlasPlan,
  leadingC: number,
  inputs: { readonly a: Local; readonly b: Local },
  own: Code,
): (block: Block) => Code {
  const { a, b, k } = kernel;
  const { wideA, wideB } = plan;
  const ownB = plus(own, wideA?.bytes ?? 0);
  const element = (
    operand: Local,
    { strides, offset }: Affine,
    place: readonly (Code | undefined)[],
    wide?: WidenedBlock,
  ) => elementAddress(operand.get, place, strides, offset, wide ? halfBytes : 4);
  // BLAS knows no bounds: the first and last elements are read here, which fails where they are not in the memory.
  const touch = (address: Code): Code => op('drop', loadInt(address));
  /** Widens a block of `rows` by `columns` halves from `start` on. */
  const widen = (
    matrix: BlasMatrix,
    wide: WidenedBlock,
    start: Code,
    to: Code,
    rows: Code,
    columns: Code,
  ) => {
    const [lines, length] = matrix.transpose === cblas.plain ? [rows, columns] : [columns, rows];
    return call(
      widenLines(module),
      ...[start, to, lines, length],
      ...[i32(halfBytes * matrix.leading), i32(4 * wide.leading)],
    );
  };
  return ({ outer, row, rows, column, columns, to }) => {
    const lastRow = plus(op('i32.add', row, rows), -1);
    const lastColumn = plus(op('i32.add', column, columns), -1);
    const last = i32(k - 1);
    const aStart = element(inputs.a, a, [...outer, row], wideA);
    const bStart = element(inputs.b, b, [...outer, undefined, column], wideB);
    return [
      wideA
        ? widen(plan.a, wideA, aStart, own, rows, i32(k))
        : [touch(aStart), touch(element(inputs.a, a, [...outer, lastRow, last]))],
      wideB
        ? widen(plan.b, wideB, bStart, ownB, i32(k), columns)
        : [touch(bStart), touch(element(inputs.b, b, [...outer, last, lastColumn]))],
      touch(elementAddress(to, [plus(rows, -1), plus(columns, -1)], [leadingC, 1])),
      call(
        imported.sgemm,
        i32(plan.a.transpose),
        i32(plan.b.transpose),
        rows,
        columns,
        i32(k),
        wideA ? own : aStart,
        i32((wideA ?? plan.a).leading),
        wideB ? ownB : bStart,
        i32((wideB ?? plan.b).leading),
        to,
        i32(leadingC),
      ),
    ];
  };
}
