/** Arithmetic on shapes: sizes, strides, broadcasting, axes. Knows nothing of data. */

/** Sizes of a tensor's axes, outermost first. `[]` is a scalar. */
export type Shape = readonly number[];

/** The most axes that a tensor may have. */
export const maxRank = 8;

/** Number of elements of a shape; 1 for a scalar. */
export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);

/** Strides, in elements, of a row-major array of this shape. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis] as number;
  }
  return strides;
}

/** Whether two shapes are equal. */
export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((n, axis) => n === b[axis]);

/** The shape as people write it: `[2, 3]`. */
export const formatShape = (shape: Shape): string => `[${shape.join(', ')}]`;

/** The shape to which all the shapes broadcast by NumPy's rule, or `undefined` where there is none. */
export function broadcastShapes(...shapes: Shape[]): number[] | undefined {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 1; i <= shape.length; i++) {
      const n = shape[shape.length - i] as number;
      const had = result[rank - i] as number;
      if (had !== n && had !== 1 && n !== 1) return undefined;
      if (had === 1) result[rank - i] = n;
    }
  }
  return result;
}

/** An axis counted from the front, from one that may be negative; `undefined` where there is no such axis. */
export function normalizeAxis(axis: number, rank: number): number | undefined {
  const found = axis < 0 ? axis + rank : axis;
  return Number.isInteger(axis) && found >= 0 && found < rank ? found : undefined;
}
