/**
 * Where an element of a node lies, as affine functions of a kernel's loop indices: one coordinate for each axis of the
 * node. Movement operations turn the coordinates of their result into those of their input, which is all they do.
 */
import { type Affine, contiguousStrides, type Guard, type Shape, sizeOf } from '@clipin/kernel';
import type { Operation } from '../node';

/** A position in a node: a coordinate for each axis. */
export type Coordinates = readonly Affine[];

/** An affine function that is one loop index. */
export const unit = (axis: number, rank: number): Affine => ({
  offset: 0,
  strides: Array.from({ length: rank }, (_, i) => (i === axis ? 1 : 0)),
});

/** A constant position. */
export const fixed = (offset: number, rank: number): Affine => ({
  offset,
  strides: new Array<number>(rank).fill(0),
});

/** The loop indices themselves as coordinates. */
export const identity = (rank: number): Affine[] =>
  Array.from({ length: rank }, (_, axis) => unit(axis, rank));

/** `Σ factors[i] · terms[i]`. */
export function combine(terms: readonly Affine[], factors: readonly number[], rank: number): Affine {
  const strides = new Array<number>(rank).fill(0);
  let offset = 0;
  terms.forEach((term, i) => {
    const factor = factors[i] as number;
    offset += factor * term.offset;
    term.strides.forEach((stride, axis) => {
      strides[axis] = (strides[axis] as number) + factor * stride;
    });
  });
  return { offset, strides };
}

/** The least and greatest values over the loop. */
export function rangeOf({ offset, strides }: Affine, extents: Shape): [low: number, high: number] {
  let [low, high] = [offset, offset];
  strides.forEach((stride, axis) => {
    const reach = stride * Math.max(0, (extents[axis] as number) - 1);
    if (reach < 0) low += reach;
    else high += reach;
  });
  return [low, high];
}

/** Position in a row-major buffer of this shape. */
export const flatten = (coordinates: Coordinates, shape: Shape, rank: number): Affine =>
  combine(coordinates, contiguousStrides(shape), rank);

/**
 * Coordinates in `shape` of a row-major position, where they are affine too: each loop index moves along a single
 * axis and nothing carries into the next. `undefined` where that is not so.
 */
export function unflatten(flat: Affine, shape: Shape, extents: Shape): Affine[] | undefined {
  const strides = contiguousStrides(shape);
  const axes = shape.map((_, axis) => axis).filter((axis) => (shape[axis] as number) > 1);
  const result = shape.map(() => ({ offset: 0, strides: new Array<number>(extents.length).fill(0) }));
  for (let loop = 0; loop < extents.length; loop++) {
    const stride = flat.strides[loop] as number;
    const extent = extents[loop] as number;
    if (stride === 0 || extent <= 1) continue;
    const home = axes.find((axis) => stride % (strides[axis] as number) === 0);
    if (home === undefined) return undefined;
    (result[home] as { strides: number[] }).strides[loop] = stride / (strides[home] as number);
  }
  let rest = flat.offset;
  for (const axis of axes) {
    const digit = Math.floor(rest / (strides[axis] as number));
    (result[axis] as { offset: number }).offset = digit;
    rest -= digit * (strides[axis] as number);
  }
  if (rest !== 0) return undefined;
  const fits = axes.every((axis) => {
    const [low, high] = rangeOf(result[axis] as Affine, extents);
    return low >= 0 && high < (shape[axis] as number);
  });
  return fits ? result : undefined;
}

/** What a movement operation makes of a position in its result: the position in its input, and where that exists. */
export interface Moved {
  readonly coordinates: Affine[];
  readonly guards: readonly Guard[];
}

/**
 * Sees through one movement operation.
 *
 * @param operation - the movement
 * @param from - shape of its input
 * @param to - shape of its result
 * @param coordinates - position in the result
 * @param extents - sizes of the loop axes
 * @returns `undefined` for a reshape whose input has no affine coordinates
 */
export function seeThrough(
  operation: Operation,
  from: Shape,
  to: Shape,
  coordinates: Coordinates,
  extents: Shape,
): Moved | undefined {
  const rank = extents.length;
  const at = (axis: number) => coordinates[axis] as Affine;
  switch (operation.kind) {
    case 'permute': {
      const moved = new Array<Affine>(from.length);
      operation.order.forEach((source, axis) => {
        moved[source] = at(axis);
      });
      return { coordinates: moved, guards: [] };
    }
    case 'expand':
      return { coordinates: from.map((n, axis) => (n === 1 ? fixed(0, rank) : at(axis))), guards: [] };
    case 'slice': {
      const moved = from.map((_, axis) => {
        const shifted = combine([at(axis)], [operation.step[axis] as number], rank);
        return { ...shifted, offset: shifted.offset + (operation.start[axis] as number) };
      });
      return { coordinates: moved, guards: [] };
    }
    case 'pad': {
      const moved = from.map((_, axis) => ({
        ...at(axis),
        offset: at(axis).offset - (operation.before[axis] as number),
      }));
      return {
        coordinates: moved,
        guards: from.map((size, axis) => ({ value: moved[axis] as Affine, size })),
      };
    }
    case 'reshape': {
      if (sizeOf(from) === 0) return { coordinates: from.map(() => fixed(0, rank)), guards: [] };
      const moved = unflatten(flatten(coordinates, to, rank), from, extents);
      return moved && { coordinates: moved, guards: [] };
    }
    default:
      throw new Error(`${operation.kind} is not a movement`);
  }
}

/** Whether an operation only moves elements. */
export const isMovement = ({ kind }: Operation): boolean =>
  kind === 'reshape' || kind === 'permute' || kind === 'expand' || kind === 'slice' || kind === 'pad';
