/**
 * How other libraries lay out what our tensors hold: a linear map's weight is `[outputs, inputs]` in PyTorch and
 * `[inputs, outputs]` here, patches are a convolution there and a matrix here. Both directions, on the host, bit for bit.
 */

/**
 * A layout by its name:
 *
 * - `same`;
 * - `transposed`: theirs is `[outputs, inputs]`;
 * - `convolution`: theirs is `[width, channels, patch, patch]`, ours `[patch · patch · channels, width]`;
 * - `leading1`, `leading2`: theirs has one or two sides of 1 before ours.
 */
export type Layout = 'same' | 'transposed' | 'convolution' | 'leading1' | 'leading2';

const CHANNELS = 3;

/** The shape in which another library keeps `parts` of our tensors, one after another along its first axis. */
export function theirShape(layout: Layout, shape: readonly number[], parts = 1): readonly number[] {
  const [first = 1, ...others] = oneOfTheirs(layout, shape);
  return parts === 1 ? oneOfTheirs(layout, shape) : [first * parts, ...others];
}

function oneOfTheirs(layout: Layout, shape: readonly number[]): readonly number[] {
  switch (layout) {
    case 'same':
      return shape;
    case 'transposed':
      return [...shape].reverse();
    case 'convolution': {
      const [inputs, width] = shape as readonly [number, number];
      const patch = Math.sqrt(inputs / CHANNELS);
      return [width, CHANNELS, patch, patch];
    }
    case 'leading1':
      return [1, ...shape];
    case 'leading2':
      return [1, 1, ...shape];
    default:
      return layout satisfies never;
  }
}

/** The shape of each of `parts` of ours of which a tensor of theirs has this shape; undefined if it cannot be of that layout. */
export function ourShape(layout: Layout, shape: readonly number[], parts = 1): readonly number[] | undefined {
  const [first = 1, ...others] = shape;
  const one = parts === 1 ? shape : [first / parts, ...others];
  switch (layout) {
    case 'same':
      return one;
    case 'transposed':
      return one.length === 2 ? [...one].reverse() : undefined;
    case 'convolution': {
      const [width = 0, ...patch] = one;
      return one.length === 4 ? [patch.reduce((product, side) => product * side, 1), width] : undefined;
    }
    case 'leading1':
      return one.slice(1);
    case 'leading2':
      return one.slice(2);
    default:
      return layout satisfies never;
  }
}

/** Their elements in our order; `shape` is ours. Where the order is the same, the array is not copied. */
export function toOurs(layout: Layout, data: Float32Array, shape: readonly number[]): Float32Array {
  if (layout === 'transposed') return transpose(data, shape[1]!, shape[0]!);
  if (layout === 'convolution') return patchMatrix(data, shape);
  return data;
}

/** Our elements in their order; `shape` is ours. Where the order is the same, the array is not copied. */
export function toTheirs(layout: Layout, data: Float32Array, shape: readonly number[]): Float32Array {
  if (layout === 'transposed') return transpose(data, shape[0]!, shape[1]!);
  if (layout === 'convolution') return convolution(data, shape);
  return data;
}

/** Square tiles, so that what is read and what is written both stay in the cache. */
const TILE = 32;

/** `[rows, columns]` → `[columns, rows]`. */
function transpose(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  for (let top = 0; top < rows; top += TILE) {
    const bottom = Math.min(top + TILE, rows);
    for (let left = 0; left < columns; left += TILE) {
      const right = Math.min(left + TILE, columns);
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) {
          result[column * rows + row] = data[row * columns + column]!;
        }
      }
    }
  }
  return result;
}

/** `[width, channels, y, x]` → `[y, x, channels, width]`: first to `[width, y, x, channels]`, then transposed. */
function patchMatrix(data: Float32Array, shape: readonly number[]): Float32Array {
  const [inputs, width] = shape as readonly [number, number];
  return transpose(swapInner(data, CHANNELS, inputs / CHANNELS), width, inputs);
}

function convolution(data: Float32Array, shape: readonly number[]): Float32Array {
  const [inputs, width] = shape as readonly [number, number];
  return swapInner(transpose(data, inputs, width), inputs / CHANNELS, CHANNELS);
}

/** `[…, rows, columns]` → `[…, columns, rows]`. */
function swapInner(data: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(data.length);
  const size = rows * columns;
  for (let start = 0; start < data.length; start += size) {
    result.set(transpose(data.subarray(start, start + size), rows, columns), start);
  }
  return result;
}
