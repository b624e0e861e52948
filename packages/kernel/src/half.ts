/**
 * IEEE 754 binary16, as buffers of dtype `f16` hold it: 1 bit of sign, 5 of exponent with bias 15, 10 of fraction.
 * Numbers in both directions, without a `Float16Array`, which Node has only from version 24 on.
 */

/** The least number that rounds to infinity: halfway between the largest finite half, 65504, and 65536. */
const overflow = 65520;
/** The least normal half. */
const leastNormal = 2 ** -14;
/** Adding it to a number below 2⁵² and taking it away again rounds to a whole number, ties to even. */
const whole = 2 ** 52;

const double = new Float64Array(1);
const doubleWords = new Uint32Array(double.buffer);
const highWord = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 1 : 0;

/** `2 ** (10 − exponent)` for the exponents of normal halves, −14 to 15. */
const scales = Float64Array.from({ length: 30 }, (_, i) => 2 ** (24 - i));

/**
 * The bits of the half nearest to a number, ties to even. One rounding from float64: a number that was rounded to f32
 * before may come out differently. Beyond the largest half it is infinity; NaN stays NaN.
 */
export function toF16Bits(value: number): number {
  double[0] = value;
  const high = doubleWords[highWord] as number;
  const sign = (high >>> 16) & 0x8000;
  const size = Math.abs(value);
  if (size >= overflow) return sign | 0x7c00;
  // The subnormal halves; what rounds up to the least normal one has its bits too.
  if (size < leastNormal) return sign | (size * 2 ** 24 + whole - whole);
  if (Number.isNaN(value)) return sign | 0x7e00;
  const exponent = ((high >>> 20) & 0x7ff) - 1009;
  // With its implied leading one; 2048 carries into the exponent.
  return sign | ((exponent << 10) + (size * (scales[exponent] as number) + whole - whole));
}

/** The f32 bits of a half. */
function widenBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // A subnormal half is a normal f32: its leading one moves up to where it is implied.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

/** The f32 bits of each of the 65,536 halves, made once, and the same as numbers. */
let table: { readonly bits: Int32Array; readonly values: Float32Array } | undefined;

function widened(): NonNullable<typeof table> {
  if (table) return table;
  const bits = Int32Array.from({ length: 1 << 16 }, (_, half) => widenBits(half));
  table = { bits, values: new Float32Array(bits.buffer) };
  return table;
}

/** The number that a half's bits mean; exact. */
export const fromF16Bits = (bits: number): number => widened().values[bits & 0xffff] as number;

/** The half nearest to a number, as a number: what storing it as f16 makes of it. */
export const roundToF16 = (value: number): number => fromF16Bits(toF16Bits(value));

/** f32 by integers, which is fast: whole files of weights pass here. */
function encodeFloats(values: Float32Array, bits: Uint16Array): void {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    const size = word & 0x7fffffff;
    // Of normal halves; the fraction may carry into the exponent.
    const isNormal = size >= 0x38800000 && size < 0x477ff000;
    bits[i] = isNormal
      ? ((word >>> 16) & 0x8000) | ((size - 0x38000000 + 0xfff + ((size >> 13) & 1)) >> 13)
      : toF16Bits(values[i] as number);
  }
}

/** The bits of the halves nearest to these numbers, in a new array or `bits`. */
export function encodeF16(
  values: ArrayLike<number>,
  bits: Uint16Array = new Uint16Array(values.length),
): Uint16Array {
  if (values instanceof Float32Array) encodeFloats(values, bits);
  else for (let i = 0; i < bits.length; i++) bits[i] = toF16Bits(values[i] as number);
  return bits;
}

/** The numbers that these halves are; exact. */
export function decodeF16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const { bits: wide } = widened();
  // As integers, so that the bits of a NaN stay what they are.
  const values = new Int32Array(bits.length);
  for (let i = 0; i < values.length; i++) values[i] = wide[bits[i] as number] as number;
  return new Float32Array(values.buffer);
}
