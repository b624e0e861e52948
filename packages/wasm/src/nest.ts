/**
 * Loop nests in their shortest form: axes of one element are dropped, and neighbours that every affine function walks
 * as if they were one axis become one.
 */
import {
  type Affine,
  affinesOf,
  type Body,
  type DType,
  type Instruction,
  type LoopKernel,
  type MatmulKernel,
  mapAffines,
  type Operand,
  type Producer,
  type RowKernel,
} from '@clipin/kernel';
import { planned } from './produce';

/** For each axis that stays, the axes it stands for; only the last of them keeps its stride. */
interface Merge {
  readonly axes: readonly number[];
  readonly keep: readonly number[];
}

/**
 * Merges axes.
 *
 * @param axes - sizes
 * @param affines - functions over the axes, or over the first of them
 * @param fixed - whether an axis may not be merged with the one before it
 */
export function mergeAxes(
  axes: readonly number[],
  affines: readonly Affine[],
  fixed: (axis: number) => boolean,
): Merge {
  const sizes: number[] = [];
  const keep: number[] = [];
  let mayMerge = false;
  axes.forEach((size, axis) => {
    if (fixed(axis)) mayMerge = false;
    if (size === 1) return;
    const before = keep[keep.length - 1];
    const joins =
      mayMerge &&
      before !== undefined &&
      affines.every(({ strides }) => (strides[before] ?? 0) === (strides[axis] ?? 0) * size);
    if (joins) {
      sizes[sizes.length - 1] = (sizes[sizes.length - 1] as number) * size;
      keep[keep.length - 1] = axis;
    } else {
      sizes.push(size);
      keep.push(axis);
    }
    mayMerge = true;
  });
  return { axes: sizes, keep };
}

const pick = (affine: Affine, keep: readonly number[]): Affine => ({
  offset: affine.offset,
  strides: keep.map((axis) => affine.strides[axis] ?? 0),
});

/** The same loop nest with as few axes as possible. */
export function simplifyLoop(kernel: LoopKernel): LoopKernel {
  const { axes, reduction, program } = kernel;
  const outer = axes.length;
  const inner = reduction?.axes ?? [];
  const affines = [...affinesOf(program), ...affinesOf(reduction?.program ?? [])];
  const merged = mergeAxes([...axes, ...inner], affines, (axis) => axis === outer);
  const count = merged.keep.filter((axis) => axis < outer).length;
  const outerKeep = merged.keep.slice(0, count);
  return {
    kind: 'loop',
    axes: merged.axes.slice(0, count),
    program: mapAffines(program, (affine) => pick(affine, outerKeep)),
    stores: kernel.stores,
    ...(reduction && {
      reduction: {
        ...reduction,
        axes: merged.axes.slice(count),
        program: mapAffines(reduction.program, (affine) => pick(affine, merged.keep)),
      },
    }),
  };
}

/** The same rows with as few axes as possible. */
export function simplifyRow(kernel: RowKernel): RowKernel {
  const { axes, row, program } = kernel;
  const outer = axes.length;
  const merged = mergeAxes([...axes, ...row], affinesOf(program), (axis) => axis === outer);
  const count = merged.keep.filter((axis) => axis < outer).length;
  return {
    ...kernel,
    axes: merged.axes.slice(0, count),
    row: merged.axes.slice(count),
    program: mapAffines(program, (affine) => pick(affine, merged.keep)),
  };
}

/** A matrix product's batch and rows in as few axes as possible: `[...batch, m]` merged, `k` and `n` untouched. */
export interface SimpleMatmul extends Body {
  readonly batch: readonly number[];
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Over `[...batch, m, k]`. */
  readonly a: Affine;
  /** Over `[...batch, k, n]`. */
  readonly b: Affine;
  /** The programs of the operands that are programs: `a` and `b` are then as if their results were stored. */
  readonly produced: { readonly a?: readonly Instruction[]; readonly b?: readonly Instruction[] };
  /** Numbers of the inputs that the other operands are. */
  readonly inputs: { readonly a: number; readonly b: number };
  /** Whether elements of A, and of B, are halves. */
  readonly aHalf: boolean;
  readonly bHalf: boolean;
}

/** The affine functions of an operand. */
const affinesOfOperand = (operand: Operand | Producer): readonly Affine[] =>
  'input' in operand ? [operand.index] : affinesOf(operand.program);

/** Batch axes that only stack rows (weights are shared) become rows; the others are merged where they can be. */
export function simplifyMatmul(
  kernel: MatmulKernel<Operand | Producer>,
  inputTypes: readonly DType[],
): SimpleMatmul {
  const { batch, m, n, k } = kernel;
  const rank = batch.length;
  const outer = [...batch, m];
  const ofRows = (affine: Affine): Affine => ({ ...affine, strides: affine.strides.slice(0, rank + 1) });
  const bOuter = affinesOfOperand(kernel.b).map(
    ({ strides }): Affine => ({ offset: 0, strides: [...strides.slice(0, rank), 0] }),
  );
  const affines = [...affinesOfOperand(kernel.a), ...affinesOf(kernel.program)].map(ofRows).concat(bOuter);
  const merged = mergeAxes(outer, affines, () => false);
  // The last axis left is rows where B does not change along it; it may be a batch axis when m is 1.
  const last = merged.keep[merged.keep.length - 1];
  const stacked = last !== undefined && bOuter.every(({ strides }) => strides[last] === 0);
  const batchKeep = stacked ? merged.keep.slice(0, -1) : merged.keep;
  const rowKeep = stacked ? [last] : [rank];
  const outerOf = ({ strides }: Affine) => [...batchKeep, ...rowKeep].map((axis) => strides[axis] ?? 0);
  const extend = (affine: Affine): Affine => ({
    offset: affine.offset,
    strides: [...outerOf(affine), ...affine.strides.slice(rank + 1)],
  });
  const extendB = ({ offset, strides }: Affine): Affine => ({
    offset,
    strides: [...batchKeep.map((axis) => strides[axis] ?? 0), ...strides.slice(rank)],
  });
  const rows = stacked ? (merged.axes[merged.axes.length - 1] as number) : 1;
  const a = simplifyOperand(kernel.a, extend, batchKeep.length + 2, rows, k);
  const b = simplifyOperand(kernel.b, extendB, batchKeep.length + 2, k, n);
  return {
    batch: merged.axes.slice(0, batchKeep.length),
    m: rows,
    n,
    k,
    a: a.index,
    b: b.index,
    produced: { ...(a.program && { a: a.program }), ...(b.program && { b: b.program }) },
    inputs: { a: a.input, b: b.input },
    aHalf: inputTypes[a.input] === 'f16',
    bHalf: inputTypes[b.input] === 'f16',
    program: mapAffines(kernel.program, extend),
    stores: kernel.stores,
  };
}

/** An operand over the axes that are left. */
function simplifyOperand(
  operand: Operand | Producer,
  change: (affine: Affine) => Affine,
  rank: number,
  rows: number,
  columns: number,
): { readonly input: number; readonly index: Affine; readonly program?: readonly Instruction[] } {
  if ('input' in operand) return { input: operand.input, index: change(operand.index) };
  const program = mapAffines(operand.program, change);
  return { input: -1, index: planned(program, rank, rows, columns), program };
}
