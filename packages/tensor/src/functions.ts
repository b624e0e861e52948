/** The NumPy-like vocabulary that is written with primitives. */
import { formatShape } from '@clipin/kernel';
import { arange, iota, ones } from './create';
import { type Axis, checkAxes, checkAxis, type Range } from './operations';
import { type ReduceOptions, type Tensor, where, widened, withRecorders } from './tensor';

/** Tensors joined along an axis; other sizes and dtypes must be equal, but that f16 among f32 becomes f32. */
export function concatenate(given: readonly Tensor[], axis: Axis = 0): Tensor {
  const narrow = given.every(({ dtype }) => dtype === 'f16');
  const tensors = narrow ? given : given.map(widened);
  const [first] = tensors;
  if (!first) throw new RangeError('concatenate: no tensors were given');
  const along = checkAxis('concatenate', axis, first.shape);
  for (const { shape, dtype } of tensors) {
    const fits = shape.length === first.rank && shape.every((n, i) => i === along || n === first.shape[i]);
    if (!fits || dtype !== first.dtype) {
      throw new RangeError(
        `concatenate: ${dtype}${formatShape(shape)} does not fit ${first.dtype}${formatShape(first.shape)}; ` +
          `dtypes and all sizes but that of axis ${along} must be equal`,
      );
    }
  }
  if (tensors.length === 1) return first;
  const sizes = tensors.map(({ shape }) => shape[along] as number);
  const total = sizes.reduce((sum, n) => sum + n, 0);
  const shape = first.shape.map((n, i) => (i === along ? total : n));
  const position = iota(shape, along, { device: first.device });
  let end = 0;
  const padded = tensors.map((x, i) => {
    const before = end;
    end += sizes[i] as number;
    return { end, x: x.pad(shape.map((_, a) => (a === along ? [before, total - end] : [0, 0]))) };
  });
  const joined = padded
    .slice(0, -1)
    .reduceRight(
      (rest, { x, end: stop }) => where(position.less(stop), x, rest),
      (padded[padded.length - 1] as { x: Tensor }).x,
    );
  // Of f16, `where` gives f32.
  return narrow ? joined.cast('f16') : joined;
}

/** Tensors of one shape joined along a new axis. */
export const stack = (tensors: readonly Tensor[], axis: Axis = 0): Tensor => {
  const [first] = tensors;
  if (!first) throw new RangeError('stack: no tensors were given');
  return concatenate(
    tensors.map((x) => x.expandDims(axis)),
    checkAxis('stack', axis, [...first.shape, 1]),
  );
};

/** Equal parts along an axis. */
export function split(x: Tensor, parts: number, axis: Axis = 0): Tensor[] {
  const along = checkAxis('split', axis, x.shape);
  const size = x.shape[along] as number;
  if (!Number.isInteger(parts) || parts < 1 || size % parts !== 0) {
    throw new RangeError(
      `split: axis ${along} of ${formatShape(x.shape)} does not divide into ${parts} equal parts`,
    );
  }
  const width = size / parts;
  return Array.from({ length: parts }, (_, part) =>
    x.slice(...x.shape.map((_, a): Range => (a === along ? [part * width, (part + 1) * width] : []))),
  );
}

/** `1` at the index, `0` elsewhere: `[…]` → `[…, classes]` in f32. An index out of range gives zeros. */
export function oneHot(indices: Tensor, classes: number): Tensor {
  const columns = arange(classes, { device: indices.device, dtype: indices.dtype });
  return indices.expandDims(-1).equal(columns).cast('f32');
}

/** Index of the first largest element along an axis, i32. NaN counts as the largest. */
export function argMax(x: Tensor, axis: Axis = -1): Tensor {
  const along = checkAxis('argMax', axis, x.shape);
  const size = x.shape[along] as number;
  const largest = x.equal(x.max(along, { keepDims: true })).or(x.notEqual(x));
  const position = iota(x.shape, along, { device: x.device });
  return where(largest, position, size).min(along);
}

/** Mean of squared differences from the mean, over axes (default: all). */
export function variance(x: Tensor, axes?: Axis | readonly Axis[], options?: ReduceOptions): Tensor {
  return x
    .sub(x.mean(axes, { keepDims: true }))
    .square()
    .mean(axes, options);
}

/** Maxima that keep powers small: no gradient flows through them, since the result does not depend on them. */
const steadyMax = (x: Tensor, axes: Axis | readonly Axis[]): Tensor =>
  withRecorders([], () => x.max(axes, { keepDims: true }));

/** `log Σ exp(x)` along axes, without overflow; −∞ where all are −∞. */
export function logSumExp(x: Tensor, axes?: Axis | readonly Axis[], options: ReduceOptions = {}): Tensor {
  const over = checkAxes('logSumExp', axes, x.shape);
  const highest = steadyMax(x, over);
  const finite = where(highest.abs().equal(Number.POSITIVE_INFINITY), 0, highest);
  const result = x.sub(finite).exp().sum(over, { keepDims: true }).log().add(finite);
  return options.keepDims ? result : result.squeeze(over);
}

/** `exp(x) / Σ exp(x)` along an axis. */
export function softmax(x: Tensor, axis: Axis = -1): Tensor {
  const powers = x.sub(steadyMax(x, axis)).exp();
  return powers.div(powers.sum(axis, { keepDims: true }));
}

/** `x − log Σ exp(x)` along an axis. */
export const logSoftmax = (x: Tensor, axis: Axis = -1): Tensor =>
  x.sub(logSumExp(x, axis, { keepDims: true }));

/** `1 / (1 + exp(−x))`; what is below −80 counts as −80, where an infinite `exp(−x)` would make derivatives NaN. */
export const sigmoid = (x: Tensor): Tensor =>
  ones([], { device: x.device }).div(x.neg().minimum(80).exp().add(1));

/** Whether all bools along axes (default: all) are true; true of none. */
export const all = (x: Tensor, axes?: Axis | readonly Axis[]): Tensor => any(x.not(), axes).not();

/** Whether any bool along axes (default: all) is true; false of none. */
export const any = (x: Tensor, axes?: Axis | readonly Axis[]): Tensor => x.cast('u32').sum(axes).greater(0);
