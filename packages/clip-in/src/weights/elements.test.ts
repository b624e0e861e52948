/** Elements of weight files against independent readings: DataView, and the definition of half precision in float64. */
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeElements, ELEMENT_BYTES, type FileDType, storedDType } from './elements';

const bytesOf = (array: ArrayBufferView<ArrayBuffer>) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** The value of a half as IEEE 754 defines it. */
function half(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

it('every half is widened to its value', () => {
  const all = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
  const widened = decodeElements('F16', bytesOf(all));
  expect(widened).toBeInstanceOf(Float32Array);
  widened.forEach((value, i) => {
    if (!Object.is(value, half(i))) throw new Error(`half ${i} became ${value}, not ${half(i)}`);
  });
});

it('every bf16 is the f32 with zeros below', () => {
  const all = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
  const widened = new Uint32Array(decodeElements('BF16', bytesOf(all)).buffer);
  expect(widened.every((bits, i) => bits === (i << 16) >>> 0)).toBe(true);
});

const readers: Record<Exclude<FileDType, 'F16' | 'BF16'>, (view: DataView, at: number) => number> = {
  F64: (view, at) => Math.fround(view.getFloat64(at, true)),
  F32: (view, at) => view.getFloat32(at, true),
  I64: (view, at) => Number(view.getBigInt64(at, true)),
  U64: (view, at) => Number(view.getBigUint64(at, true)),
  I32: (view, at) => view.getInt32(at, true),
  U32: (view, at) => view.getUint32(at, true),
  I16: (view, at) => view.getInt16(at, true),
  U16: (view, at) => view.getUint16(at, true),
  I8: (view, at) => view.getInt8(at),
  U8: (view, at) => view.getUint8(at),
  BOOL: (view, at) => view.getUint8(at),
};

it('other elements are read as DataView reads them, from any place of a buffer', () => {
  const names = Object.keys(readers) as (keyof typeof readers)[];
  checkProperty(
    fc.property(
      fc.constantFrom(...names),
      fc.uint8Array({ maxLength: 80 }),
      fc.nat(7),
      (dtype, raw, shift) => {
        const size = ELEMENT_BYTES[dtype];
        const count = Math.floor(raw.length / size);
        const moved = new Uint8Array(shift + count * size);
        moved.set(raw.subarray(0, count * size), shift);
        // 64-bit integers of files of weights are small.
        if (size === 8 && dtype !== 'F64') {
          for (let i = 0; i < count; i++) moved.fill(0, shift + i * 8 + 3, shift + i * 8 + 8);
        }
        const got = decodeElements(dtype, moved.subarray(shift));
        const view = new DataView(moved.buffer, shift);
        expect([...got]).toEqual(Array.from({ length: count }, (_, i) => readers[dtype](view, i * size)));
        const kind = got instanceof Float32Array ? 'f32' : got instanceof Int32Array ? 'i32' : 'u32';
        expect(kind).toBe(storedDType(dtype));
      },
    ),
  );
});

it('integers that 32 bits do not hold are refused', () => {
  expect(() => decodeElements('I64', bytesOf(BigInt64Array.of(1n, -(2n ** 31n) - 1n)))).toThrow(
    'the integer -2147483649 does not fit 32 bits',
  );
  expect(decodeElements('I64', bytesOf(BigInt64Array.of(-(2n ** 31n))))[0]).toBe(-(2 ** 31));
});
