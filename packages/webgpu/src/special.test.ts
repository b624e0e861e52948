/** NaN, infinities and edges: what this device promises although WGSL does not. */
import type { DType, Instruction, Launch, ScalarOp, TypedArray } from '@clipin/kernel';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { WebgpuDevice } from './device';
import { runOn, softwareDevice } from './test-support';

let device: WebgpuDevice;
beforeAll(async () => {
  device = await softwareDevice();
});
afterAll(() => device.destroy());

/** Applies operations to whole columns; each operation takes the first columns that it needs. */
async function apply(
  ops: readonly [ScalarOp, DType, number][],
  dtype: DType,
  columns: readonly TypedArray[],
): Promise<number[][]> {
  const length = columns[0]?.length ?? 0;
  const index = { offset: 0, strides: [1] };
  const loads = columns.map((_, input): Instruction => ({ op: 'load', dtype, input, index, guards: [] }));
  const steps = ops.map(
    ([op, to, arity]): Instruction => ({ op, dtype: to, args: [0, 1, 2].slice(0, arity) }),
  );
  const launch: Launch = {
    kernel: {
      kind: 'loop',
      axes: [length],
      program: [...loads, ...steps],
      stores: steps.map((_, i) => loads.length + i),
    },
    inputs: columns.map((_, i) => i),
    inputTypes: columns.map(() => dtype),
    outputs: ops.map((_, i) => columns.length + i),
    outputTypes: ops.map(([, to]) => to),
  };
  const results = await runOn(device, [launch], [...columns, ...ops.map(() => new Float32Array(length))]);
  return results.slice(columns.length).map((result) => Array.from(result));
}

const infinity = Number.POSITIVE_INFINITY;

test('NaN survives max and min, and is neither less nor equal', async () => {
  const a = Float32Array.of(Number.NaN, 1, Number.NaN, 1, -infinity);
  const b = Float32Array.of(1, Number.NaN, Number.NaN, 2, infinity);
  const [max, min, less, equal] = await apply(
    [
      ['max', 'f32', 2],
      ['min', 'f32', 2],
      ['less', 'bool', 2],
      ['equal', 'bool', 2],
    ],
    'f32',
    [a, b],
  );
  expect(max).toEqual([Number.NaN, Number.NaN, Number.NaN, 2, infinity]);
  expect(min).toEqual([Number.NaN, Number.NaN, Number.NaN, 1, -infinity]);
  expect(less).toEqual([0, 0, 0, 1, 1]);
  expect(equal).toEqual([0, 0, 0, 0, 0]);
});

test('casts of floats saturate', async () => {
  const values = Float32Array.of(
    Number.NaN,
    infinity,
    -infinity,
    3e9,
    -3e9,
    5e9,
    -1.75,
    2.75,
    2147483520,
    -0,
  );
  const [i32, u32, bool] = await apply(
    [
      ['cast', 'i32', 1],
      ['cast', 'u32', 1],
      ['cast', 'bool', 1],
    ],
    'f32',
    [values],
  );
  const [top, bottom] = [2 ** 31 - 1, -(2 ** 31)];
  expect(i32).toEqual([0, top, bottom, top, bottom, top, -1, 2, 2147483520, 0]);
  expect(u32).toEqual([0, 2 ** 32 - 1, 0, 3e9, 0, 2 ** 32 - 1, 0, 2, 2147483520, 0]);
  expect(bool).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
});

test('tanh and erf go to ±1 and keep small arguments', async () => {
  const values = Float32Array.of(1e-8, -1e-4, 0.5, 30, -1000, 3e38, infinity, -infinity, Number.NaN);
  const [tanh = [], erf = []] = await apply(
    [
      ['tanh', 'f32', 1],
      ['erf', 'f32', 1],
    ],
    'f32',
    [values],
  );
  expect(tanh.slice(3)).toEqual([1, -1, 1, 1, -1, Number.NaN]);
  expect(erf.slice(3)).toEqual([1, -1, 1, 1, -1, Number.NaN]);
  for (let i = 0; i < 3; i++) {
    const x = values[i] as number;
    expect(Math.abs((tanh[i] as number) / Math.tanh(x) - 1)).toBeLessThan(3e-7);
  }
  // erf(x) = 2/√π · (x − x³/3 + …)
  expect(Math.abs((erf[0] as number) / ((2 / Math.sqrt(Math.PI)) * (values[0] as number)) - 1)).toBeLessThan(
    3e-7,
  );
  expect(Math.abs((erf[2] as number) - 0.5204998778130465)).toBeLessThan(3e-7);
});

test('exp and log at the ends, and of NaN', async () => {
  const values = Float32Array.of(Number.NaN, infinity, -infinity, 0, -0, -1);
  const [exp = [], log = []] = await apply(
    [
      ['exp', 'f32', 1],
      ['log', 'f32', 1],
    ],
    'f32',
    [values],
  );
  expect(exp.slice(0, 5)).toEqual([Number.NaN, infinity, 0, 1, 1]);
  expect(log).toEqual([Number.NaN, infinity, Number.NaN, -infinity, -infinity, Number.NaN]);
});

test('sine and cosine of many turns', async () => {
  const values = Float32Array.from({ length: 400 }, (_, i) => (i - 200) * 12.34567);
  const [sin = [], cos = []] = await apply(
    [
      ['sin', 'f32', 1],
      ['cos', 'f32', 1],
    ],
    'f32',
    [values],
  );
  values.forEach((x, i) => {
    expect(Math.abs((sin[i] as number) - Math.sin(x))).toBeLessThan(1e-6);
    expect(Math.abs((cos[i] as number) - Math.cos(x))).toBeLessThan(1e-6);
  });
});

test('integers divided by zero are 0', async () => {
  const [a, b] = [Int32Array.of(7, -7, -(2 ** 31), 0), Int32Array.of(0, 2, -1, 0)];
  const [divide, remainder] = await apply(
    [
      ['divide', 'i32', 2],
      ['remainder', 'i32', 2],
    ],
    'i32',
    [a, b],
  );
  expect(divide).toEqual([0, -3, -(2 ** 31), 0]);
  expect(remainder).toEqual([0, -1, 0, 0]);
});
