/**
 * What a random kernel's values can be, and how far an f32 device may be from the float64 reference.
 *
 * Every instruction gets an interval of its values and a bound on the device's error, carried through the program by
 * the usual forward error analysis. That makes tolerances follow from the kernel instead of being chosen:
 *
 * - an f32 operation rounds once: at most `u = 2⁻²⁴` of the largest value it can give;
 * - values on a grid (multiples of `step`, at most 2²⁴ of them) are sums and products without rounding, so results
 *   must be equal to the bit, in whatever order a device adds;
 * - a sum of n values, in any order, is off by at most `n · u · Σ|value|`;
 * - operations with jumps (floor, comparisons, casts to integers and to f16) are only given values without error.
 *
 * What cannot be bounded well, an operation outside its domain say, has no estimate and is not generated.
 */
import { type DType, dtypes, type ReduceOp, roundToF16, type ScalarOp } from '@clipin/kernel';

/** Rounding unit of f32: half the distance from 1 to the next value. */
export const u = 2 ** -24;

/** Bounds of a value of the reference, and of its distance from a device's value. */
export interface Estimate {
  readonly low: number;
  readonly high: number;
  readonly error: number;
  /** All values are multiples of this power of two; 0 where no such step is known. */
  readonly step: number;
}

const magnitude = ({ low, high, error }: Estimate): number => Math.max(Math.abs(low), Math.abs(high)) + error;

/** All values of an integer or bool dtype. */
export const anyInteger = (dtype: DType): Estimate => ({
  low: dtypes[dtype].lowest,
  high: dtypes[dtype].highest,
  error: 0,
  step: 1,
});

/**
 * How far a device's f32 function may be from the true value, for arguments up to `x` and results up to `y` in size.
 * A few rounding units of the result; of 1 where the function's use (gelu, rotations) needs no relative accuracy near
 * its zeros. `exp` and the periodic functions inherit the rounding of their reduced argument, in proportion to `x`.
 */
export const functionError = {
  sqrt: (_x: number, y: number) => 4 * u * y,
  exp: (x: number, y: number) => (8 + 2 * x) * u * y,
  log: (_x: number, y: number) => 8 * u * Math.max(1, y),
  sin: (x: number) => 8 * u * Math.max(1, x),
  cos: (x: number) => 8 * u * Math.max(1, x),
  tanh: () => 8 * u,
  erf: () => 8 * u,
} as const;

const isFunction = (op: ScalarOp): op is keyof typeof functionError => op in functionError;

/** Arguments beyond these make results too large, or are not promised (angles of many turns). */
const domains: Record<keyof typeof functionError, readonly [number, number]> = {
  sqrt: [0, 2 ** 60],
  exp: [-60, 10],
  log: [2 ** -10, 2 ** 60],
  sin: [-1000, 1000],
  cos: [-1000, 1000],
  tanh: [-(2 ** 60), 2 ** 60],
  erf: [-(2 ** 60), 2 ** 60],
};

function estimateFunction(op: keyof typeof functionError, x: Estimate): Estimate | undefined {
  const [least, most] = domains[op];
  const low = x.low - x.error;
  if (low < least || x.high + x.error > most || (op === 'sqrt' && x.error > 0 && low < 2 ** -10))
    return undefined;
  const grows = op === 'sqrt' || op === 'exp' || op === 'log';
  const range = grows ? { low: Math[op](x.low), high: Math[op](x.high) } : { low: -1, high: 1 };
  const y = Math.max(Math.abs(range.low), Math.abs(range.high));
  const slopes = { sqrt: 1 / Math.sqrt(low), exp: Math.exp(x.high + x.error), log: 1 / low, erf: 1.2 };
  const slope = x.error === 0 ? 0 : op in slopes ? slopes[op as keyof typeof slopes] : 1;
  return { ...range, error: slope * x.error + functionError[op](magnitude(x), y), step: 0 };
}

/** Rounds a result to f32: free on a grid of at most 2²⁴ steps, else `units` rounding units. */
function rounded(low: number, high: number, error: number, step: number, units = 1): Estimate {
  const size = Math.max(Math.abs(low), Math.abs(high));
  if (error === 0 && step > 0 && size / step <= 2 ** 24) return { low, high, error, step };
  return { low, high, error: error + units * u * (size + error), step: 0 };
}

const hull = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];
const both = (a: Estimate, b: Estimate): number => Math.min(a.step, b.step);

function estimateFloat(op: ScalarOp, a: Estimate, b: Estimate): Estimate | undefined {
  switch (op) {
    case 'negate':
      return { ...a, low: -a.high, high: -a.low };
    case 'abs': {
      const [low, high] = hull([Math.abs(a.low), Math.abs(a.high)]);
      return { ...a, low: a.low <= 0 && a.high >= 0 ? 0 : low, high };
    }
    case 'floor':
      return a.error > 0
        ? undefined
        : { low: Math.floor(a.low), high: Math.floor(a.high), error: 0, step: Math.max(1, a.step) };
    case 'add':
      return rounded(a.low + b.low, a.high + b.high, a.error + b.error, both(a, b));
    case 'subtract':
      return rounded(a.low - b.high, a.high - b.low, a.error + b.error, both(a, b));
    case 'multiply': {
      const [low, high] = hull([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]);
      return rounded(low, high, magnitude(a) * b.error + magnitude(b) * a.error, a.step * b.step);
    }
    case 'divide': {
      const least = Math.min(Math.abs(b.low), Math.abs(b.high)) - b.error;
      if (b.low * b.high <= 0 || least < 2 ** -6) return undefined;
      const [low, high] = hull([a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high]);
      const error = (a.error + (magnitude(a) / least) * b.error) / least;
      // The quotient of floats is a few units off on GPUs that multiply by the reciprocal.
      return rounded(low, high, error, 0, 4);
    }
    case 'max':
    case 'min': {
      const pick = Math[op];
      const [low, high] = [pick(a.low, b.low), pick(a.high, b.high)];
      return { low, high, error: Math.max(a.error, b.error), step: both(a, b) };
    }
    default:
      return isFunction(op) ? estimateFunction(op, a) : undefined;
  }
}

function estimateInteger(op: ScalarOp, dtype: DType, a: Estimate, b: Estimate): Estimate {
  const exact = estimateFloat(op, a, b);
  const known = op === 'add' || op === 'subtract' || op === 'multiply' || op === 'max' || op === 'min';
  const { low, high } = anyInteger(dtype);
  const fits = known && exact !== undefined && exact.low >= low && exact.high <= high;
  return fits ? { ...exact, error: 0, step: 1 } : anyInteger(dtype);
}

function estimateCast(from: DType, to: DType, a: Estimate): Estimate | undefined {
  if (to === from || (from === 'f16' && to === 'f32')) return a;
  if (to === 'f32') return rounded(a.low, a.high, 0, 1, 2);
  if (a.error > 0) return undefined;
  // Halves are coarser or finer than the step, and both are powers of two.
  if (to === 'f16') return { ...a, low: roundToF16(a.low), high: roundToF16(a.high) };
  const { low, high } = anyInteger(to);
  if (dtypes[from].kind !== 'float' && (a.low < low || a.high > high)) return anyInteger(to);
  const clamp = (value: number) => Math.min(high, Math.max(low, Math.trunc(value)));
  return to === 'bool' ? anyInteger('bool') : { low: clamp(a.low), high: clamp(a.high), error: 0, step: 1 };
}

function estimateOperation(
  op: ScalarOp,
  from: DType,
  to: DType,
  args: readonly Estimate[],
): Estimate | undefined {
  const [a, b = a, c = a] = args as [Estimate, Estimate?, Estimate?];
  switch (op) {
    case 'cast':
      return estimateCast(from, to, a);
    case 'bitcast':
      // Bits of floats are compared by the tables of special values; here zeros have signs nobody promised.
      return from === 'f32' || to === 'f32' ? undefined : anyInteger(to);
    case 'less':
    case 'lessEqual':
    case 'equal':
      return a.error > 0 || b.error > 0 ? undefined : anyInteger('bool');
    case 'select':
      return {
        low: Math.min(b.low, c.low),
        high: Math.max(b.high, c.high),
        error: Math.max(b.error, c.error),
        step: both(b, c),
      };
    default:
      return from === 'f32' ? estimateFloat(op, a, b) : estimateInteger(op, to, a, b);
  }
}

/** An estimate worth testing with: far from overflow, and an error that would not hide a mistake. */
function sharp(estimate: Estimate | undefined): Estimate | undefined {
  if (!estimate) return undefined;
  const size = magnitude(estimate);
  return size < 2 ** 60 && estimate.error <= 2 ** -10 * Math.max(1, size) ? estimate : undefined;
}

/** The estimate of an operation's result; `undefined` where it should not be generated. */
export const estimateScalar = (
  op: ScalarOp,
  from: DType,
  to: DType,
  args: readonly Estimate[],
): Estimate | undefined => sharp(estimateOperation(op, from, to, args));

/** The estimate of a fold of `count` values; `undefined` where it should not be generated. */
export function estimateFold(
  op: ReduceOp,
  dtype: DType,
  value: Estimate,
  count: number,
): Estimate | undefined {
  if (dtype === 'bool') return op === 'max' || op === 'min' ? anyInteger(dtype) : undefined;
  if (dtype === 'f16') return undefined;
  if (dtype !== 'f32') return anyInteger(dtype);
  if (op === 'max' || op === 'min') return count > 0 ? value : undefined;
  if (op === 'sum') {
    const [low, high] = [count * value.low, count * value.high];
    const size = count * magnitude(value);
    return sharp(
      value.error === 0 && value.step > 0 && size / value.step <= 2 ** 24
        ? { low, high, error: 0, step: value.step }
        : { low, high, error: count * value.error + count * u * size, step: 0 },
    );
  }
  // Partial products may be taken of any subset, so none may exceed the bound: hence at least 1.
  const size = Math.max(1, magnitude(value)) ** count;
  const onGrid =
    value.error === 0 && value.step > 0 && Math.max(1, size) / Math.min(1, value.step) ** count <= 2 ** 24;
  const error = onGrid ? 0 : count * size * (value.error / Math.max(1, magnitude(value)) + u);
  return sharp({ low: -size, high: size, error, step: onGrid ? Math.min(1, value.step) ** count : 0 });
}

/** The estimate of a product of matrices over `count` terms; `undefined` where it should not be generated. */
export function estimateMatmul(a: Estimate, b: Estimate, count: number): Estimate | undefined {
  const product = estimateFloat('multiply', a, b);
  return product && estimateFold('sum', 'f32', product, count);
}
