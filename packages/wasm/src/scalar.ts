/**
 * The scalar operations of kernel programs on four lanes. Truth values are lane masks (all bits or none) in registers
 * and 0 or 1 in memory.
 */
import { type DType, type Instruction, type ScalarOp, toF16Bits } from '@clipin/kernel';
import { type Code, extract, f32x4, i32, i32x4, ifElse, type Opcode, op, replace } from './code';
import { narrowToHalves, widenHalves } from './half';
import { erf, exp, log, type Target, tanh, trigonometric } from './math';
import type { FunctionBuilder } from './module';

type Binary = Partial<Record<ScalarOp, Opcode>>;

const float: Binary = {
  add: 'f32x4.add',
  subtract: 'f32x4.sub',
  multiply: 'f32x4.mul',
  divide: 'f32x4.div',
  max: 'f32x4.max',
  min: 'f32x4.min',
  less: 'f32x4.lt',
  lessEqual: 'f32x4.le',
  equal: 'f32x4.eq',
  negate: 'f32x4.neg',
  abs: 'f32x4.abs',
  floor: 'f32x4.floor',
  sqrt: 'f32x4.sqrt',
};

const integer: Binary = {
  add: 'i32x4.add',
  subtract: 'i32x4.sub',
  multiply: 'i32x4.mul',
  equal: 'i32x4.eq',
  and: 'v128.and',
  or: 'v128.or',
  xor: 'v128.xor',
  not: 'v128.not',
  negate: 'i32x4.neg',
};

/** Operations that one instruction does. The lanes of a true mask read −1 as a signed number. */
const direct: Record<DType, Binary> = {
  f32: float,
  // Nothing computes with halves.
  f16: {},
  i32: {
    ...integer,
    max: 'i32x4.max_s',
    min: 'i32x4.min_s',
    less: 'i32x4.lt_s',
    lessEqual: 'i32x4.le_s',
    abs: 'i32x4.abs',
  },
  u32: {
    ...integer,
    max: 'i32x4.max_u',
    min: 'i32x4.min_u',
    less: 'i32x4.lt_u',
    lessEqual: 'i32x4.le_u',
  },
  bool: {
    equal: 'i32x4.eq',
    and: 'v128.and',
    or: 'v128.or',
    xor: 'v128.xor',
    not: 'v128.not',
    max: 'v128.or',
    min: 'v128.and',
    less: 'i32x4.gt_s',
  },
};

/** Two values folded or combined by an operation that one instruction does. */
export function combine(name: ScalarOp, dtype: DType, a: Code, b: Code): Code {
  const opcode = direct[dtype][name];
  if (!opcode) throw new TypeError(`wasm: ${name} is not defined for ${dtype}`);
  return op(opcode, a, b);
}

/** A constant in all lanes. */
export function constant(dtype: DType, value: number): Code {
  if (dtype === 'f32') return f32x4(value);
  if (dtype === 'f16') return i32x4(toF16Bits(value));
  return dtype === 'bool' ? i32x4(value === 0 ? 0 : -1) : i32x4(value);
}

/** Applies a scalar computation of integers to the first `lanes` lanes. */
function laneByLane(
  f: FunctionBuilder,
  args: readonly Code[],
  lanes: number,
  compute: (args: readonly Code[], result: { set(value: Code): Code }) => Code,
): Code {
  const vectors = args.map(() => f.local('v128'));
  const scalar = f.local('i32');
  const code: Code[] = vectors.map((vector, number) => vector.set(args[number] as Code));
  const result = f.local('v128');
  code.push(result.set(i32x4(0)));
  for (let lane = 0; lane < lanes; lane++) {
    const scalars = vectors.map((vector) => extract('i32', vector.get, lane));
    code.push(compute(scalars, scalar), result.set(replace('i32', result.get, lane, scalar.get)));
  }
  return [...code, result.get];
}

function divide(
  f: FunctionBuilder,
  name: 'divide' | 'remainder',
  dtype: DType,
  args: readonly Code[],
  lanes: number,
): Code {
  const sign = dtype === 'i32' ? 's' : 'u';
  const opcode: Opcode = name === 'divide' ? `i32.div_${sign}` : `i32.rem_${sign}`;
  return laneByLane(f, args, lanes, ([a = [], b = []], result) => {
    const plain = result.set(op(opcode, a, b));
    // The lowest i32 divided by −1 would trap; wrapped, it is its own negative.
    const whole =
      dtype === 'i32' && name === 'divide'
        ? ifElse(op('i32.eq', b, i32(-1)), result.set(op('i32.sub', i32(0), a)), plain)
        : plain;
    return ifElse(b, whole, result.set(i32(0)));
  });
}

function shift(
  f: FunctionBuilder,
  name: 'shiftLeft' | 'shiftRight',
  dtype: DType,
  args: readonly Code[],
  lanes: number,
  by?: number,
): Code {
  const kind = name === 'shiftLeft' ? 'shl' : dtype === 'i32' ? 'shr_s' : 'shr_u';
  if (by !== undefined) return op(`i32x4.${kind}`, args[0] as Code, i32(by & 31));
  return laneByLane(f, args, lanes, ([a = [], b = []], result) => result.set(op(`i32.${kind}`, a, b)));
}

/** A conversion of all lanes between dtypes. */
function cast(f: FunctionBuilder, value: Code, from: DType, to: DType): Code {
  if (from === to) return value;
  if (from === 'f16') return cast(f, widenHalves(f, value), 'f32', to);
  if (to === 'f16') return narrowToHalves(f, cast(f, value, from, 'f32'));
  if (from === 'bool') return op('v128.and', value, constant(to, 1));
  if (to === 'bool') return op(from === 'f32' ? 'f32x4.ne' : 'i32x4.ne', value, i32x4(0));
  if (to === 'f32') return op(from === 'i32' ? 'f32x4.convert_i32x4_s' : 'f32x4.convert_i32x4_u', value);
  if (from === 'f32') return op(to === 'i32' ? 'i32x4.trunc_sat_f32x4_s' : 'i32x4.trunc_sat_f32x4_u', value);
  return value;
}

type Operation = Extract<Instruction, { args: readonly number[] }>;

/**
 * One scalar operation.
 *
 * @param step - the instruction
 * @param program - its program, for the dtypes of the arguments and constant shifts
 * @param args - code that gives each argument, free of side effects
 * @param lanes - how many lanes matter, from the first
 */
export function scalarOperation(
  f: FunctionBuilder,
  target: Target,
  step: Operation,
  program: readonly Instruction[],
  args: readonly Code[],
  lanes: number,
): Code {
  const [a = [], b = [], c = []] = args;
  const last = program[step.args[step.args.length - 1] as number] as Instruction;
  const from = last.dtype;
  switch (step.op) {
    case 'exp':
      return exp(f, target, a);
    case 'log':
      return log(f, target, a);
    case 'tanh':
      return tanh(f, target, a);
    case 'erf':
      return erf(f, target, a);
    case 'sin':
    case 'cos':
      return trigonometric(f, target, step.op, a, lanes);
    case 'cast':
      return cast(f, a, from, step.dtype);
    case 'bitcast':
      return a;
    case 'select':
      return op('v128.bitselect', b, c, a);
    case 'shiftLeft':
    case 'shiftRight':
      return shift(f, step.op, from, args, lanes, last.op === 'constant' ? last.value : undefined);
    case 'remainder':
      return divide(f, step.op, from, args, lanes);
    case 'divide':
      if (from !== 'f32') return divide(f, step.op, from, args, lanes);
      break;
    case 'lessEqual':
      if (from === 'bool') return op('v128.or', op('v128.not', a), b);
      break;
    case 'abs':
      if (from === 'u32') return a;
      break;
  }
  return combine(step.op, from, a, b);
}

/** Roughly how long an operation takes, in additions. */
export function operationCost(step: Instruction): number {
  switch (step.op) {
    case 'exp':
    case 'log':
      return 15;
    case 'tanh':
    case 'erf':
    case 'sin':
    case 'cos':
      return 30;
    case 'cast':
      return step.dtype === 'f16' ? 12 : 1;
    case 'divide':
    case 'remainder':
    case 'sqrt':
      return step.dtype === 'f32' ? 4 : 20;
    default:
      return 1;
  }
}
