/** Halves against the definition of IEEE 754: every one of them, and every number between two neighbours. */
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeF16, encodeF16, fromF16Bits, roundToF16, toF16Bits } from './half';

/** The value by the formula of the standard. */
function numberOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

const all = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);
const values = [...all].map(numberOf);

test('every half is its number, and its number is the half again', () => {
  const decoded = decodeF16(all);
  const encoded = encodeF16(decoded);
  const wrong = [...all].filter((bits) => {
    const value = values[bits] as number;
    if (!Object.is(decoded[bits], value) || !Object.is(fromF16Bits(bits), value)) return true;
    return Number.isNaN(value) ? (encoded[bits] as number) % 0x8000 <= 0x7c00 : encoded[bits] !== bits;
  });
  expect(wrong).toEqual([]);
});

test('between neighbours the nearer is taken, in the middle the even one, without rounding to f32 before', () => {
  const wrong: string[] = [];
  const expectBits = (value: number, bits: number): void => {
    if (toF16Bits(value) !== bits || toF16Bits(-value) !== (bits | 0x8000)) wrong.push(`${value}`);
  };
  for (let bits = 0; bits < 0x7c00; bits++) {
    const low = numberOf(bits);
    const middle = (low + (bits === 0x7bff ? 65536 : numberOf(bits + 1))) / 2;
    // As near to the middle as float64 can say, where f32 would say the middle itself.
    const little = middle * 2 ** -50;
    expectBits(middle, bits + (bits & 1));
    expectBits(middle - little, bits);
    expectBits(middle + little, bits + 1);
  }
  expect(wrong).toEqual([]);
});

test('arrays of f32 and of float64 are rounded alike', () => {
  checkProperty(
    fc.property(fc.array(fc.float()), (numbers) => {
      expect(encodeF16(Float32Array.from(numbers))).toEqual(encodeF16(numbers));
    }),
  );
  const middles = Float32Array.from({ length: 0x7c00 }, (_, bits) => numberOf(bits) * (1 + 2 ** -11));
  for (const by of [1, -1, 1 + 2 ** -22, 1 - 2 ** -22]) {
    const near = middles.map((value) => value * by);
    expect(encodeF16(near)).toEqual(encodeF16(Float64Array.from(near)));
  }
});

test('the ends', () => {
  expect(toF16Bits(Number.NaN) % 0x8000).toBeGreaterThan(0x7c00);
  expect([Infinity, -Infinity, 65519.99, 65520, 1e300].map(roundToF16)).toEqual([
    ...[Infinity, -Infinity, 65504, Infinity, Infinity],
  ]);
  expect([0, -0, 2 ** -25, -(2 ** -25), 1e-320].map(toF16Bits)).toEqual([0, 0x8000, 0, 0x8000, 0]);
  expect(toF16Bits(2 ** -25 + 2 ** -60)).toBe(1);
});

test('rounding changes nothing that is a half, and keeps the order', () => {
  checkProperty(
    fc.property(fc.double({ noNaN: true }), fc.double({ noNaN: true }), (a, b) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      expect(roundToF16(roundToF16(low))).toBe(roundToF16(low));
      expect(roundToF16(low)).toBeLessThanOrEqual(roundToF16(high));
    }),
  );
});
