/**
 * The scalar operations that every device computes, as a table: how many arguments, what they may be, what comes out.
 * Their meaning in exact terms is `evaluateScalar` in `interpreter.ts`.
 */
import { type DType, dtypes } from './dtype';

interface ScalarFacts {
  readonly arity: 1 | 2 | 3;
  /** Which kinds of dtype the (value) arguments may have. */
  readonly kinds: readonly ('float' | 'int' | 'bool')[];
  /** `same`: the dtype of the arguments; `bool`: a truth value; `target`: named by the instruction. */
  readonly result: 'same' | 'bool' | 'target';
}

const float = { kinds: ['float'], result: 'same' } as const;
const number = { kinds: ['float', 'int'], result: 'same' } as const;
const bits = { kinds: ['int', 'bool'], result: 'same' } as const;
const compare = { kinds: ['float', 'int', 'bool'], result: 'bool' } as const;

/**
 * Every scalar operation.
 *
 * - Integers wrap; an integer divided by zero, and its remainder, are 0. Division truncates.
 * - `shiftLeft` and `shiftRight` take the shift modulo 32; `shiftRight` keeps the sign of i32.
 * - `max` and `min` give NaN if an argument is NaN.
 * - `and`, `or`, `xor`, `not` work on the bits of integers and on truth values.
 * - `cast` from float to integer truncates and saturates, NaN gives 0; to bool it asks for "not zero";
 *   between i32 and u32 it keeps the bits. `bitcast` keeps the 32 bits between f32, i32 and u32.
 * - `cast` to f16 rounds to nearest, ties to even; beyond the largest half it gives infinity. Nothing else
 *   makes an f16, and nothing but `cast` and `select` takes one: what computes casts to f32 first, exact and free.
 * - `select(condition, a, b)` is `a` where the bool condition is true, else `b`.
 */
export const scalarOps = {
  negate: { arity: 1, ...number },
  abs: { arity: 1, ...number },
  floor: { arity: 1, ...float },
  sqrt: { arity: 1, ...float },
  exp: { arity: 1, ...float },
  log: { arity: 1, ...float },
  sin: { arity: 1, ...float },
  cos: { arity: 1, ...float },
  tanh: { arity: 1, ...float },
  erf: { arity: 1, ...float },
  not: { arity: 1, ...bits },
  cast: { arity: 1, kinds: ['float', 'int', 'bool'], result: 'target' },
  bitcast: { arity: 1, kinds: ['float', 'int'], result: 'target' },
  add: { arity: 2, ...number },
  subtract: { arity: 2, ...number },
  multiply: { arity: 2, ...number },
  divide: { arity: 2, ...number },
  remainder: { arity: 2, kinds: ['int'], result: 'same' },
  max: { arity: 2, ...number },
  min: { arity: 2, ...number },
  less: { arity: 2, ...compare },
  lessEqual: { arity: 2, ...compare },
  equal: { arity: 2, ...compare },
  and: { arity: 2, ...bits },
  or: { arity: 2, ...bits },
  xor: { arity: 2, ...bits },
  shiftLeft: { arity: 2, kinds: ['int'], result: 'same' },
  shiftRight: { arity: 2, kinds: ['int'], result: 'same' },
  select: { arity: 3, kinds: ['float', 'int', 'bool'], result: 'same' },
} as const satisfies Record<string, ScalarFacts>;

/** The name of a scalar operation. */
export type ScalarOp = keyof typeof scalarOps;

/**
 * The dtype that `op` gives for arguments of these dtypes (`target` for `cast` and `bitcast`).
 *
 * @throws TypeError naming the operation, the dtypes that came and those that fit.
 */
export function scalarResult(op: ScalarOp, args: readonly DType[], target?: DType): DType {
  const facts: ScalarFacts = scalarOps[op];
  const values = op === 'select' ? args.slice(1) : args;
  const first = values[0];
  const fits =
    first !== undefined &&
    args.length === facts.arity &&
    values.every((dtype) => dtype === first) &&
    facts.kinds.includes(dtypes[first].kind) &&
    (op !== 'select' || args[0] === 'bool') &&
    (op !== 'bitcast' || (target !== 'bool' && target !== 'f16')) &&
    (op === 'cast' || op === 'select' || first !== 'f16');
  if (!fits) {
    const [condition, count] = op === 'select' ? ['a bool and ', 2] : ['', facts.arity];
    const wanted = `${condition}${count} of one dtype of kind ${facts.kinds.join(' or ')}${first === 'f16' ? ', but not f16' : ''}`;
    const [came, fitting] = op === 'bitcast' ? [` to ${target}`, ' to f32, i32 or u32'] : ['', ''];
    throw new TypeError(
      `${op}: got (${args.join(', ')})${came}, wants ${wanted}${fitting}; convert with cast`,
    );
  }
  if (facts.result === 'bool') return 'bool';
  return facts.result === 'target' ? (target ?? first) : first;
}
