/**
 * Transcendental functions on four f32 lanes, as inline code: argument reduction and polynomials, f32 accuracy,
 * NaN, infinities, zeros and subnormals as IEEE 754 has them.
 */
import { type Code, call, extract, f32x4, i32, i32x4, ifElse, op, replace } from './code';
import { type FunctionBuilder, imported, type Local } from './module';

/** What the machine's WebAssembly can do. */
export interface Target {
  /** Fused multiply-add of the relaxed SIMD instructions. */
  readonly relaxed: boolean;
  /** Where there is a BLAS for matrix products: the blocks into which it wants them cut. */
  readonly blasBlocks?: number;
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

/**
 * `tanh(|x|) = e / (e + 2)` with `e = exp(2|x|) − 1`; below 0.4, `|x| + |x|³ · p(x²)`, which is more exact. Error within 2 ulp.
 */
export function tanh(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const size = f.local('v128');
  const e = f.local('v128');
  const square = f.local('v128');
  const small = f.local('v128');
  return [
    x.set(value),
    size.set(op('f32x4.abs', x.get)),
    // From 10 on the result is 1.
    e.set(expMinus1(f, target, op('f32x4.pmin', op('f32x4.add', size.get, size.get), f32x4(20)))),
    e.set(op('f32x4.div', e.get, op('f32x4.add', e.get, f32x4(2)))),
    square.set(op('f32x4.mul', size.get, size.get)),
    small.set(
      polynomial(
        target,
        square,
        [0.018736494705080986, -0.053560178726911545, 0.13331203162670135, -0.33333298563957214],
      ),
    ),
    small.set(madd(target, op('f32x4.mul', size.get, square.get), small.get, size.get)),
    withSign(op('v128.bitselect', small.get, e.get, op('f32x4.lt', size.get, f32x4(0.4))), x.get),
  ];
}

/**
 * `erf(|x|) = 1 − 2^(−t · p(t))`, `t = min(|x|, 4)`: `p` is a polynomial fitted to `−log₂(erfc(t)) / t`. Below 0.5,
 * `|x| + |x| · q(x²)`. Error within 2 ulp.
 */
export function erf(f: FunctionBuilder, target: Target, value: Code): Code {
  const x = f.local('v128');
  const t = f.local('v128');
  const n = f.local('v128');
  const r = f.local('v128');
  const small = f.local('v128');
  const biased = f32x4(rounder + 127);
  return [
    x.set(value),
    t.set(op('f32x4.pmin', op('f32x4.abs', x.get), f32x4(4))),
    r.set(
      polynomial(
        target,
        t,
        [
          -5.7295805163448676e-5, 5.388152785599232e-4, -1.7740472685545683e-3, -3.4280409454368055e-4,
          0.02790975011885166, -0.14834259450435638, -0.9184414744377136, -1.627907156944275,
        ],
      ),
    ),
    r.set(op('f32x4.mul', t.get, r.get)),
    n.set(op('f32x4.add', r.get, biased)),
    r.set(op('f32x4.sub', r.get, op('f32x4.sub', n.get, biased))),
    r.set(
      polynomial(
        target,
        r,
        [
          1.5326464199461043e-4, 1.3390806270763278e-3, 9.618505835533142e-3, 0.05550359934568405,
          0.24022647738456726, 0.6931471824645996, 1,
        ],
      ),
    ),
    r.set(op('f32x4.sub', f32x4(1), op('f32x4.mul', r.get, op('i32x4.shl', n.get, i32(23))))),
    n.set(op('f32x4.mul', t.get, t.get)),
    small.set(
      polynomial(
        target,
        n,
        [
          0.004719160031527281, -0.026758259162306786, 0.11282850801944733, -0.37612611055374146,
          0.12837916612625122,
        ],
      ),
    ),
    small.set(madd(target, t.get, small.get, t.get)),
    withSign(op('v128.bitselect', small.get, r.get, op('f32x4.lt', t.get, f32x4(0.5))), x.get),
  ];
}

/** Angles up to this size are reduced here; the few that are larger are left to JavaScript. */
const largestAngle = 6000;

/**
 * `sin` or `cos` of the first `lanes` lanes, within 2 ulp up to `largestAngle` and but for results near zero, where it is
 * 4e-11. With n = round(|x| · 2/π), what is left of the angle is found without rounding: n times the first two parts of π/2, of 12
 * bits each, is exact. Larger angles are computed in float64 by JavaScript, lane by lane.
 */
export function trigonometric(
  f: FunctionBuilder,
  target: Target,
  name: 'sin' | 'cos',
  value: Code,
  lanes: number,
): Code {
  const x = f.local('v128');
  const n = f.local('v128');
  const r = f.local('v128');
  const square = f.local('v128');
  const sine = f.local('v128');
  const result = f.local('v128');
  const large = op('f32x4.gt', op('f32x4.abs', x.get), f32x4(largestAngle));
  const one = (lane: number): Code =>
    op('f32.demote_f64', call(imported[name], op('f64.promote_f32', extract('f32', x.get, lane))));
  const exact = Array.from({ length: lanes }, (_, lane) => lane).reduce<Code>(
    (vector, lane) => replace('f32', vector, lane, one(lane)),
    x.get,
  );
  // The sine of odd quadrants is a cosine; that of the third and fourth has the other sign.
  const signOfQuadrant = op('i32x4.shl', op('v128.and', n.get, i32x4(2)), i32(30));
  return [
    x.set(value),
    r.set(op('f32x4.abs', x.get)),
    n.set(madd(target, r.get, f32x4(2 / Math.PI), f32x4(rounder))),
    square.set(op('f32x4.sub', n.get, f32x4(rounder))),
    [-1.5703125, -0.0004837512969970703, -7.549789415861596e-8].map((part) =>
      r.set(madd(target, square.get, f32x4(part), r.get)),
    ),
    name === 'cos' ? n.set(op('i32x4.add', n.get, i32x4(1))) : [],
    square.set(op('f32x4.mul', r.get, r.get)),
    sine.set(
      polynomial(target, square, [-1.9518598855938762e-4, 8.332191035151482e-3, -0.16666655242443085]),
    ),
    sine.set(madd(target, op('f32x4.mul', r.get, square.get), sine.get, r.get)),
    result.set(
      polynomial(target, square, [2.443066841806285e-5, -1.38873013202101e-3, 0.04166664555668831, -0.5, 1]),
    ),
    result.set(
      op(
        'v128.xor',
        op(
          'v128.bitselect',
          result.get,
          sine.get,
          op('i32x4.shr_s', op('i32x4.shl', n.get, i32(31)), i32(31)),
        ),
        name === 'sin' ? op('v128.xor', signOfQuadrant, op('v128.and', x.get, signBit)) : signOfQuadrant,
      ),
    ),
    ifElse(op('v128.any_true', large), result.set(op('v128.bitselect', exact, result.get, large))),
    result.get,
  ];
}
