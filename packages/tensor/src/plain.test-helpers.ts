/**
 * Tensors as plain arrays and every primitive as nested loops over indices: what tests compare with. Shares no code with
 * the scheduler or the interpreter.
 */
import type { DType, ReduceOp, ScalarOp, Shape } from '@clipin/kernel';

/** An array of numbers with a shape, row-major; truth values are 0 and 1, `f32` is float64, `f16` is as it rounds. */
export interface Plain {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: readonly number[];
}

/** All indices of a shape in row-major order. */
export function indicesOf(shape: Shape): number[][] {
  let indices: number[][] = [[]];
  for (const n of shape)
    indices = indices.flatMap((index) => Array.from({ length: n }, (_, i) => [...index, i]));
  return indices;
}

/** The array whose element at each index is `element(index)`. */
export const build = (dtype: DType, shape: Shape, element: (index: number[]) => number): Plain => ({
  dtype,
  shape,
  data: indicesOf(shape).map(element),
});

/** The element at an index. */
export function at({ shape, data }: Plain, index: readonly number[]): number {
  let position = 0;
  shape.forEach((n, axis) => {
    const i = index[axis] as number;
    if (!(i >= 0 && i < n)) throw new RangeError(`index ${index} of shape ${shape}`);
    position = position * n + i;
  });
  return data[position] as number;
}

const wrap = (dtype: DType, value: number): number =>
  dtype === 'i32' ? value | 0 : dtype === 'u32' ? value >>> 0 : value;

/** Whether a dtype is one of floats. */
export const isFloat = (dtype: DType): boolean => dtype === 'f32' || dtype === 'f16';

/** What computing with a dtype gives: f16 only stores. */
export const computed = (dtype: DType): DType => (dtype === 'f16' ? 'f32' : dtype);

/** The nearest half: a multiple of its unit in the last place, the even one of two that are as near. */
export function half(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  let unit = 2 ** -24;
  while (Math.abs(value) >= 2048 * unit) unit *= 2;
  const low = Math.floor(value / unit);
  const rest = value / unit - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 !== 0);
  const rounded = (low + (up ? 1 : 0)) * unit;
  if (rounded === 0) return value < 0 ? -0 : 0;
  return Math.abs(rounded) > 65504 ? Math.sign(value) * Infinity : rounded;
}

function cast(value: number, from: DType, to: DType): number {
  if (to === 'bool') return value === 0 ? 0 : 1;
  if (to === 'f16') return half(value);
  if (to === 'f32' || from === to) return value;
  if (!isFloat(from)) return wrap(to, value);
  if (Number.isNaN(value)) return 0;
  const [low, high] = to === 'i32' ? [-2147483648, 2147483647] : [0, 4294967295];
  return Math.trunc(Math.min(Math.max(value, low), high)) + 0;
}

/** The error function by numerical integration (Simpson), which no other code here uses. */
function erf(x: number): number {
  const end = Math.min(Math.abs(x), 7);
  const steps = 2000;
  let sum = 0;
  for (let i = 0; i <= steps; i++) {
    const weight = i === 0 || i === steps ? 1 : i % 2 === 1 ? 4 : 2;
    sum += weight * Math.exp(-(((end * i) / steps) ** 2));
  }
  return Math.sign(x) * ((sum * end) / steps / 3) * (2 / Math.sqrt(Math.PI));
}

/** One scalar operation on values of dtype `from`. */
export function scalar(op: ScalarOp, from: DType, to: DType, a: number, b = 0, c = 0): number {
  const integer = !isFloat(from);
  switch (op) {
    case 'negate':
      return wrap(to, -a);
    case 'abs':
      return wrap(to, a < 0 ? -a : a === 0 ? 0 : a);
    case 'not':
      return from === 'bool' ? (a ? 0 : 1) : wrap(to, ~a);
    case 'cast':
      return cast(a, from, to);
    case 'add':
      return wrap(to, a + b);
    case 'subtract':
      return wrap(to, a - b);
    case 'multiply':
      return integer ? wrap(to, Number(BigInt.asIntN(32, BigInt(a) * BigInt(b)))) : a * b;
    case 'divide':
      return integer ? (b === 0 ? 0 : wrap(to, Math.trunc(a / b))) : a / b;
    case 'remainder':
      return b === 0 ? 0 : wrap(to, a - Math.trunc(a / b) * b);
    case 'max':
      return Math.max(a, b);
    case 'min':
      return Math.min(a, b);
    case 'less':
      return Number(a < b);
    case 'lessEqual':
      return Number(a <= b);
    case 'equal':
      return Number(a === b);
    case 'and':
      return wrap(to, a & b);
    case 'or':
      return wrap(to, a | b);
    case 'xor':
      return wrap(to, a ^ b);
    case 'shiftLeft':
      return wrap(to, a * 2 ** (b & 31));
    case 'shiftRight':
      return Math.floor(a / 2 ** (b & 31));
    case 'select':
      return a ? b : c;
    case 'erf':
      return erf(a);
    case 'bitcast': {
      const from32 =
        from === 'f32' ? Float32Array.of(a) : from === 'i32' ? Int32Array.of(a) : Uint32Array.of(a);
      const Target = to === 'f32' ? Float32Array : to === 'i32' ? Int32Array : Uint32Array;
      return new Target(from32.buffer)[0] as number;
    }
    default:
      return Math[op](a);
  }
}

/** The element that broadcasting puts at `index` of a larger shape. */
const broadcastAt = (x: Plain, index: readonly number[]): number => {
  const own = index.slice(index.length - x.shape.length);
  return at(
    x,
    own.map((i, axis) => (x.shape[axis] === 1 ? 0 : i)),
  );
};

/** NumPy's broadcast of shapes that are known to fit. */
export function commonShape(...shapes: readonly Shape[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    return sizes.find((n) => n !== 1) ?? 1;
  });
}

/** A scalar operation, element by element, with broadcasting. */
export function elementwise(op: ScalarOp, to: DType, ...args: readonly Plain[]): Plain {
  const shape = commonShape(...args.map((arg) => arg.shape));
  const from = (args[args.length - 1] as Plain).dtype;
  return build(to, shape, (index) => {
    const [a = 0, b, c] = args.map((arg) => broadcastAt(arg, index));
    return scalar(op, from, to, a, b, c);
  });
}

export const reshape = (x: Plain, shape: Shape): Plain => ({ ...x, shape });

export const transpose = (x: Plain, order: readonly number[]): Plain =>
  build(
    x.dtype,
    order.map((axis) => x.shape[axis] as number),
    (index) =>
      at(
        x,
        x.shape.map((_, axis) => index[order.indexOf(axis)] as number),
      ),
  );

export const expand = (x: Plain, shape: Shape): Plain =>
  build(x.dtype, shape, (index) => broadcastAt(x, index));

/** Rows of chosen positions along every axis: the general slice. */
export const take = (x: Plain, positions: readonly (readonly number[])[]): Plain =>
  build(
    x.dtype,
    positions.map((list) => list.length),
    (index) =>
      at(
        x,
        index.map((i, axis) => positions[axis]?.[i] as number),
      ),
  );

/** The positions of Python's `range(n)[start:stop:step]`, counted one by one. */
export function pythonSlice(
  n: number,
  start: number | undefined,
  stop: number | undefined,
  step: number,
): number[] {
  const fromEnd = (i: number) => (i < 0 ? i + n : i);
  let i: number;
  if (start === undefined) i = step > 0 ? 0 : n - 1;
  else i = step > 0 ? Math.max(0, fromEnd(start)) : Math.min(n - 1, fromEnd(start));
  const end = stop === undefined ? (step > 0 ? n : -1) : Math.max(-1, fromEnd(stop));
  const found: number[] = [];
  for (; step > 0 ? i < Math.min(n, end) : i > end; i += step) if (i >= 0 && i < n) found.push(i);
  return found;
}

export const pad = (x: Plain, widths: readonly (readonly [number, number])[]): Plain =>
  build(
    x.dtype,
    x.shape.map((n, axis) => n + (widths[axis]?.[0] ?? 0) + (widths[axis]?.[1] ?? 0)),
    (index) => {
      const inner = index.map((i, axis) => i - (widths[axis]?.[0] ?? 0));
      return inner.every((i, axis) => i >= 0 && i < (x.shape[axis] as number)) ? at(x, inner) : 0;
    },
  );

export function reduce(op: ReduceOp, x: Plain, axes: readonly number[]): Plain {
  const shape = x.shape.filter((_, axis) => !axes.includes(axis));
  const scalarOp = ({ sum: 'add', product: 'multiply', max: 'max', min: 'min' } as const)[op];
  const inner = indicesOf(axes.map((axis) => x.shape[axis] as number));
  return build(computed(x.dtype), shape, (outer) => {
    let result: number | undefined = op === 'sum' ? 0 : op === 'product' ? 1 : undefined;
    for (const folded of inner) {
      let kept = 0;
      const index = x.shape.map((_, axis) =>
        axes.includes(axis) ? (folded[axes.indexOf(axis)] as number) : (outer[kept++] as number),
      );
      const value = at(x, index);
      result = result === undefined ? value : scalar(scalarOp, x.dtype, x.dtype, result, value);
    }
    if (result === undefined) throw new RangeError(`${op} over nothing`);
    return result;
  });
}

export function matmul(a: Plain, b: Plain): Plain {
  const batch = commonShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const [m, k] = a.shape.slice(-2) as [number, number];
  const n = b.shape[b.shape.length - 1] as number;
  const [wideA, wideB] = [expand(a, [...batch, m, k]), expand(b, [...batch, k, n])];
  return build('f32', [...batch, m, n], (index) => {
    const [outer, [row = 0, column = 0]] = [index.slice(0, -2), index.slice(-2)];
    let sum = 0;
    for (let i = 0; i < k; i++) sum += at(wideA, [...outer, row, i]) * at(wideB, [...outer, i, column]);
    return sum;
  });
}

export function gather(x: Plain, indices: Plain, batchDims: number): Plain {
  const rank = indices.shape.length;
  const rows = x.shape[batchDims] as number;
  return build(x.dtype, [...indices.shape, ...x.shape.slice(batchDims + 1)], (index) => {
    const row = at(indices, index.slice(0, rank));
    return row >= 0 && row < rows ? at(x, [...index.slice(0, batchDims), row, ...index.slice(rank)]) : 0;
  });
}

export function scatterAdd(updates: Plain, indices: Plain, rows: number, batchDims: number): Plain {
  const rank = indices.shape.length;
  const rest = updates.shape.slice(rank);
  const counts = indicesOf(indices.shape.slice(batchDims));
  return build(computed(updates.dtype), [...updates.shape.slice(0, batchDims), rows, ...rest], (index) => {
    const batch = index.slice(0, batchDims);
    let sum = 0;
    for (const count of counts) {
      if (at(indices, [...batch, ...count]) !== index[batchDims]) continue;
      sum = wrap(updates.dtype, sum + at(updates, [...batch, ...count, ...index.slice(batchDims + 1)]));
    }
    return sum;
  });
}

/** Attention and the logarithm of its denominators; axes as in `attention`. */
export function attention(
  [query, key, value]: readonly [Plain, Plain, Plain],
  { scale, causal, mask }: { readonly scale: number; readonly causal: boolean; readonly mask?: Plain },
): [result: Plain, logSumExp: Plain] {
  const [batch, queries, heads, dim] = query.shape as [number, number, number, number];
  const keys = key.shape[1] as number;
  const rowOf = (b: number, i: number, h: number): number[] =>
    Array.from({ length: keys }, (_, j) => {
      if ((causal && j > i) || (mask && !broadcastAt(mask, [b, h, i, j]))) return Number.NEGATIVE_INFINITY;
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += at(query, [b, i, h, d]) * at(key, [b, j, h, d]);
      return sum * scale;
    });
  const sumOf = (row: readonly number[], highest: number) =>
    row.reduce((sum, s) => sum + Math.exp(s - highest), 0);
  const result = build('f32', query.shape, ([b = 0, i = 0, h = 0, d = 0]) => {
    const row = rowOf(b, i, h);
    const highest = Math.max(...row);
    if (highest === Number.NEGATIVE_INFINITY) return 0;
    const total = sumOf(row, highest);
    let sum = 0;
    row.forEach((s, j) => {
      if (s !== Number.NEGATIVE_INFINITY) sum += (Math.exp(s - highest) / total) * at(value, [b, j, h, d]);
    });
    return sum;
  });
  const logSumExp = build('f32', [batch, heads, queries], ([b = 0, h = 0, i = 0]) => {
    const row = rowOf(b, i, h);
    const highest = Math.max(...row);
    return highest === Number.NEGATIVE_INFINITY ? highest : highest + Math.log(sumOf(row, highest));
  });
  return [result, logSumExp];
}
