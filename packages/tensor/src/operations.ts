/**
 * The checks that operations make when they are called: from the shapes and dtypes that came, the operation and the
 * shape of its result, or an error that says what would fit. Knows nothing of tensors.
 */
import {
  broadcastShapes,
  type DType,
  dtypes,
  formatShape,
  maxRank,
  normalizeAxis,
  roundToF16,
  type Shape,
  sameShape,
  sizeOf,
} from '@clipin/kernel';

/** Where a dimension is counted, e.g. `-1` for the last. */
export type Axis = number;

/** An axis counted from the front. @throws RangeError naming the operation and the shape. */
export function checkAxis(operation: string, axis: Axis, shape: Shape): number {
  const found = normalizeAxis(axis, shape.length);
  if (found === undefined) {
    throw new RangeError(
      `${operation}: axis ${axis} of a tensor of shape ${formatShape(shape)}; ` +
        (shape.length === 0 ? 'a scalar has no axes' : `it has axes ${-shape.length} to ${shape.length - 1}`),
    );
  }
  return found;
}

/** Distinct axes, sorted; all of them where none is named. */
export function checkAxes(
  operation: string,
  axes: Axis | readonly Axis[] | undefined,
  shape: Shape,
): number[] {
  if (axes === undefined) return shape.map((_, axis) => axis);
  const found = (typeof axes === 'number' ? [axes] : axes).map((axis) => checkAxis(operation, axis, shape));
  if (new Set(found).size !== found.length) {
    throw new RangeError(`${operation}: axes (${String(axes)}) name an axis of ${formatShape(shape)} twice`);
  }
  return found.sort((a, b) => a - b);
}

/** A legal shape. */
export function checkShape(operation: string, shape: Shape): Shape {
  if (shape.length > maxRank) {
    throw new RangeError(
      `${operation}: shape ${formatShape(shape)} has ${shape.length} axes, at most ${maxRank} are possible`,
    );
  }
  if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new RangeError(
      `${operation}: shape ${formatShape(shape)} must be made of whole numbers of at least 0`,
    );
  }
  return shape;
}

/** A number as an element of `dtype`; of truth values, whether it is not 0. @throws RangeError where it is none. */
export function checkValue(operation: string, value: number, dtype: DType): number {
  const { kind, lowest, highest } = dtypes[dtype];
  if (kind === 'float') return dtype === 'f16' ? roundToF16(value) : value;
  if (kind === 'bool') return Number(value !== 0);
  if (!Number.isInteger(value) || value < lowest || value > highest) {
    throw new RangeError(
      `${operation}: ${value} is not a value of ${dtype}, a whole number from ${lowest} to ${highest}`,
    );
  }
  return value;
}

/** The common shape of operands that broadcast. */
export function checkBroadcast(operation: string, ...shapes: Shape[]): number[] {
  const shape = broadcastShapes(...shapes);
  if (!shape) {
    throw new RangeError(
      `${operation}: shapes ${shapes.map(formatShape).join(' and ')} do not broadcast; ` +
        'counted from the last axis, sizes must be equal or 1',
    );
  }
  return shape;
}

/** The new shape, with one `-1` worked out. */
export function checkReshape(from: Shape, to: Shape): number[] {
  const known = to.filter((n) => n !== -1);
  const rest = sizeOf(known);
  const unknown = to.length - known.length;
  const missing = rest === 0 ? 0 : sizeOf(from) / rest;
  const shape = to.map((n) => (n === -1 ? missing : n));
  if (unknown > 1 || sizeOf(shape) !== sizeOf(from) || !shape.every((n) => Number.isInteger(n) && n >= 0)) {
    throw new RangeError(
      `reshape: ${formatShape(from)} has ${sizeOf(from)} elements, ${formatShape(to)} cannot hold just these` +
        (unknown > 1 ? '; only one size may be -1' : ''),
    );
  }
  checkShape('reshape', shape);
  return shape;
}

/** A permutation of all axes. */
export function checkPermutation(order: readonly Axis[], shape: Shape): number[] {
  const found = order.map((axis) => checkAxis('transpose', axis, shape));
  if (found.length !== shape.length || new Set(found).size !== found.length) {
    throw new RangeError(
      `transpose: (${order.join(', ')}) must name each axis of ${formatShape(shape)} once`,
    );
  }
  return found;
}

/** Whether `from` broadcasts to exactly `to`. */
export function checkExpand(from: Shape, to: Shape): void {
  const lead = to.length - from.length;
  if (lead < 0 || !from.every((n, axis) => n === 1 || n === to[axis + lead])) {
    throw new RangeError(`expand: ${formatShape(from)} does not broadcast to ${formatShape(to)}`);
  }
}

/** A range of an axis: `[start, stop]` or `[start, stop, step]`, negative numbers counted from the end. */
export type Range = readonly [start?: number | undefined, stop?: number | undefined, step?: number];

interface SliceSpec {
  readonly shape: number[];
  readonly start: number[];
  readonly step: number[];
}

/** Python's slices: ends are clipped, the step may be negative. */
export function checkSlice(ranges: readonly (Range | undefined)[], shape: Shape): SliceSpec {
  if (ranges.length > shape.length) {
    throw new RangeError(`slice: ${ranges.length} ranges for a tensor of shape ${formatShape(shape)}`);
  }
  const spec: SliceSpec = { shape: [], start: [], step: [] };
  shape.forEach((n, axis) => {
    const [from, to, step = 1] = ranges[axis] ?? [];
    if (!Number.isInteger(step) || step === 0 || ![from ?? 0, to ?? 0].every(Number.isInteger)) {
      throw new RangeError(
        `slice: range (${from}, ${to}, ${step}) of axis ${axis} must be whole numbers, the step not 0`,
      );
    }
    const clip = (value: number | undefined, otherwise: number) => {
      if (value === undefined) return otherwise;
      const [low, high] = step > 0 ? [0, n] : [-1, n - 1];
      return Math.min(high, Math.max(low, value < 0 ? value + n : value));
    };
    const start = clip(from, step > 0 ? 0 : n - 1);
    const stop = clip(to, step > 0 ? n : -1);
    const count = Math.max(0, Math.ceil((stop - start) / step));
    spec.shape.push(count);
    spec.start.push(count === 0 ? 0 : start);
    spec.step.push(step);
  });
  return spec;
}

/** The shape after zeros were put around. */
export function checkPad(widths: readonly (readonly [before: number, after: number])[], shape: Shape): Shape {
  if (widths.length !== shape.length || !widths.flat().every((n) => Number.isInteger(n) && n >= 0)) {
    throw new RangeError(
      `pad: widths ${JSON.stringify(widths)} for shape ${formatShape(shape)}; wants [before, after] of at least 0 for each axis`,
    );
  }
  const padded = shape.map((n, axis) => n + (widths[axis]?.[0] ?? 0) + (widths[axis]?.[1] ?? 0));
  return checkShape('pad', padded);
}

/** The shape of a matrix product's result and the batch shape to which both operands are expanded. */
export function checkMatmul(a: Shape, b: Shape): { batch: number[]; m: number; k: number; n: number } {
  const [m, k] = a.slice(-2);
  const [k2, n] = b.slice(-2);
  const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2));
  if (
    a.length < 2 ||
    b.length < 2 ||
    m === undefined ||
    k === undefined ||
    n === undefined ||
    k !== k2 ||
    !batch
  ) {
    throw new RangeError(
      `matmul: ${formatShape(a)} × ${formatShape(b)}; wants [..., m, k] × [..., k, n]` +
        (batch ? '' : ', where the leading axes broadcast'),
    );
  }
  checkShape('matmul', [...batch, m, n]);
  return { batch, m, k, n };
}

/** The shape of a gather's result. */
export function checkGather(x: Shape, indices: Shape, batchDims: number): Shape {
  const fits =
    Number.isInteger(batchDims) &&
    batchDims >= 0 &&
    batchDims < x.length &&
    batchDims <= indices.length &&
    x.slice(0, batchDims).every((n, axis) => n === indices[axis]);
  if (!fits) {
    throw new RangeError(
      `gather: ${formatShape(x)} at indices ${formatShape(indices)} with ${batchDims} batch axes; ` +
        'the first axes, as many as batchDims, must be equal, and one more axis of x is indexed',
    );
  }
  return checkShape('gather', [...indices, ...x.slice(batchDims + 1)]);
}

/** The shape of a scatter-add's result. */
export function checkScatterAdd(updates: Shape, indices: Shape, rows: number, batchDims: number): Shape {
  const fits = Number.isInteger(batchDims) && batchDims >= 0 && batchDims <= indices.length;
  if (!fits || !sameShape(indices, updates.slice(0, indices.length))) {
    throw new RangeError(
      `scatterAdd: updates ${formatShape(updates)} at indices ${formatShape(indices)} with ${batchDims} batch axes; ` +
        'the first axes of the updates are those of the indices, and the batch axes are the first of these',
    );
  }
  return checkShape('scatterAdd', [...updates.slice(0, batchDims), rows, ...updates.slice(indices.length)]);
}
