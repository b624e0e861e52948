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

/** `exp(x) = 2ⁿ · y`: leaves `y`, from √½ to √2, in `x`, and n in the low bits of the local that it gives. */
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
    x.set(op('f32x4.add', madd(target, x.get, op('f32x4.mul', r.get, r.get), r.get), f32x4(1))),
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
    x.set(op('f32x4.mul', x.get, powerOfTwo(half.get))),
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
    op('v128.andnot', op('f32x4.mul', x.get, powerOfTwo(n.get)), low.get),
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

/** `tanh(x)`: odd polynomial below 0.625, `1 − 2 / (exp(2|x|) + 1)` beyond. Error within 2 ulp. */
export function tanh(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const square = f.local('v128');
  const large = f.local('v128');
  const small = f.local('v128');
  return [
    x.set(value),
    large.set(op('f32x4.abs', x.get)),
    large.set(op('f32x4.pmin', op('f32x4.add', large.get, large.get), f32x4(40))),
    large.set(op('f32x4.add', expBelow88(f, target, large.get), f32x4(1))),
    large.set(op('f32x4.sub', f32x4(1), op('f32x4.div', f32x4(2), large.get))),
    square.set(op('f32x4.mul', x.get, x.get)),
    small.set(
      polynomial(
        target,
        square,
        [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1],
      ),
    ),
    small.set(madd(target, op('f32x4.mul', small.get, square.get), x.get, x.get)),
    small.set(
      op('v128.bitselect', small.get, large.get, op('f32x4.lt', op('f32x4.abs', x.get), f32x4(0.625))),
    ),
    op('v128.or', small.get, op('v128.and', x.get, signBit)),
  ];
}

/** `erf(x)`: odd polynomial near zero, `1 − exp(polynomial)` beyond. Absolute error below 2e-7. */
export function erf(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const t = f.local('v128');
  const square = f.local('v128');
  const large = f.local('v128');
  const small = f.local('v128');
  return [
    x.set(value),
    t.set(op('f32x4.abs', x.get)),
    square.set(op('f32x4.mul', x.get, x.get)),
    large.set(
      polynomial(
        target,
        t,
        [
          -1.7285347e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1,
          -1.28717512e-1,
        ],
      ),
    ),
    large.set(op('f32x4.sub', op('f32x4.mul', large.get, t.get), t.get)),
    large.set(op('f32x4.sub', f32x4(1), expBelow88(f, target, large.get))),
    small.set(
      polynomial(
        target,
        square,
        [-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1],
      ),
    ),
    small.set(madd(target, small.get, x.get, x.get)),
    small.set(op('v128.bitselect', large.get, small.get, op('f32x4.gt', t.get, f32x4(0.921875)))),
    op('v128.or', small.get, op('v128.and', x.get, signBit)),
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
