/**
 * Transcendental functions on four f32 lanes, as inline code: argument reduction and polynomials, f32 accuracy,
 * NaN, infinities, zeros and subnormals as IEEE 754 has them. `sin` and `cos` ask JavaScript lane by lane.
 */
import { type Code, call, extract, f32x4, i32, i32x4, op, replace } from './code';
import { type FunctionBuilder, imported, type Local } from './module';

/** What the machine's WebAssembly can do. */
export interface Target {
  /** Fused multiply-add of the relaxed SIMD instructions. */
  readonly relaxed: boolean;
}

/** `a · b + c`: fused where the target can. */
export const madd = (target: Target, a: Code, b: Code, c: Code): Code =>
  target.relaxed ? op('f32x4.relaxed_madd', a, b, c) : op('f32x4.add', op('f32x4.mul', a, b), c);

/** Horner's rule; coefficients from the highest power. */
const polynomial = (target: Target, x: Local, coefficients: readonly number[]): Code =>
  coefficients
    .slice(1)
    .reduce<Code>((sum, c) => madd(target, sum, x.get, f32x4(c)), f32x4(coefficients[0] as number));

const signBit = i32x4(-(2 ** 31));

/** Adding and taking away 1.5 · 2²³ rounds to an integer, which then stands in the low bits. */
const rounder = 12582912;

/** `exp(x) = 2ⁿ · (1 + q)`: leaves `q`, small, in `x`, and n in the low bits of the local that it gives. */
function reduceExp(f: FunctionBuilder, target: Target, x: Local): { n: Local; code: Code } {
  const n = f.local('v128');
  const r = f.local('v128');
  const code = [
    n.set(madd(target, x.get, f32x4(Math.LOG2E), f32x4(rounder))),
    r.set(op('f32x4.sub', n.get, f32x4(rounder))),
    x.set(madd(target, r.get, f32x4(-0.693359375), x.get)),
    r.set(madd(target, r.get, f32x4(2.1219444e-4), x.get)),
    x.set(
      polynomial(
        target,
        r,
        [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5],
      ),
    ),
    x.set(madd(target, x.get, op('f32x4.mul', r.get, r.get), r.get)),
  ];
  return { n, code };
}

/** `2ᵉ` as f32; only the low 9 bits of `e + 127` count. */
const powerOfTwo = (exponent: Code): Code => op('i32x4.shl', op('i32x4.add', exponent, i32x4(127)), i32(23));

/** `exp(x)`, the power of two applied in two halves so that results may be subnormal. Error within 2 ulp. */
export function exp(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const low = f.local('v128');
  const half = f.local('v128');
  const { n, code } = reduceExp(f, target, x);
  return [
    x.set(op('f32x4.pmin', value, f32x4(89))),
    // Below, the result is 0: computed from 0 instead, since underflow is slow.
    low.set(op('f32x4.lt', x.get, f32x4(-104))),
    x.set(op('v128.andnot', x.get, low.get)),
    code,
    n.set(op('i32x4.sub', n.get, f32x4(rounder))),
    half.set(op('i32x4.shr_s', n.get, i32(1))),
    x.set(op('f32x4.mul', op('f32x4.add', x.get, f32x4(1)), powerOfTwo(half.get))),
    op('v128.andnot', op('f32x4.mul', x.get, powerOfTwo(op('i32x4.sub', n.get, half.get))), low.get),
  ];
}

/** `exp(x)` for `x` up to 88 where nobody misses subnormal results: below −87 it is 0. Half the work of `exp`. */
export function expBelow88(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const low = f.local('v128');
  const { n, code } = reduceExp(f, target, x);
  return [
    x.set(value),
    low.set(op('f32x4.lt', x.get, f32x4(-87))),
    x.set(op('v128.andnot', x.get, low.get)),
    code,
    op('v128.andnot', op('f32x4.mul', op('f32x4.add', x.get, f32x4(1)), powerOfTwo(n.get)), low.get),
  ];
}

/**
 * `2ᵗ` of `t` up to 127 with an error of 3·2⁻²⁴ of its size; 0 below −127. For weights of a softmax, whose exponents are
 * scaled by `log2 e` on the way: a little more than half the work of `exp`.
 */
export function exp2Below127(f: FunctionBuilder, target: Target, value: Code): Code {
  const t = f.local('v128');
  const n = f.local('v128');
  // With the exponent's bias in the rounder, the low bits are those of a power of two at once, those of zero for −127.
  const biased = rounder + 127;
  return [
    t.set(op('f32x4.pmax', value, f32x4(-127))),
    n.set(op('f32x4.add', t.get, f32x4(biased))),
    t.set(op('f32x4.sub', t.get, op('f32x4.sub', n.get, f32x4(biased)))),
    op(
      'f32x4.mul',
      polynomial(
        target,
        t,
        [
          0.0013269555056467652, 0.009671293199062347, 0.0555071085691452, 0.24022246897220612,
          0.6931470036506653, 1,
        ],
      ),
      op('i32x4.shl', n.get, i32(23)),
    ),
  ];
}

/** `exp(x) − 1` for `x` from −87 to 88, accurate near zero as well: `(2ⁿ − 1) + 2ⁿ · q`. */
function expMinus1(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const power = f.local('v128');
  const { n, code } = reduceExp(f, target, x);
  return [
    x.set(value),
    code,
    power.set(powerOfTwo(n.get)),
    madd(target, power.get, x.get, op('f32x4.sub', power.get, f32x4(1))),
  ];
}

/** `log(x)`: exponent and mantissa in [√½, √2), polynomial in `mantissa − 1`. Error within 2 ulp. */
export function log(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const scaled = f.local('v128');
  const exponent = f.local('v128');
  const z = f.local('v128');
  const square = f.local('v128');
  const rest = f.local('v128');
  const rootHalf = 0x3f3504f3;
  const subnormal = op('f32x4.lt', x.get, f32x4(2 ** -126));
  return [
    x.set(value),
    scaled.set(op('v128.bitselect', op('f32x4.mul', x.get, f32x4(2 ** 23)), x.get, subnormal)),
    z.set(op('i32x4.sub', scaled.get, i32x4(rootHalf))),
    exponent.set(
      op(
        'f32x4.sub',
        op('f32x4.convert_i32x4_s', op('i32x4.shr_s', z.get, i32(23))),
        op('v128.and', f32x4(23), subnormal),
      ),
    ),
    z.set(op('i32x4.add', op('v128.and', z.get, i32x4(0x7fffff)), i32x4(rootHalf))),
    z.set(op('f32x4.sub', z.get, f32x4(1))),
    square.set(op('f32x4.mul', z.get, z.get)),
    rest.set(
      polynomial(
        target,
        z,
        [
          7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1,
          -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
        ],
      ),
    ),
    rest.set(op('f32x4.mul', rest.get, op('f32x4.mul', z.get, square.get))),
    rest.set(madd(target, exponent.get, f32x4(-2.1219444e-4), rest.get)),
    rest.set(madd(target, square.get, f32x4(-0.5), rest.get)),
    rest.set(madd(target, exponent.get, f32x4(0.693359375), op('f32x4.add', z.get, rest.get))),
    // Infinity and NaN stay themselves, zero gives −∞, what is below gives NaN.
    rest.set(
      op('v128.bitselect', rest.get, op('f32x4.add', x.get, x.get), op('f32x4.lt', x.get, f32x4(Infinity))),
    ),
    rest.set(op('v128.bitselect', f32x4(-Infinity), rest.get, op('f32x4.eq', x.get, f32x4(0)))),
    op('v128.or', rest.get, op('f32x4.lt', x.get, f32x4(0))),
  ];
}

/** The sign of one vector on another whose own is plus. */
const withSign = (magnitude: Code, sign: Code): Code =>
  op('v128.or', magnitude, op('v128.and', sign, signBit));

/** `tanh(|x|) = e / (e + 2)` with `e = exp(2|x|) − 1`. Error within 2.1 ulp. */
export function tanh(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const e = f.local('v128');
  const size = op('f32x4.abs', x.get);
  return [
    x.set(value),
    // From 10 on the result is 1.
    e.set(expMinus1(f, target, op('f32x4.pmin', op('f32x4.add', size, size), f32x4(20)))),
    withSign(op('f32x4.div', e.get, op('f32x4.add', e.get, f32x4(2))), x.get),
  ];
}

/**
 * `erf(|x|) = 1 − exp(−t · p(t))`, `t = min(|x|, 4)`: `p` is a polynomial fitted to `−ln(erfc(t)) / t` so that the
 * largest error of erf is least, relative near zero. Absolute error below 2e-7.
 */
export function erf(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const t = f.local('v128');
  const negative = [
    -3.97144249e-5, 3.73478309e-4, -1.22967584e-3, -2.37613698e-4, 1.93455648e-2, -0.10282325, -0.6366151,
    -1.12837923,
  ];
  const exponent = op('f32x4.mul', t.get, polynomial(target, t, negative));
  return [
    x.set(value),
    t.set(op('f32x4.pmin', op('f32x4.abs', x.get), f32x4(4))),
    withSign(op('f32x4.abs', expMinus1(f, target, exponent)), x.get),
  ];
}

/** `sin` or `cos`, computed in float64 by JavaScript for the first `lanes` lanes. */
export function trigonometric(f: FunctionBuilder, name: 'sin' | 'cos', value: Code, lanes: number): Code {
  const x = f.local('v128');
  const one = (lane: number): Code =>
    op('f32.demote_f64', call(imported[name], op('f64.promote_f32', extract('f32', x.get, lane))));
  let result: Code = x.get;
  for (let lane = 0; lane < lanes; lane++) result = replace('f32', result, lane, one(lane));
  return [x.set(value), result];
}
