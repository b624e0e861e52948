/**
 * Fewer, longer loops: neighbouring axes that every affine function walks as if they were one become one, and axes of
 * size 1 disappear. Devices then see `[5184, 96]` or `[497664]` instead of `[144, 36, 3, 32]`.
 */
import {
  type Affine,
  affinesOf,
  type Body,
  type Instruction,
  mapAffines,
  type Reduction,
  type RowKernel,
  type Shape,
} from '@clipin/kernel';

/** Which old axes each new axis is made of, innermost last. */
type Groups = readonly (readonly number[])[];

/** Groups axes `from … to − 1` so that all the affine functions stay affine. */
function group(extents: Shape, affines: readonly Affine[], from: number, to: number): number[][] {
  const groups: number[][] = [];
  for (let axis = from; axis < to; axis++) {
    const extent = extents[axis] as number;
    if (extent === 1) continue;
    const last = groups[groups.length - 1];
    const outer = last?.[last.length - 1];
    const merges =
      outer !== undefined &&
      affines.every(({ strides }) => strides[outer] === (strides[axis] as number) * extent);
    if (merges) last?.push(axis);
    else groups.push([axis]);
  }
  return groups;
}

const extentsOf = (groups: Groups, extents: Shape): number[] =>
  groups.map((axes) => axes.reduce((product, axis) => product * (extents[axis] as number), 1));

const rewriteAffine = ({ offset, strides }: Affine, groups: Groups): Affine => ({
  offset,
  strides: groups.map((axes) => strides[axes[axes.length - 1] as number] as number),
});

const rewrite = (program: readonly Instruction[], groups: Groups): Instruction[] =>
  mapAffines(program, (affine) => rewriteAffine(affine, groups));

/** A loop nest with its reduction, and affine functions of the outer axes that must stay so (a product's coordinates). */
export interface Loops {
  readonly axes: Shape;
  readonly body: Body;
  readonly reduction?: Reduction;
  readonly kept: readonly Affine[];
}

/** The same work over fewer axes. */
export function coalesce({ axes, body, reduction, kept }: Loops): Loops {
  const rank = axes.length;
  const inner = reduction ? affinesOf(reduction.program) : [];
  const outerGroups = group(axes, [...affinesOf(body.program), ...kept, ...inner], 0, rank);
  const result = {
    axes: extentsOf(outerGroups, axes),
    body: { ...body, program: rewrite(body.program, outerGroups) },
    kept: kept.map((affine) => rewriteAffine(affine, outerGroups)),
  };
  if (!reduction) return result;
  const extents = [...axes, ...reduction.axes];
  const innerGroups = group(extents, inner, rank, extents.length);
  return {
    ...result,
    reduction: {
      ...reduction,
      axes: extentsOf(innerGroups, extents),
      program: rewrite(reduction.program, [...outerGroups, ...innerGroups]),
    },
  };
}

/** The same rows over fewer axes. */
export function coalesceRow(kernel: RowKernel): RowKernel {
  const { axes, row, program } = kernel;
  const extents = [...axes, ...row];
  const affines = affinesOf(program);
  const outer = group(extents, affines, 0, axes.length);
  const inner = group(extents, affines, axes.length, extents.length);
  return {
    ...kernel,
    axes: extentsOf(outer, extents),
    row: extentsOf(inner, extents),
    program: rewrite(program, [...outer, ...inner]),
  };
}
