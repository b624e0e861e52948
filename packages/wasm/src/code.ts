/**
 * WebAssembly instructions as nested arrays of bytes: expressions and statements that compose like values.
 * Knows encodings only; what is computed is decided by the generators.
 */

/** Bytes of instructions, nested as they were composed; `flatten` gives the bytes in a row. */
export type Code = number | readonly Code[];

/** Types of values in WebAssembly, with their byte in the binary format. */
export const valueTypes = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;

export type ValueType = keyof typeof valueTypes;

/** LEB128 of an unsigned integer. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low + 128 : low);
  } while (rest > 0);
  return bytes;
}

/** LEB128 of a signed 32-bit integer. */
export function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 127;
    rest >>= 7;
    const last = (rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0);
    bytes.push(last ? low : low | 128);
    if (last) return bytes;
  }
}

const scalarOpcodes = {
  drop: 0x1a,
  'i32.eqz': 0x45,
  'i32.eq': 0x46,
  'i32.ne': 0x47,
  'i32.lt_s': 0x48,
  'i32.lt_u': 0x49,
  'i32.gt_s': 0x4a,
  'i32.gt_u': 0x4b,
  'i32.le_s': 0x4c,
  'i32.le_u': 0x4d,
  'i32.ge_s': 0x4e,
  'i32.ge_u': 0x4f,
  'i32.add': 0x6a,
  'i32.sub': 0x6b,
  'i32.mul': 0x6c,
  'i32.div_s': 0x6d,
  'i32.div_u': 0x6e,
  'i32.rem_s': 0x6f,
  'i32.rem_u': 0x70,
  'i32.and': 0x71,
  'i32.or': 0x72,
  'i32.xor': 0x73,
  'i32.shl': 0x74,
  'i32.shr_s': 0x75,
  'i32.shr_u': 0x76,
  'f32.demote_f64': 0xb6,
  'f64.promote_f32': 0xbb,
} as const;

/** Opcodes behind the SIMD prefix; relaxed ones are those from 256 on. */
const simdOpcodes = {
  'i32x4.splat': 17,
  'f32x4.splat': 19,
  'i32x4.eq': 55,
  'i32x4.ne': 56,
  'i32x4.lt_s': 57,
  'i32x4.lt_u': 58,
  'i32x4.gt_s': 59,
  'i32x4.le_s': 61,
  'i32x4.le_u': 62,
  'f32x4.eq': 65,
  'f32x4.ne': 66,
  'f32x4.lt': 67,
  'f32x4.gt': 68,
  'f32x4.le': 69,
  'f32x4.ge': 70,
  'v128.not': 77,
  'v128.and': 78,
  'v128.andnot': 79,
  'v128.or': 80,
  'v128.xor': 81,
  'v128.bitselect': 82,
  'v128.any_true': 83,
  'f32x4.floor': 104,
  'f32x4.nearest': 106,
  'i16x8.narrow_i32x4_u': 134,
  'i32x4.abs': 160,
  'i32x4.neg': 161,
  'i32x4.shl': 171,
  'i32x4.shr_s': 172,
  'i32x4.shr_u': 173,
  'i32x4.add': 174,
  'i32x4.sub': 177,
  'i32x4.mul': 181,
  'i32x4.min_s': 182,
  'i32x4.min_u': 183,
  'i32x4.max_s': 184,
  'i32x4.max_u': 185,
  'f32x4.abs': 224,
  'f32x4.neg': 225,
  'f32x4.sqrt': 227,
  'f32x4.add': 228,
  'f32x4.sub': 229,
  'f32x4.mul': 230,
  'f32x4.div': 231,
  'f32x4.min': 232,
  'f32x4.max': 233,
  'f32x4.pmin': 234,
  'f32x4.pmax': 235,
  'i32x4.trunc_sat_f32x4_s': 248,
  'i32x4.trunc_sat_f32x4_u': 249,
  'f32x4.convert_i32x4_s': 250,
  'f32x4.convert_i32x4_u': 251,
  'f32x4.relaxed_madd': 261,
  'f32x4.relaxed_nmadd': 262,
} as const;

export type Opcode = keyof typeof scalarOpcodes | keyof typeof simdOpcodes;

const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];

const encodings = new Map<string, Code>([
  ...Object.entries(scalarOpcodes),
  ...Object.entries(simdOpcodes).map(([name, opcode]): [string, Code] => [name, simd(opcode)]),
]);

/** An instruction after its arguments. */
export const op = (name: Opcode, ...args: Code[]): Code => [...args, encodings.get(name) as Code];

/** An i32 constant. */
export const i32 = (value: number): Code => [0x41, signed(value)];

const floatBytes = (value: number): number[] => [...new Uint8Array(new Float32Array([value]).buffer)];
const intBytes = (value: number): number[] => [...new Uint8Array(new Int32Array([value]).buffer)];

/** A vector with one f32 in all lanes. */
export function f32x4(value: number): Code {
  const lane = floatBytes(value);
  return [simd(12), ...lane, ...lane, ...lane, ...lane];
}

/** A vector of four i32; one value fills all lanes. */
export function i32x4(...lanes: [number] | [number, number, number, number]): Code {
  const [a, b = a, c = a, d = a] = lanes;
  return [simd(12), ...[a, b, c, d].flatMap(intBytes)];
}

const loads = {
  'v128.load': 0,
  'v128.load16x4_u': 4,
  'v128.load16_splat': 8,
  'v128.load32_splat': 9,
  'v128.load32_zero': 92,
  'v128.load64_zero': 93,
} as const;

/** Loads by address; `offset` is a constant number of bytes beyond an address that is itself in memory. */
export const load = (name: keyof typeof loads, address: Code, offset = 0): Code => [
  address,
  simd(loads[name]),
  name === 'v128.load16_splat' ? 1 : 2,
  unsigned(offset),
];

/** Loads one lane of a vector from memory. */
export const loadLane = (address: Code, vector: Code, lane: number, offset = 0): Code => [
  address,
  vector,
  simd(86),
  2,
  unsigned(offset),
  lane,
];

/** Loads 16 bits into the lower half of 32-bit lane `lane`. */
export const loadHalfLane = (address: Code, vector: Code, lane: number): Code => [
  address,
  vector,
  simd(85),
  1,
  0,
  2 * lane,
];

export const storeVector = (address: Code, vector: Code, offset = 0): Code => [
  address,
  vector,
  simd(11),
  2,
  unsigned(offset),
];

/** Stores lane `lane` of 16, 32 or 64 bits (of 64: 0 is the lower half). */
export const storeLane = (
  bits: 16 | 32 | 64,
  address: Code,
  vector: Code,
  lane: number,
  offset = 0,
): Code => [
  address,
  vector,
  simd({ 16: 89, 32: 90, 64: 91 }[bits]),
  bits === 16 ? 1 : 2,
  unsigned(offset),
  lane,
];

export const loadInt = (address: Code, offset = 0): Code => [address, 0x28, 2, unsigned(offset)];

/** Stores the lower 16 bits of an i32. */
export const storeHalfInt = (address: Code, value: Code): Code => [address, value, 0x3b, 1, 0];

/** One lane as a scalar. */
export const extract = (type: 'i32' | 'f32', vector: Code, lane: number): Code => [
  vector,
  simd(type === 'i32' ? 27 : 31),
  lane,
];

/** The vector with one lane replaced by a scalar. */
export const replace = (type: 'i32' | 'f32', vector: Code, lane: number, value: Code): Code => [
  vector,
  value,
  simd(type === 'i32' ? 28 : 32),
  lane,
];

/** 32-bit lanes picked from two vectors: 0–3 of `a`, 4–7 of `b`. */
export const shuffle = (a: Code, b: Code, lanes: readonly [number, number, number, number]): Code => [
  a,
  b,
  simd(13),
  ...lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => lane * 4 + byte)),
];

const emptyBlock = 0x40;

export const ifElse = (condition: Code, then: Code, otherwise?: Code): Code => [
  condition,
  0x04,
  emptyBlock,
  then,
  ...(otherwise === undefined ? [] : [0x05, otherwise]),
  0x0b,
];

/** Repeats `body` while `condition` holds after it: the body runs at least once. */
export const doWhile = (body: Code, condition: Code): Code => [
  0x03,
  emptyBlock,
  body,
  condition,
  0x0d,
  0,
  0x0b,
];

/** Leaves the `doWhile` around it, which must be all that stands in an `ifElse`, if `condition` holds. */
export const leaveIf = (condition: Code): Code => [condition, 0x0d, 1];

export const call = (index: number, ...args: Code[]): Code => [...args, 0x10, unsigned(index)];

/** Fills `bytes` bytes with zeros. */
export const fillZero = (address: Code, bytes: Code): Code => [address, i32(0), bytes, 0xfc, 0x0b, 0];

/** Copies `bytes` bytes. */
export const copyBytes = (to: Code, from: Code, bytes: Code): Code => [to, from, bytes, 0xfc, 0x0a, 0, 0];

/** Appends the bytes of `code` to `out`. */
export function flatten(code: Code, out: number[] = []): number[] {
  if (typeof code === 'number') out.push(code);
  else for (const part of code) flatten(part, out);
  return out;
}

/** `address + bytes`, without an addition of nothing. */
export const plus = (value: Code, constant: number): Code =>
  constant === 0 ? value : op('i32.add', value, i32(constant));

/** `value · constant`, without a multiplication by one or nothing. */
export function times(value: Code, constant: number): Code {
  if (constant === 0) return i32(0);
  return constant === 1 ? value : op('i32.mul', value, i32(constant));
}
