/** The scalar operations as WGSL expressions: one table, over scalars and vec4 alike. */
import type { DType, ScalarOp } from '@clipin/kernel';
import { dtypes } from '@clipin/kernel';
import { type Lanes, type Shader, typeName } from './shader';

/**
 * A constant as an expression. Integers, and floats that shape code (0, 1, ½, 2), are text; other floats, which come
 * from sizes and settings, are parameters, so that they make no new pipeline. Infinities and NaN go through `from_bits`.
 */
export function constantCode(shader: Shader, dtype: DType, value: number): string {
  if (dtype === 'bool') return value ? 'true' : 'false';
  if (dtype === 'u32') return `${value >>> 0}u`;
  if (dtype === 'i32') return value === -(2 ** 31) ? 'bitcast<i32>(0x80000000u)' : `${value | 0}i`;
  const rounded = Math.fround(value);
  const bits = new Uint32Array(Float32Array.of(rounded).buffer)[0] as number;
  if (Math.abs(rounded) <= 2 && Number.isInteger(rounded * 2) && bits !== 0x80000000) return `${rounded}f`;
  if (Number.isFinite(rounded) && rounded !== 0) return `bitcast<f32>(${shader.param(bits | 0)})`;
  return `${shader.helper('from_bits_1')}(0x${bits.toString(16)}u)`;
}

interface Context {
  readonly shader: Shader;
  /** dtype of the value arguments. */
  readonly from: DType;
  readonly to: DType;
  readonly lanes: Lanes;
  /** The WGSL type of the value arguments. */
  readonly type: string;
}

type Code = (c: Context, a: string, b: string, third: string) => string;

const builtin =
  (name: string): Code =>
  (_, a) =>
    `${name}(${a})`;
const infix =
  (operator: string): Code =>
  (_, a, b) =>
    `${a} ${operator} ${b}`;
const helper = (c: Context, name: string): string => c.shader.helper(`${name}_${c.lanes}`);
const shiftBy = (c: Context, b: string) =>
  `(bitcast<${typeName('u32', c.lanes)}>(${b}) & ${typeName('u32', c.lanes)}(31u))`;
/** `max` and `min` of floats keep NaN, which WGSL's own may drop. */
const extreme =
  (name: 'max' | 'min'): Code =>
  (c, a, b) =>
    `${c.from === 'f32' ? helper(c, `${name}_nan`) : name}(${a}, ${b})`;
/** Comparisons of truth values in terms of and, or, not. */
const compare =
  (operator: string, ofBools: (a: string, b: string) => string): Code =>
  (c, a, b) =>
    c.from === 'bool' ? ofBools(a, b) : `${a} ${operator} ${b}`;

const cast: Code = (c, a) => {
  // Halves are f32 that a half can hold.
  if (c.from === 'f16') return c.to === 'f16' ? a : cast({ ...c, from: 'f32' }, a, '', '');
  if (c.to === 'f16') return `${helper(c, 'round_half')}(${cast({ ...c, to: 'f32' }, a, '', '')})`;
  const target = typeName(c.to, c.lanes);
  if (c.from === c.to) return a;
  if (c.to === 'bool') {
    const bits = `bitcast<${typeName('u32', c.lanes)}>(${a})`;
    const zero = `${typeName('u32', c.lanes)}(0u)`;
    return c.from === 'f32'
      ? `(${bits} << ${typeName('u32', c.lanes)}(1u)) != ${zero}`
      : `${bits} != ${zero}`;
  }
  if (c.from === 'f32') return `${helper(c, c.to === 'i32' ? 'to_i32' : 'to_u32')}(${a})`;
  return `${target}(${a})`;
};

const codes: Record<ScalarOp, Code> = {
  negate: (c, a) => (c.from === 'u32' ? `~${a} + ${c.type}(1u)` : `-${a}`),
  abs: builtin('abs'),
  floor: builtin('floor'),
  sqrt: builtin('sqrt'),
  exp: (c, a) => `${helper(c, 'exp_nan')}(${a})`,
  log: (c, a) => `${helper(c, 'log_nan')}(${a})`,
  sin: (c, a) => `${helper(c, 'sine')}(${a}, 0)`,
  cos: (c, a) => `${helper(c, 'sine')}(${a}, 1)`,
  tanh: (c, a) => `${helper(c, 'tanh_nan')}(${a})`,
  erf: (c, a) => `${helper(c, 'erf')}(${a})`,
  not: (c, a) => (c.from === 'bool' ? `!${a}` : `~${a}`),
  cast,
  bitcast: (c, a) => `bitcast<${typeName(c.to, c.lanes)}>(${a})`,
  add: infix('+'),
  subtract: infix('-'),
  multiply: infix('*'),
  divide: (c, a, b) =>
    c.from === 'f32' ? `${a} / ${b}` : `select(${a} / ${b}, ${c.type}(0), ${b} == ${c.type}(0))`,
  remainder: infix('%'),
  max: extreme('max'),
  min: extreme('min'),
  less: compare('<', (a, b) => `!${a} & ${b}`),
  lessEqual: compare('<=', (a, b) => `!${a} | ${b}`),
  equal: infix('=='),
  and: infix('&'),
  or: infix('|'),
  xor: (c, a, b) => (c.from === 'bool' ? `${a} != ${b}` : `${a} ^ ${b}`),
  shiftLeft: (c, a, b) => `${a} << ${shiftBy(c, b)}`,
  shiftRight: (c, a, b) => `${a} >> ${shiftBy(c, b)}`,
  select: (_, condition, a, b) => `select(${b}, ${a}, ${condition})`,
};

/**
 * One scalar operation as an expression.
 *
 * @param from - dtype of the value arguments
 * @param to - dtype of the result
 * @param args - names of values, all with `lanes` lanes
 */
export function scalarCode(
  shader: Shader,
  op: ScalarOp,
  from: DType,
  to: DType,
  lanes: Lanes,
  args: readonly string[],
): string {
  const [a = '', b = '', third = ''] = args;
  return codes[op]({ shader, from, to, lanes, type: typeName(from, lanes) }, a, b, third);
}

/** `a` folded with `b` by a reduction. */
export function foldCode(
  shader: Shader,
  op: 'sum' | 'product' | 'max' | 'min',
  dtype: DType,
  lanes: Lanes,
  a: string,
  b: string,
): string {
  if (dtypes[dtype].kind === 'bool') return op === 'max' || op === 'sum' ? `${a} | ${b}` : `${a} & ${b}`;
  const scalar = { sum: 'add', product: 'multiply', max: 'max', min: 'min' } as const;
  return scalarCode(shader, scalar[op], dtype, dtype, lanes, [a, b]);
}

/** What a fold starts from. */
export function startCode(shader: Shader, op: 'sum' | 'product' | 'max' | 'min', dtype: DType): string {
  const starts = { sum: 0, product: 1, max: dtypes[dtype].lowest, min: dtypes[dtype].highest };
  return constantCode(shader, dtype, starts[op]);
}
