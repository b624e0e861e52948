/** A block of a matrix product by one call of BLAS: what `tiles.ts` is for our own tiles. */
import type { Affine } from '@clipin/kernel';
import type { BlasPlan } from './blas';
import { type Code, call, i32, loadInt, op, plus } from './code';
import { elementAddress } from './frame';
import { imported, type Local } from './module';
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

/** Code that computes one block into rows of sums of `leadingC` elements. */
export function blasProduct(
  kernel: SimpleMatmul,
  plan: BlasPlan,
  leadingC: number,
  inputs: { readonly a: Local; readonly b: Local },
): (block: Block) => Code {
  const { a, b, k } = kernel;
  const element = (operand: Local, { strides, offset }: Affine, place: readonly (Code | undefined)[]) =>
    elementAddress(operand.get, place, strides, offset);
  // BLAS knows no bounds: the first and last elements are read here, which fails where they are not in the memory.
  const touch = (address: Code): Code => op('drop', loadInt(address));
  return ({ outer, row, rows, column, columns, to }) => {
    const lastRow = plus(op('i32.add', row, rows), -1);
    const lastColumn = plus(op('i32.add', column, columns), -1);
    const last = i32(k - 1);
    const aStart = element(inputs.a, a, [...outer, row]);
    const bStart = element(inputs.b, b, [...outer, undefined, column]);
    return [
      touch(aStart),
      touch(element(inputs.a, a, [...outer, lastRow, last])),
      touch(bStart),
      touch(element(inputs.b, b, [...outer, last, lastColumn])),
      touch(elementAddress(to, [plus(rows, -1), plus(columns, -1)], [leadingC, 1])),
      call(
        imported.sgemm,
        i32(plan.a.transpose),
        i32(plan.b.transpose),
        rows,
        columns,
        i32(k),
        aStart,
        i32(plan.a.leading),
        bStart,
        i32(plan.b.leading),
        to,
        i32(leadingC),
      ),
    ];
  };
}
