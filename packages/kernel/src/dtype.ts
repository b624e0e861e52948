/**
 * Element types: what a buffer holds and what a scalar expression computes with.
 * Adding one means one row in `dtypes` and what each device does with it.
 */

/**
 * The type of a tensor's elements. `bool` is stored as a 32-bit 0 or 1. `f16` is a format of storage, IEEE 754 binary16:
 * nothing computes in it. In a kernel a value of dtype `f16` is an f32 that a half can hold.
 */
export type DType = 'f32' | 'f16' | 'i32' | 'u32' | 'bool';

/**
 * Host-side storage of elements; those of f16 are a `Float32Array`. The float64 reference device reads `f32` and `f16`
 * back as `Float64Array`.
 */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint32Array;

/** What is to be known of a dtype. */
export interface DTypeFacts {
  /** Bytes of one element in device memory. */
  readonly bytes: number;
  readonly kind: 'float' | 'int' | 'bool';
  /** What a maximum starts from. */
  readonly lowest: number;
  /** What a minimum starts from. */
  readonly highest: number;
}

/** Facts about every dtype: bytes in device memory, kind, and the values that `max` and `min` start from. */
export const dtypes: Readonly<Record<DType, DTypeFacts>> = {
  f32: { bytes: 4, kind: 'float', lowest: -Infinity, highest: Infinity },
  f16: { bytes: 2, kind: 'float', lowest: -Infinity, highest: Infinity },
  i32: { bytes: 4, kind: 'int', lowest: -(2 ** 31), highest: 2 ** 31 - 1 },
  u32: { bytes: 4, kind: 'int', lowest: 0, highest: 2 ** 32 - 1 },
  bool: { bytes: 4, kind: 'bool', lowest: 0, highest: 1 },
};

/** The typed array that carries `length` elements of `dtype` between host and device. */
export function emptyArray(dtype: DType, length: number): Float32Array | Int32Array | Uint32Array {
  if (dtypes[dtype].kind === 'float') return new Float32Array(length);
  return dtype === 'i32' ? new Int32Array(length) : new Uint32Array(length);
}
