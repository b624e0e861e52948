/**
 * Elements as weight files store them, and as this package computes with them: whatever is a float becomes f32, whatever
 * is an integer i32 or u32. Formats of whole files are the business of `safetensors.ts` and `torch-archive.ts`.
 */

import { decodeF16 } from '@clipin/tensor';

/** Element types of weight files, by safetensors' names, with their bytes. */
export const ELEMENT_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

/** Element type of a tensor in a file. */
export type FileDType = keyof typeof ELEMENT_BYTES;

/** Element types of tensors in checkpoints. */
export type StoredDType = 'f32' | 'f16' | 'i32' | 'u32';

/** Arrays of stored elements; those of f16 are their bits. */
export type StoredData = Float32Array | Uint16Array | Int32Array | Uint32Array;

/** Element types that weights are read as, whatever the file has. */
export type ReadDType = Exclude<StoredDType, 'f16'>;

/** Arrays that weights are read into. */
export type ReadData = Exclude<StoredData, Uint16Array>;

/** What a file's element type is read as. */
export const storedDType = (dtype: FileDType): ReadDType => {
  if (dtype === 'U32' || dtype === 'U64') return 'u32';
  return dtype.startsWith('F') || dtype === 'BF16' ? 'f32' : 'i32';
};

/**
 * Little-endian elements in their array: f16 and bf16 widened exactly, f64 rounded to f32, the integers to 32 bits.
 *
 * @param bytes - whole elements; copied only where the type changes
 * @throws RangeError for a 64-bit integer that 32 bits do not hold
 */
export function decodeElements(dtype: FileDType, bytes: Uint8Array<ArrayBuffer>): ReadData {
  const { buffer, byteOffset } = bytes;
  const count = bytes.length / ELEMENT_BYTES[dtype];
  if (byteOffset % ELEMENT_BYTES[dtype] !== 0) return decodeElements(dtype, bytes.slice());
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, count);
    case 'I32':
      return new Int32Array(buffer, byteOffset, count);
    case 'U32':
      return new Uint32Array(buffer, byteOffset, count);
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case 'F16':
      return decodeF16(new Uint16Array(buffer, byteOffset, count));
    case 'BF16':
      return widenBrainFloats(new Uint16Array(buffer, byteOffset, count));
    case 'I64':
      return narrow(new Int32Array(count), new BigInt64Array(buffer, byteOffset, count));
    case 'U64':
      return narrow(new Uint32Array(count), new BigUint64Array(buffer, byteOffset, count));
    case 'I16':
      return Int32Array.from(new Int16Array(buffer, byteOffset, count));
    case 'U16':
      return Int32Array.from(new Uint16Array(buffer, byteOffset, count));
    case 'I8':
      return Int32Array.from(new Int8Array(buffer, byteOffset, count));
    case 'U8':
    case 'BOOL':
      return Int32Array.from(bytes);
    default:
      return dtype satisfies never;
  }
}

/** A bf16 is the upper half of an f32. */
function widenBrainFloats(values: Uint16Array): Float32Array {
  const bits = new Uint32Array(values.length);
  for (let i = 0; i < bits.length; i++) bits[i] = values[i]! << 16;
  return new Float32Array(bits.buffer);
}

function narrow<T extends Int32Array | Uint32Array>(into: T, wide: BigInt64Array | BigUint64Array): T {
  wide.forEach((value, i) => {
    into[i] = Number(value);
    if (BigInt(into[i]!) !== value) throw new RangeError(`the integer ${value} does not fit 32 bits`);
  });
  return into;
}

/** Whether something that was read is a number of elements or bytes: whole, from 0 up. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
