/** The exact meaning of every scalar operation, in float64: what all devices are measured against. */
import { type DType, dtypes } from './dtype';
import { roundToF16 } from './half';
import type { ScalarOp } from './scalar';

const bits = new DataView(new ArrayBuffer(4));

const reinterpret = (value: number, from: DType, to: DType): number => {
  if (from === 'f32') bits.setFloat32(0, value);
  else bits.setUint32(0, value >>> 0);
  if (to === 'f32') return bits.getFloat32(0);
  return to === 'i32' ? bits.getInt32(0) : bits.getUint32(0);
};

const convert = (value: number, from: DType, to: DType): number => {
  if (to === 'bool') return value !== 0 ? 1 : 0;
  if (to === 'f16') return roundToF16(value);
  if (to === 'f32') return value;
  if (dtypes[from].kind !== 'float') return to === 'i32' ? value | 0 : value >>> 0;
  if (Number.isNaN(value)) return 0;
  const [low, high] = to === 'i32' ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  return Math.min(high, Math.max(low, Math.trunc(value))) + 0; // an integer has no −0
};

/** Error function to float64 accuracy: a series of positive terms near 0, the continued fraction of erfc beyond. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return x;
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

const floatOps: Partial<Record<ScalarOp, (a: number, b: number) => number>> = {
  negate: (a) => -a,
  abs: Math.abs,
  floor: Math.floor,
  sqrt: Math.sqrt,
  exp: Math.exp,
  log: Math.log,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  erf,
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  max: Math.max,
  min: Math.min,
};

const intOps: Partial<Record<ScalarOp, (a: number, b: number) => number>> = {
  negate: (a) => -a,
  abs: Math.abs,
  not: (a) => ~a,
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => Math.imul(a, b),
  divide: (a, b) => (b === 0 ? 0 : Math.trunc(a / b)),
  remainder: (a, b) => (b === 0 ? 0 : a % b),
  max: Math.max,
  min: Math.min,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shiftLeft: (a, b) => a << (b & 31),
};

const boolOps: Partial<Record<ScalarOp, (a: number, b: number) => number>> = {
  not: (a) => 1 - a,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};

/**
 * The value of one scalar operation.
 *
 * @param op - the operation
 * @param from - dtype of the value arguments
 * @param to - dtype of the result
 * @param args - values; truth values are 0 and 1
 */
export function evaluateScalar(op: ScalarOp, from: DType, to: DType, args: readonly number[]): number {
  const [a = 0, b = 0, c = 0] = args;
  switch (op) {
    case 'cast':
      return convert(a, from, to);
    case 'bitcast':
      return reinterpret(a, from, to);
    case 'select':
      return a !== 0 ? b : c;
    case 'less':
      return a < b ? 1 : 0;
    case 'lessEqual':
      return a <= b ? 1 : 0;
    case 'equal':
      return a === b ? 1 : 0;
    case 'shiftRight':
      return from === 'i32' ? a >> (b & 31) : a >>> (b & 31);
    default: {
      const table = from === 'f32' ? floatOps : from === 'bool' ? boolOps : intOps;
      const compute = table[op];
      if (!compute) throw new TypeError(`${op} is not defined for ${from}`);
      const value = compute(a, b);
      if (to === 'i32') return value | 0;
      return to === 'u32' ? value >>> 0 : value;
    }
  }
}
