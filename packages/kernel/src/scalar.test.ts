import { describe, expect, test } from 'vitest';
import { type ScalarOp, scalarOps, scalarResult } from './scalar';

describe('the dtype of a result', () => {
  test.each([
    ['add', ['f32', 'f32'], undefined, 'f32'],
    ['remainder', ['u32', 'u32'], undefined, 'u32'],
    ['less', ['i32', 'i32'], undefined, 'bool'],
    ['equal', ['bool', 'bool'], undefined, 'bool'],
    ['not', ['bool'], undefined, 'bool'],
    ['cast', ['bool'], 'f32', 'f32'],
    ['bitcast', ['f32'], 'u32', 'u32'],
    ['select', ['bool', 'i32', 'i32'], undefined, 'i32'],
  ] as const)('%s of %j', (op, args, target, result) => {
    expect(scalarResult(op, args, target)).toBe(result);
  });
});

describe('what does not fit is an error that says what would', () => {
  test.each([
    [
      'add',
      ['f32', 'i32'],
      undefined,
      'add: got (f32, i32), wants 2 of one dtype of kind float or int; convert',
    ],
    ['add', ['bool', 'bool'], undefined, 'add: got (bool, bool), wants 2 of one dtype of kind float or int'],
    ['add', ['f32'], undefined, 'add: got (f32), wants'],
    ['exp', ['i32'], undefined, 'exp: got (i32), wants 1 of one dtype of kind float; convert with cast'],
    ['remainder', ['f32', 'f32'], undefined, 'of kind int'],
    [
      'select',
      ['i32', 'f32', 'f32'],
      undefined,
      'select: got (i32, f32, f32), wants a bool and 2 of one dtype',
    ],
    [
      'bitcast',
      ['f32'],
      'bool',
      'bitcast: got (f32) to bool, wants 1 of one dtype of kind float or int to f32, i32 or u32',
    ],
    ['bitcast', ['bool'], 'i32', 'bitcast: got (bool)'],
  ] as const)('%s of %j', (op, args, target, message) => {
    expect(() => scalarResult(op, args, target)).toThrow(TypeError);
    expect(() => scalarResult(op, args, target)).toThrow(message);
  });

  test('the message counts the arguments wanted, not those that came', () => {
    expect(() => scalarResult('add', ['f32'])).toThrow('wants 2 of one dtype');
    expect(() => scalarResult('select', ['bool', 'f32'])).toThrow('wants a bool and 2 of one dtype');
  });
});

test('every operation has a result for some dtype', () => {
  for (const op of Object.keys(scalarOps) as ScalarOp[]) {
    const { arity, kinds } = scalarOps[op];
    const dtype = (kinds as readonly string[]).includes('float') ? 'f32' : 'i32';
    const args = Array.from(
      { length: arity },
      (_, i) => (op === 'select' && i === 0 ? 'bool' : dtype) as typeof dtype,
    );
    expect(scalarResult(op, args, dtype), op).toMatch(/f32|i32|bool/);
  }
});
