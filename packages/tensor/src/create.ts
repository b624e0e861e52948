/** New tensors: from data, or from a rule. */
import {
  type Device,
  type DType,
  dtypes,
  emptyArray,
  formatShape,
  type Shape,
  sizeOf,
  type TypedArray,
} from '@clipin/kernel';
import { defaultDevice } from './device';
import { checkAxis, checkShape, checkValue } from './operations';
import { Storage } from './storage';
import { Tensor } from './tensor';

/** Numbers, truth values, or nested arrays of them. */
export type NestedArray = number | boolean | readonly NestedArray[];

/** Options of functions that make tensors. */
export interface CreateOptions {
  /** Default: f32; of typed arrays, the dtype that they hold; of truth values, bool. */
  readonly dtype?: DType;
  /** Default: the device that `init` started. */
  readonly device?: Device;
}

const isTypedArray = (data: unknown): data is TypedArray | Uint16Array =>
  data instanceof Float32Array ||
  data instanceof Float64Array ||
  data instanceof Int32Array ||
  data instanceof Uint32Array ||
  data instanceof Uint16Array;

function shapeOf(data: NestedArray): number[] {
  if (typeof data === 'number' || typeof data === 'boolean') return [];
  const [first] = data;
  return [data.length, ...(first === undefined ? [] : shapeOf(first))];
}

function flattenInto(data: NestedArray, shape: Shape, depth: number, flat: number[]): void {
  if (typeof data === 'number' || typeof data === 'boolean') {
    if (depth !== shape.length)
      throw new RangeError(`tensor: ragged array; found a number where ${formatShape(shape)} has an array`);
    flat.push(Number(data));
    return;
  }
  if (depth >= shape.length || data.length !== shape[depth]) {
    throw new RangeError(
      `tensor: ragged array; found ${data.length} elements where ${formatShape(shape)} has ${shape[depth] ?? 'a number'}`,
    );
  }
  for (const item of data) flattenInto(item, shape, depth + 1, flat);
}

function dtypeOf(data: NestedArray | TypedArray | Uint16Array): DType {
  if (data instanceof Int32Array) return 'i32';
  if (data instanceof Uint32Array) return 'u32';
  if (data instanceof Uint16Array) return 'f16';
  let first: unknown = data;
  while (Array.isArray(first)) first = first[0];
  return typeof first === 'boolean' ? 'bool' : 'f32';
}

/**
 * A tensor of these values, copied to the device.
 *
 * @param data - nested arrays, or a typed array with a shape; a Uint16Array holds the bits of f16
 * @param shape - default: the shape of the nested arrays; a typed array's length
 */
export function tensor(
  data: NestedArray | TypedArray | Uint16Array,
  shape?: Shape,
  options: CreateOptions = {},
): Tensor {
  const { dtype = dtypeOf(data), device = defaultDevice() } = options;
  let flat: ArrayLike<number>;
  let own: Shape;
  if (isTypedArray(data)) {
    flat = data;
    own = [data.length];
  } else {
    const values: number[] = [];
    own = shapeOf(data);
    flattenInto(data, own, 0, values);
    flat = values;
  }
  const target = checkShape('tensor', shape ?? own);
  if (sizeOf(target) !== flat.length) {
    throw new RangeError(
      `tensor: ${flat.length} values for shape ${formatShape(target)}, which has ${sizeOf(target)} elements`,
    );
  }
  const values = toStorage(flat, dtype);
  const buffer = device.allocate(dtype, flat.length);
  const result = new Tensor(device, dtype, target, { kind: 'buffer' }, []);
  result.storage = Storage.of(device, buffer);
  device.write(buffer, values);
  return result;
}

function toStorage(flat: ArrayLike<number>, dtype: DType): TypedArray | Uint16Array {
  if (flat instanceof Uint16Array) {
    if (dtype === 'f16') return flat;
    throw new TypeError(
      `tensor: a Uint16Array holds the bits of f16, not ${dtype}; widen it to another array`,
    );
  }
  const isFloat = dtypes[dtype].kind === 'float';
  if ((flat instanceof Float32Array || flat instanceof Float64Array) && isFloat) return flat;
  if (flat instanceof Int32Array && dtype === 'i32') return flat;
  if (flat instanceof Uint32Array && dtype === 'u32') return flat;
  // The device rounds.
  if (isFloat) return Float64Array.from(flat);
  const converted = emptyArray(dtype, flat.length);
  for (let i = 0; i < flat.length; i++) {
    converted[i] = checkValue('tensor', flat[i] as number, dtype);
  }
  return converted;
}

/** One value everywhere; takes no memory until it is needed in one piece. */
export function full(
  shape: Shape,
  value: number,
  { dtype = 'f32', device = defaultDevice() }: CreateOptions = {},
): Tensor {
  const constant = checkValue('full', value, dtype);
  return Tensor.record({ kind: 'constant', value: constant }, [], checkShape('full', shape), dtype, device);
}

/** Zeros (false). */
export const zeros = (shape: Shape, options?: CreateOptions): Tensor => full(shape, 0, options);

/** Ones (true). */
export const ones = (shape: Shape, options?: CreateOptions): Tensor => full(shape, 1, options);

/** Zeros of the shape, dtype and device of another tensor. */
export const zerosLike = ({ shape, dtype, device }: Tensor): Tensor => zeros(shape, { dtype, device });

/** The index along `axis`, in a tensor of this shape. Default dtype: i32. */
export function iota(
  shape: Shape,
  axis: number,
  { dtype = 'i32', device = defaultDevice() }: CreateOptions = {},
): Tensor {
  const at = checkAxis('iota', axis, checkShape('iota', shape));
  return Tensor.record({ kind: 'iota', axis: at }, [], shape, 'i32', device).cast(dtype);
}

/** `0, 1, …, n − 1`. Default dtype: i32. */
export const arange = (n: number, options?: CreateOptions): Tensor => iota([n], 0, options);

/** The identity matrix `[n, n]`. */
export function eye(n: number, { dtype = 'f32', ...options }: CreateOptions = {}): Tensor {
  return iota([n, n], 0, options)
    .equal(iota([n, n], 1, options))
    .cast(dtype);
}
