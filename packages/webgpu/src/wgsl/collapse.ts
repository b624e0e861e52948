/**
 * Fewer axes for the same work: axes of size 1 go, neighbours that every affine function walks as one become one.
 * Less index arithmetic, and fewer distinct texts.
 */
import { type Affine, affinesOf, type LoopKernel, type MatmulKernel, mapAffines } from '@clipin/kernel';
import { mapBody, placesOf, type Task } from './task';

/** Axes after collapsing, and for each of them the old axis whose stride it takes. */
interface Collapsed {
  readonly axes: readonly number[];
  readonly from: readonly number[];
}

/** Collapses `axes`; `strides` are those of every affine function over these axes. */
function collapse(axes: readonly number[], strides: readonly (readonly number[])[]): Collapsed {
  const sizes: number[] = [];
  const from: number[] = [];
  axes.forEach((size, axis) => {
    if (size === 1) return;
    const last = from.length - 1;
    const joins = last >= 0 && strides.every((s) => s[from[last] as number] === (s[axis] as number) * size);
    if (joins) {
      sizes[last] = (sizes[last] as number) * size;
      from[last] = axis;
    } else {
      sizes.push(size);
      from.push(axis);
    }
  });
  return { axes: sizes, from };
}

/** The same, with the first `kept` axes left as they are. */
function collapseFrom(kept: number, axes: readonly number[], affines: readonly Affine[]): Collapsed {
  const { axes: sizes, from } = collapse(
    axes.slice(kept),
    affines.map(({ strides }) => strides.slice(kept)),
  );
  return {
    axes: [...axes.slice(0, kept), ...sizes],
    from: [...axes.slice(0, kept).keys(), ...from.map((axis) => axis + kept)],
  };
}

const picker =
  (...from: readonly number[]) =>
  (affine: Affine): Affine => ({
    offset: affine.offset,
    strides: from.map((axis) => affine.strides[axis] ?? 0),
  });

/** A loop task with as few axes as it can have. A task in pieces keeps its first outer axis. */
export function collapseLoop(task: Task<LoopKernel>): Task<LoopKernel> {
  const { kernel } = task;
  const places = placesOf(task);
  const rank = kernel.axes.length;
  const inner = kernel.reduction ? affinesOf(kernel.reduction.program) : [];
  const all = [...affinesOf(kernel.program), ...places, ...inner];
  const outer = collapseFrom(task.chunk ? 1 : 0, kernel.axes, all);
  const onOuter = picker(...outer.from);
  const axes = outer.axes;
  const body = mapBody(kernel, onOuter);
  const collapsed = { ...task, places: places.map(onOuter) };
  if (!kernel.reduction) return { ...collapsed, kernel: { kind: 'loop', axes, ...body } };
  const reduced = collapse(
    kernel.reduction.axes,
    inner.map(({ strides }) => strides.slice(rank)),
  );
  const onAll = picker(...outer.from, ...reduced.from.map((axis) => axis + rank));
  const program = mapAffines(kernel.reduction.program, onAll);
  return {
    ...collapsed,
    kernel: { kind: 'loop', axes, ...body, reduction: { ...kernel.reduction, axes: reduced.axes, program } },
  };
}

/** A matrix product with as few batch axes as it can have; batches that share `b` become rows. */
export function collapseMatmul(task: Task<MatmulKernel>): Task<MatmulKernel> {
  const { kernel } = task;
  const { a, b, m, n, k } = kernel;
  const places = placesOf(task);
  const rank = kernel.batch.length;
  const bRows: Affine = { offset: b.index.offset, strides: [...b.index.strides.slice(0, rank), 0] };
  const affines = [...affinesOf(kernel.program), ...places, a.index, bRows];
  const outer = collapseFrom(task.chunk ? 1 : 0, [...kernel.batch, m], affines);
  const from = [...outer.from];
  const sizes = [...outer.axes];
  // There is always an axis of rows; with a single row per batch, batches that share `b` are as good.
  const last = from[from.length - 1];
  const hasRows =
    last !== undefined &&
    (last === rank || (bRows.strides[last] === 0 && from.length > (task.chunk ? 1 : 0)));
  if (!hasRows) from.push(rank);
  const rows = hasRows ? (sizes.pop() as number) : 1;
  const onOuter = picker(...from, rank + 1);
  const batchFrom = from.slice(0, -1);
  return {
    ...task,
    places: places.map(onOuter),
    kernel: {
      ...mapBody(kernel, onOuter),
      kind: 'matmul',
      batch: sizes,
      m: rows,
      n,
      k,
      a: { input: a.input, index: onOuter(a.index) },
      b: { input: b.input, index: picker(...batchFrom, rank, rank + 1)(b.index) },
    },
  };
}
