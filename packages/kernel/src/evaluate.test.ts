import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DType } from './dtype';
import { erf, evaluateScalar } from './evaluate';
import type { ScalarOp } from './scalar';

const [least, most] = [-(2 ** 31), 2 ** 31 - 1];
const anyI32 = fc.integer({ min: least, max: most });
const anyU32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });

/** The operation in unbounded integers, brought into 32 bits. */
const wrapped = (value: bigint, dtype: 'i32' | 'u32'): number =>
  Number(dtype === 'i32' ? BigInt.asIntN(32, value) : BigInt.asUintN(32, value));

describe('float operations', () => {
  test.each<[ScalarOp, number[], number]>([
    ['negate', [0], -0],
    ['abs', [-2.5], 2.5],
    ['floor', [-1.5], -2],
    ['sqrt', [2], Math.SQRT2],
    ['exp', [1], Math.E],
    ['log', [10], Math.LN10],
    ['log', [0], -Infinity],
    ['sin', [Math.PI / 6], 0.5],
    ['cos', [Math.PI / 3], 0.5],
    ['tanh', [Math.log(2)], 0.6],
    ['add', [0.5, 0.25], 0.75],
    ['subtract', [0.5, 0.75], -0.25],
    ['multiply', [1.5, -2], -3],
    ['divide', [1, 4], 0.25],
    ['divide', [-1, 0], -Infinity],
    ['max', [1, NaN], NaN],
    ['min', [NaN, 1], NaN],
    ['min', [-1, 1], -1],
  ])('%s(%j) is %d', (op, args, expected) => {
    const value = evaluateScalar(op, 'f32', 'f32', args);
    if (Math.abs(expected) < 1 && expected !== 0) expect(value).toBeCloseTo(expected, 15);
    else expect(value).toBe(expected);
  });

  test.each<[ScalarOp, number[], number]>([
    ['less', [1, 2], 1],
    ['less', [2, 2], 0],
    ['less', [NaN, 2], 0],
    ['lessEqual', [2, 2], 1],
    ['lessEqual', [2, NaN], 0],
    ['equal', [0, -0], 1],
    ['equal', [NaN, NaN], 0],
  ])('%s(%j) is %d', (op, args, expected) => {
    expect(evaluateScalar(op, 'f32', 'bool', args)).toBe(expected);
  });

  test('are computed in float64', () => {
    expect(evaluateScalar('add', 'f32', 'f32', [1, 2 ** -40])).toBe(1 + 2 ** -40);
  });
});

describe('integer operations', () => {
  test.each<[ScalarOp, DType, number[], number]>([
    ['add', 'i32', [most, 1], least],
    ['subtract', 'u32', [0, 1], 2 ** 32 - 1],
    ['negate', 'i32', [least], least],
    ['negate', 'u32', [1], 2 ** 32 - 1],
    ['abs', 'i32', [least], least],
    ['divide', 'i32', [-7, 2], -3],
    ['divide', 'i32', [least, -1], least],
    ['divide', 'i32', [5, 0], 0],
    ['divide', 'u32', [2 ** 32 - 1, 2], most],
    ['remainder', 'i32', [-7, 2], -1],
    ['remainder', 'i32', [7, -2], 1],
    ['remainder', 'i32', [least, -1], 0],
    ['remainder', 'u32', [7, 0], 0],
    ['shiftLeft', 'i32', [1, 31], least],
    ['shiftLeft', 'u32', [3, 33], 6],
    ['shiftRight', 'i32', [-8, 1], -4],
    ['shiftRight', 'i32', [-8, -1], -1],
    ['shiftRight', 'u32', [2 ** 31, 31], 1],
    ['shiftRight', 'u32', [8, 32], 8],
    ['not', 'i32', [0], -1],
    ['not', 'u32', [0], 2 ** 32 - 1],
    ['and', 'u32', [0xf0f0f0f0, 0xff00ff00], 0xf000f000],
    ['or', 'i32', [1, least], least + 1],
    ['xor', 'u32', [0xffffffff, 1], 0xfffffffe],
    ['max', 'u32', [2 ** 31, 1], 2 ** 31],
    ['min', 'i32', [-1, 1], -1],
  ])('%s of %s %j is %d', (op, dtype, args, expected) => {
    expect(evaluateScalar(op, dtype, dtype, args)).toBe(expected);
  });

  test.each([
    ['i32', anyI32],
    ['u32', anyU32],
  ] as const)('of %s wrap as unbounded integers brought into 32 bits', (dtype, any) => {
    const bigOps: Partial<Record<ScalarOp, (a: bigint, b: bigint) => bigint>> = {
      add: (a, b) => a + b,
      subtract: (a, b) => a - b,
      multiply: (a, b) => a * b,
      divide: (a, b) => (b === 0n ? 0n : a / b),
      remainder: (a, b) => (b === 0n ? 0n : a % b),
      and: (a, b) => a & b,
      or: (a, b) => a | b,
      xor: (a, b) => a ^ b,
      shiftLeft: (a, b) => a << (b & 31n),
      shiftRight: (a, b) => a >> (b & 31n),
    };
    for (const [op, exact] of Object.entries(bigOps)) {
      checkProperty(
        op,
        fc.property(any, fc.oneof(any, fc.integer({ min: 0, max: 40 })), (a, b) => {
          const value = evaluateScalar(op as ScalarOp, dtype, dtype, [a, b]);
          expect(value).toBe(wrapped(exact(BigInt(a), BigInt(b)), dtype));
        }),
      );
    }
  });
});

describe('truth values', () => {
  test.each<[ScalarOp, number[], number]>([
    ['not', [1], 0],
    ['not', [0], 1],
    ['and', [1, 0], 0],
    ['or', [1, 0], 1],
    ['xor', [1, 1], 0],
    ['less', [0, 1], 1],
  ])('%s(%j) is %d', (op, args, expected) => {
    expect(evaluateScalar(op, 'bool', 'bool', args)).toBe(expected);
  });

  test('select', () => {
    expect(evaluateScalar('select', 'f32', 'f32', [1, 2, 3])).toBe(2);
    expect(evaluateScalar('select', 'f32', 'f32', [0, 2, 3])).toBe(3);
    expect(evaluateScalar('select', 'f32', 'f32', [0, NaN, 3])).toBe(3);
  });
});

describe('conversions', () => {
  test.each<[DType, DType, number, number]>([
    ['f32', 'i32', 2.9, 2],
    ['f32', 'i32', -2.9, -2],
    ['f32', 'i32', -0.5, 0],
    ['f32', 'i32', 3e9, most],
    ['f32', 'i32', -Infinity, least],
    ['f32', 'i32', NaN, 0],
    ['f32', 'u32', -1, 0],
    ['f32', 'u32', 5e9, 2 ** 32 - 1],
    ['f32', 'bool', NaN, 1],
    ['f32', 'bool', -0, 0],
    ['i32', 'u32', -1, 2 ** 32 - 1],
    ['u32', 'i32', 2 ** 31, least],
    ['i32', 'bool', -3, 1],
    ['bool', 'f32', 1, 1],
    ['u32', 'f32', 2 ** 32 - 1, 2 ** 32 - 1],
  ])('cast from %s to %s of %d is %d', (from, to, value, expected) => {
    expect(evaluateScalar('cast', from, to, [value])).toBe(expected);
  });

  test.each<[DType, DType, number, number]>([
    ['f32', 'u32', 1, 0x3f800000],
    ['f32', 'i32', -0, least],
    ['u32', 'f32', 0x7f800000, Infinity],
    ['i32', 'f32', 0x40490fdb, Math.fround(Math.PI)],
    ['u32', 'f32', 1, 2 ** -149],
    ['u32', 'i32', 2 ** 32 - 1, -1],
  ])('bitcast from %s to %s of %d is %d', (from, to, value, expected) => {
    expect(evaluateScalar('bitcast', from, to, [value])).toBe(expected);
  });

  test('bits survive the way there and back', () => {
    checkProperty(
      fc.property(fc.float({ noNaN: true }), (x) => {
        const bits = evaluateScalar('bitcast', 'f32', 'u32', [x]);
        expect(evaluateScalar('bitcast', 'u32', 'f32', [bits])).toBe(x);
      }),
    );
  });
});

test('an operation that a dtype does not have is an error', () => {
  expect(() => evaluateScalar('exp', 'i32', 'i32', [1])).toThrow('exp is not defined for i32');
  expect(() => evaluateScalar('add', 'bool', 'bool', [1, 1])).toThrow('add is not defined for bool');
});

describe('erf', () => {
  test.each([
    [0, 0],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [3, 0.9999779095030014],
  ])('erf(%d) is %d', (x, expected) => {
    expect(Math.abs(erf(x) - expected)).toBeLessThanOrEqual(4e-16);
    expect(erf(-x)).toBe(-erf(x));
  });

  test('has the derivative 2/√π · exp(−x²), on both sides of where the method changes', () => {
    // Simpson's rule over short steps from 0 is an integral of its own.
    const density = (x: number) => (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x);
    const step = 1 / 256;
    let integral = 0;
    for (let i = 0; i < 6.5 / step; i++) {
      const x = i * step;
      integral += (step / 6) * (density(x) + 4 * density(x + step / 2) + density(x + step));
      expect(Math.abs(erf(x + step) - integral)).toBeLessThan(1e-11);
    }
  });

  test('of the extremes', () => {
    expect([erf(Infinity), erf(-Infinity), erf(NaN), erf(-0), erf(1e-300)]).toEqual([
      1,
      -1,
      NaN,
      -0,
      (2 / Math.sqrt(Math.PI)) * 1e-300,
    ]);
  });
});
