/**
 * One row kernel for several nodes that live in the same rows: some of the size of the rows, some with one element for
 * each row. Which nodes those are, `fuse-rows.ts` decides; what cannot be, ends in `CannotFuse`.
 */
import {
  type Affine,
  contiguousStrides,
  type DeviceLimits,
  type Guard,
  type RowFold,
  type RowKernel,
  type Shape,
  sameShape,
  sizeOf,
} from '@clipin/kernel';
import type { Node } from '../node';
import type { Step } from './build';
import { coalesceRow } from './coalesce';
import { type Coordinates, flatten, unflatten, unit } from './coordinates';
import { CannotFuse, type Draft, ProgramWriter } from './program';

/** The axes of a row kernel: at every point of `axes` a row over `row`. */
export interface Rows {
  readonly axes: Shape;
  readonly row: Shape;
}

const long = (shape: Shape): number[] => shape.filter((n) => n !== 1);

/** Writes the program of a row kernel: reductions along the row become folds. */
class RowWriter extends ProgramWriter {
  readonly folds: RowFold[] = [];

  constructor(
    draft: Draft,
    readonly rows: Rows,
    /** Nodes that the kernel computes once, each at its own place. */
    readonly members: ReadonlySet<Node>,
  ) {
    super(draft, [...rows.axes, ...rows.row], false);
  }

  /** Where a member's elements lie, row-major over the axes that it has. */
  placeOf(node: Node): Affine {
    const { axes, row } = this.rows;
    const strides =
      sizeOf(node.shape) === sizeOf(axes) ? contiguousStrides(axes) : contiguousStrides(this.extents);
    return this.tidy({ offset: 0, strides: [...strides, ...row.map(() => 0)].slice(0, this.extents.length) });
  }

  /** The instruction that computes a member. */
  member(node: Node): number {
    const coordinates = unflatten(this.placeOf(node), node.shape, this.extents);
    if (!coordinates) throw new CannotFuse(node);
    return this.visit(node, coordinates);
  }

  override visit(node: Node, coordinates: Coordinates, guards: readonly Guard[] = []): number {
    if (this.members.has(node)) {
      const here = this.tidy(flatten(coordinates, node.shape, this.extents.length));
      const place = this.placeOf(node);
      const elsewhere = here.offset !== 0 || !sameShape(here.strides, place.strides);
      if (elsewhere || guards.length > 0) throw new CannotFuse(node);
    }
    return super.visit(node, coordinates, guards);
  }

  protected override anchor(node: Node, coordinates: Coordinates, guards: readonly Guard[]): number {
    const { operation } = node;
    const { axes, row } = this.rows;
    if (operation.kind !== 'reduce' || guards.length > 0) throw new CannotFuse(node);
    const [input] = node.inputs as [Node];
    const reduced = input.shape.filter((_, axis) => operation.axes.includes(axis));
    const still = coordinates.every(({ strides }) =>
      this.tidy({ offset: 0, strides })
        .strides.slice(axes.length)
        .every((stride) => stride === 0),
    );
    if (!still || !sameShape(long(reduced), long(row))) throw new CannotFuse(node);
    const rank = this.extents.length;
    const alongRow = row.flatMap((n, axis) => (n === 1 ? [] : [unit(axes.length + axis, rank)]));
    const nowhere = unit(-1, rank);
    let kept = 0;
    let walked = 0;
    const position = input.shape.map((n, axis) => {
      if (!operation.axes.includes(axis)) return coordinates[kept++] as Affine;
      return n === 1 ? nowhere : (alongRow[walked++] as Affine);
    });
    const of = this.visit(input, position);
    const known = this.folds.findIndex((fold) => fold.op === operation.op && fold.of === of);
    const fold = known >= 0 ? known : this.folds.push({ op: operation.op, of }) - 1;
    return this.list.emit({ op: 'reduced', dtype: node.dtype, fold });
  }
}

/**
 * The kernel that computes `members` and stores those of them in `outputs`.
 *
 * @param roots - nodes that kernels store, members among them
 * @throws CannotFuse when they do not fit into one row kernel
 */
export function buildRow(
  rows: Rows,
  members: ReadonlySet<Node>,
  outputs: readonly Node[],
  roots: ReadonlySet<Node>,
  limits: DeviceLimits,
): Step & { readonly kernel: RowKernel } {
  const [root] = outputs as [Node];
  const draft: Draft = { root, roots: { has: (node) => roots.has(node) && !members.has(node) }, inputs: [] };
  const writer = new RowWriter(draft, rows, members);
  const isRow = (node: Node) => sizeOf(node.shape) === sizeOf(rows.axes);
  const [elements, ofRows] = [outputs.filter((node) => !isRow(node)), outputs.filter(isRow)];
  const stores = elements.map((node) => writer.member(node));
  const rowStores = ofRows.map((node) => writer.member(node));
  const program = writer.program(Math.max(...stores, ...rowStores));
  const kernel = coalesceRow({ kind: 'row', ...rows, program, folds: writer.folds, stores, rowStores });
  if (draft.inputs.length + outputs.length > limits.kernelBuffers) throw new CannotFuse(root);
  return { kernel, inputs: draft.inputs, outputs: [...elements, ...ofRows] };
}
