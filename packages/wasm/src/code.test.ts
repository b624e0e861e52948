/** The assembler: encodings against their definition, and small modules that compute. */
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Code,
  call,
  doWhile,
  extract,
  f32x4,
  flatten,
  i32,
  i32x4,
  ifElse,
  load,
  loadLane,
  op,
  shuffle,
  signed,
  storeLane,
  storeVector,
  unsigned,
} from './code';
import { FunctionBuilder, importedFunctions, ModuleBuilder } from './module';

/** Decodes LEB128 by its definition. */
const decode = (bytes: readonly number[]): bigint =>
  bytes.reduce((sum, byte, i) => sum | (BigInt(byte & 127) << BigInt(7 * i)), 0n);

/** Instantiates functions with a memory of one page; gives their exports by index. */
function instantiate(...builders: FunctionBuilder[]) {
  const module = new ModuleBuilder();
  for (const [number, builder] of builders.entries()) module.export(`f${number}`, module.add(builder));
  const memory = new WebAssembly.Memory({ initial: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.bytes(false)), {
    env: { memory, ...importedFunctions },
  });
  const run = (number: number, ...args: number[]): number => {
    const exported = instance.exports[`f${number}`];
    if (typeof exported !== 'function') throw new TypeError(`no function ${number}`);
    return exported(...args);
  };
  return { memory, run };
}

/** A function of i32 parameters that gives an i32. */
function build(params: number, body: (f: FunctionBuilder) => Code): FunctionBuilder {
  const f = new FunctionBuilder(new Array<'i32'>(params).fill('i32'), ['i32']);
  f.body = body(f);
  return f;
}

describe('numbers in LEB128', () => {
  test('unsigned: decodes to itself, in the fewest bytes', () => {
    checkProperty(
      fc.property(fc.nat(2 ** 32 - 1), (value) => {
        const bytes = unsigned(value);
        expect(decode(bytes)).toBe(BigInt(value));
        expect(bytes.slice(0, -1).every((byte) => byte >= 128) && (bytes.at(-1) as number) < 128).toBe(true);
        expect(bytes.length).toBe(Math.max(1, Math.ceil(value.toString(2).length / 7)));
      }),
    );
  });

  test('signed: decodes to itself', () => {
    checkProperty(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (value) => {
        const bytes = signed(value);
        expect(BigInt.asIntN(7 * bytes.length, decode(bytes))).toBe(BigInt(value));
      }),
    );
  });
});

test('flatten keeps the order of nested code', () => {
  expect(flatten([1, [2, [3], []], 4])).toEqual([1, 2, 3, 4]);
});

test('constants, arithmetic and conditions of i32', () => {
  const { run } = instantiate(
    build(2, (f) => op('i32.sub', op('i32.mul', f.param(0).get, i32(-7)), f.param(1).get)),
    build(1, (f) => {
      const result = f.local('i32');
      const negative = op('i32.lt_s', f.param(0).get, i32(0));
      return [ifElse(negative, result.set(i32(-1)), result.set(i32(1))), result.get];
    }),
  );
  expect(run(0, 6, 5)).toBe(-47);
  expect(run(1, -3)).toBe(-1);
  expect(run(1, 3)).toBe(1);
});

test('loops run while their condition holds, count from start to end, and not at all when empty', () => {
  const { run } = instantiate(
    build(2, (f) => {
      const [i, sum] = [f.local('i32'), f.local('i32')];
      return [f.loop(i, f.param(0).get, f.param(1).get, sum.set(op('i32.add', sum.get, i.get))), sum.get];
    }),
    build(1, (f) => {
      const turns = f.local('i32');
      return [doWhile([turns.add(1), f.param(0).add(-2)], op('i32.gt_s', f.param(0).get, i32(0))), turns.get];
    }),
  );
  expect(run(0, 3, 7)).toBe(3 + 4 + 5 + 6);
  expect(run(0, 7, 3)).toBe(0);
  expect(run(1, 5)).toBe(3);
  expect(run(1, 0)).toBe(1);
});

test('calls reach functions of the module and the imported ones', () => {
  const double = new FunctionBuilder(['i32'], ['i32']);
  double.body = op('i32.add', double.param(0).get, double.param(0).get);
  const module = new ModuleBuilder();
  const index = module.add(double);
  const caller = build(1, (f) => call(index, call(index, f.param(0).get)));
  module.export('f', module.add(caller));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.bytes(false)), {
    env: { memory: new WebAssembly.Memory({ initial: 1 }), ...importedFunctions },
  });
  expect((exports.f as (x: number) => number)(5)).toBe(20);
});

test('vectors: constants, loads, shuffles, lanes, stores', () => {
  const f = new FunctionBuilder(['i32']);
  const [vector, reversed] = [f.local('v128'), f.local('v128')];
  f.body = [
    vector.set(op('f32x4.add', load('v128.load', f.param(0).get, 16), f32x4(0.5))),
    reversed.set(shuffle(vector.get, vector.get, [3, 2, 1, 0])),
    storeVector(f.param(0).get, reversed.get, 32),
    vector.set(loadLane(f.param(0).get, i32x4(1, 2, 3, 4), 2, 16)),
    storeVector(f.param(0).get, vector.get, 48),
    storeLane(64, f.param(0).get, reversed.get, 0, 64),
    storeLane(32, f.param(0).get, reversed.get, 3, 72),
  ];
  const { memory, run } = instantiate(
    f,
    build(0, () => extract('i32', i32x4(5, -6, 7, 8), 1)),
  );
  const floats = new Float32Array(memory.buffer);
  floats.set([1, 2, 3, 4], 4);
  run(0, 0);
  expect([...floats.slice(8, 12)]).toEqual([4.5, 3.5, 2.5, 1.5]);
  expect([...new Int32Array(memory.buffer, 48, 4)]).toEqual([
    1,
    2,
    new Int32Array(Float32Array.of(1).buffer)[0],
    4,
  ]);
  expect([...floats.slice(16, 20)]).toEqual([4.5, 3.5, 1.5, 0]);
  expect(run(1)).toBe(-6);
});

test('a parameter that does not exist is an error', () => {
  expect(() => new FunctionBuilder(['i32']).param(1)).toThrow(
    'function has 1 parameters, asked for number 1',
  );
});
