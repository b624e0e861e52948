/** Transcendental functions against float64, in units of the last place, fused and not; special values exactly. */
import { evaluateScalar, type ScalarOp } from '@clipin/kernel';
import { describe, expect, test } from 'vitest';
import { type Code, i32, load, op, storeVector } from './code';
import { probeRelaxedSimd } from './features';
import { erf, exp, exp2Below127, log, type Target, tanh, trigonometric } from './math';
import { FunctionBuilder, importedFunctions, ModuleBuilder } from './module';

const angle =
  (name: 'sin' | 'cos') =>
  (f: FunctionBuilder, target: Target, value: Code): Code =>
    trigonometric(f, target, name, value, 4);
const functions = { exp, log, tanh, erf, sin: angle('sin'), cos: angle('cos'), exp2: exp2Below127 };
type Name = keyof typeof functions;

/** Runs a function over all values. */
function evaluate(name: Name, target: Target, values: Float32Array): Float32Array {
  const f = new FunctionBuilder([]);
  const at = f.local('i32');
  const length = Math.ceil(values.length / 4) * 4;
  f.body = f.loop(
    at,
    i32(0),
    i32(length * 4),
    storeVector(at.get, functions[name](f, target, load('v128.load', at.get))),
    16,
  );
  const module = new ModuleBuilder();
  module.export('run', module.add(f));
  const memory = new WebAssembly.Memory({ initial: Math.ceil((length * 4) / 65536) });
  new Float32Array(memory.buffer).set(values);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.bytes(false)), {
    env: { memory, ...importedFunctions },
  });
  (exports.run as () => void)();
  return new Float32Array(memory.buffer).slice(0, values.length);
}

const exact = (name: Name, x: number): number =>
  name === 'exp2' ? 2 ** x : evaluateScalar(name satisfies ScalarOp, 'f32', 'f32', [x]);

/** The distance from one f32 to the next at `x`. */
const ulp = (x: number): number => 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(x)))) - 23);

const even = (low: number, high: number, count = 100_000): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => low + ((high - low) * i) / count);

/** Values of all sizes: every so many bit patterns. */
const patterns = (low: number, high: number): Float32Array => {
  const [first = 0, last = 0] = new Int32Array(Float32Array.of(low, high).buffer);
  const bits = Int32Array.from(
    { length: 100_000 },
    (_, i) => first + Math.floor(((last - first) * i) / 100_000),
  );
  return new Float32Array(bits.buffer);
};

const worst = (name: Name, target: Target, values: Float32Array, unit: (y: number) => number): number => {
  const results = evaluate(name, target, values);
  return values.reduce((most, x, i) => {
    const y = exact(name, x);
    return Math.max(most, Math.abs((results[i] as number) - y) / unit(y));
  }, 0);
};

const targets = { plain: { relaxed: false }, fused: { relaxed: await probeRelaxedSimd() } };

describe.each(Object.entries(targets))('%s multiply-add', (_, target) => {
  test('exp is within 2 ulp, subnormal results included', () => {
    expect(worst('exp', target, even(-87, 88.7), ulp)).toBeLessThan(2);
    expect(worst('exp', target, even(-103, -87), ulp)).toBeLessThan(2);
  });

  test('log is within 2 ulp from the smallest subnormal to the largest number', () => {
    expect(worst('log', target, patterns(2 ** -149, 3.4e38), ulp)).toBeLessThan(2);
    expect(worst('log', target, even(0.5, 2), ulp)).toBeLessThan(2);
  });

  test('tanh is within 2 ulp', () => {
    expect(worst('tanh', target, patterns(2 ** -149, 20), ulp)).toBeLessThan(2);
    expect(worst('tanh', target, even(-10, 10), ulp)).toBeLessThan(2);
  });

  test('erf is within 2 ulp', () => {
    expect(worst('erf', target, even(-6, 6), ulp)).toBeLessThan(2);
    expect(worst('erf', target, patterns(2 ** -120, 0.6), ulp)).toBeLessThan(2);
  });

  test('powers of two are within 2.2 ulp, and 0 below −127', () => {
    expect(worst('exp2', target, even(-126, 127), ulp)).toBeLessThan(2.2);
    expect([...evaluate('exp2', target, Float32Array.of(-127, -128, -1e30, -Infinity, 0, NaN))]).toEqual([
      0,
      0,
      0,
      0,
      1,
      NaN,
    ]);
  });

  test.each(['sin', 'cos'] as const)('%s is within 2 ulp or 4e-11, of angles of every size', (name) => {
    const unit = (y: number) => Math.max(ulp(y), 2e-11);
    for (const values of [
      even(-7, 7),
      even(-1000, 1000, 400_000),
      even(5900, 6100),
      patterns(2 ** -149, 3.4e38),
    ])
      expect(worst(name, target, values, unit)).toBeLessThan(2);
    // Next to multiples of π/2, where one of the two is near zero.
    const multiples = Float32Array.from({ length: 3800 }, (_, i) => (i - 1900) * (Math.PI / 2));
    expect(worst(name, target, multiples, unit)).toBeLessThan(2);
  });

  test('special angles', () => {
    const special = Float32Array.of(0, -0, NaN, Infinity, -Infinity, 1e30, 7e3, -1e10);
    const [sin, cos] = (['sin', 'cos'] as const).map((name) => [...evaluate(name, target, special)]);
    expect(sin?.slice(0, 5)).toEqual([0, -0, NaN, NaN, NaN]);
    expect(cos?.slice(0, 5)).toEqual([1, 1, NaN, NaN, NaN]);
    expect(sin?.slice(5)).toEqual([...special.slice(5)].map((x) => Math.fround(Math.sin(x))));
  });

  test('special values', () => {
    const special = Float32Array.of(Infinity, -Infinity, NaN, 0, -0, -1, 200, -200);
    const of = (name: Name) => [...evaluate(name, target, special)];
    expect(of('exp').slice(0, 5)).toEqual([Infinity, 0, NaN, 1, 1]);
    expect(of('exp').slice(6)).toEqual([Infinity, 0]);
    expect(of('log').slice(0, 6)).toEqual([Infinity, NaN, NaN, -Infinity, -Infinity, NaN]);
    expect(of('tanh').slice(0, 5)).toEqual([1, -1, NaN, 0, -0]);
    expect(of('tanh').slice(6)).toEqual([1, -1]);
    expect(of('erf').slice(0, 5)).toEqual([1, -1, NaN, 0, -0]);
    expect(of('erf').slice(6)).toEqual([1, -1]);
  });
});

test('without the flag nothing else of the module needs relaxed SIMD', () => {
  const f = new FunctionBuilder([], ['v128']);
  f.body = op('f32x4.add', load('v128.load', i32(0)), load('v128.load', i32(0)));
  const module = new ModuleBuilder();
  module.add(f);
  expect(WebAssembly.validate(module.bytes(true))).toBe(true);
});
