/** Tensors of f16: computing gives f32 as if they were cast, movement keeps them, and they take half the memory. */
import { createReferenceDevice, type Device, encodeF16, roundToF16 } from '@clipin/kernel';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { devices } from './devices.test-helpers';
import {
  attention,
  concatenate,
  evaluate,
  full,
  jit,
  logSumExp,
  setDefaultDevice,
  softmax,
  stack,
  type Tensor,
  tensor,
  where,
  zerosLike,
} from './index';

const read = async (x: Tensor) => Array.from(await x.data());
const numbers = [0.1, -1.5, 3, 0.333, 100.7, -0.02, 7, 2.001, -65504, 1e-6, 0, 5];
const half = (shape = [3, 4], data = numbers) => tensor(Float32Array.from(data), shape, { dtype: 'f16' });

describe('on the reference device', () => {
  beforeAll(() => {
    setDefaultDevice(createReferenceDevice());
  });

  test('made from numbers, nested arrays and bits, rounded once', async () => {
    const rounded = numbers.map(roundToF16);
    expect(await read(half())).toEqual(rounded.map((v) => roundToF16(Math.fround(v))));
    expect(await read(tensor(numbers, [12], { dtype: 'f16' }))).toEqual(rounded);
    expect(await read(tensor([numbers, numbers], undefined, { dtype: 'f16' }))).toEqual([
      ...rounded,
      ...rounded,
    ]);
    const bits = tensor(encodeF16(numbers), [2, 6]);
    expect([bits.dtype, await read(bits)]).toEqual(['f16', rounded]);
    expect(await read(full([2], 0.1, { dtype: 'f16' }))).toEqual([roundToF16(0.1), roundToF16(0.1)]);
    expect(zerosLike(half()).dtype).toBe('f16');
  });

  const condition = () => tensor([true, false, true, true]);
  const f32 = () =>
    tensor(
      Float32Array.from(numbers, (v) => v / 3),
      [3, 4],
    );
  const computing: Record<string, (x: Tensor) => Tensor> = {
    neg: (x) => x.neg(),
    exp: (x) => x.exp(),
    tanh: (x) => x.tanh(),
    add: (x) => x.add(x),
    'add a number': (x) => x.add(0.1),
    'mul f32': (x) => x.mul(f32()),
    'from f32': (x) => f32().sub(x),
    maximum: (x) => x.maximum(0.1),
    less: (x) => x.less(0.1),
    greater: (x) => x.greater(0.1),
    equal: (x) => x.equal(f32()),
    where: (x) => where(condition(), x, 0.1),
    'where of both': (x) => where(condition(), x, x.flip()),
    sum: (x) => x.sum(0),
    'sum over no axis': (x) => x.sum([]),
    max: (x) => x.max(1, { keepDims: true }),
    mean: (x) => x.mean(),
    softmax: (x) => softmax(x),
    logSumExp: (x) => logSumExp(x, 1),
    'concatenate with f32': (x) => concatenate([x, f32()]),
    'matmul on the left': (x) => x.matmul(f32().transpose()),
    'matmul on the right': (x) => f32().transpose().matmul(x),
    'matmul with itself': (x) => x.matmul(x.transpose()),
    'matmul of a batch': (x) => f32().reshape([1, 3, 4]).expand([2, 3, 4]).matmul(x.transpose()),
    scatterAdd: (x) => x.scatterAdd(tensor(Int32Array.of(1, 0, 1)), 2),
    attention: (x) => {
      const q = x.reshape([1, 3, 2, 2]).minimum(3).maximum(-3);
      return attention(q, q, x.reshape([1, 3, 2, 2])).result;
    },
    'attention of halves': (x) => {
      const q = x.slice([0, 2]).reshape([1, 2, 2, 2]);
      return attention(q, q, q, { scale: 0.01 }).result;
    },
  };
  test.each(Object.entries(computing))('%s gives what f32 gives', async (_, compute) => {
    const x = half();
    const [own, wide] = [compute(x), compute(x.cast('f32'))];
    expect([own.dtype, own.shape]).toEqual([wide.dtype, wide.shape]);
    expect(own.dtype).not.toBe('f16');
    expect(await read(own)).toEqual(await read(wide));
  });

  const moving: Record<string, (x: Tensor) => Tensor> = {
    reshape: (x) => x.reshape([2, 6]),
    transpose: (x) => x.transpose(),
    expand: (x) => x.reshape([3, 1, 4]).expand([3, 2, 4]),
    slice: (x) => x.slice([undefined, undefined, -1], [1, 3]),
    pad: (x) =>
      x.pad([
        [1, 0],
        [0, 2],
      ]),
    gather: (x) => x.gather(tensor(Int32Array.of(2, 0, 5))),
    concatenate: (x) => concatenate([x, x.flip(0), x]),
    stack: (x) => stack([x, x]),
    'pad of what was computed': (x) =>
      x
        .mul(1.1)
        .cast('f16')
        .pad([
          [1, 0],
          [0, 2],
        ]),
  };
  test.each(Object.entries(moving))('%s keeps f16', async (_, move) => {
    const x = half();
    const own = move(x);
    expect(own.dtype).toBe('f16');
    const wide = move(x.cast('f32'));
    expect([own.shape, await read(own)]).toEqual([wide.shape, await read(wide)]);
  });

  test('a value that is rounded inside a kernel is rounded there too', async () => {
    const x = tensor(numbers);
    const thrice = x.mul(3).cast('f16').mul(2).cast('f16').add(0);
    expect(await read(thrice)).toEqual(numbers.map((v) => roundToF16(roundToF16(v * 3) * 2)));
  });

  test('casts to and from all dtypes', async () => {
    const x = tensor(Float64Array.of(-2.7, 0, 70000, Number.NaN), [4]).cast('f16');
    expect(await read(x)).toEqual([roundToF16(-2.7), 0, Infinity, Number.NaN]);
    expect(await read(x.cast('i32'))).toEqual([-2, 0, 2 ** 31 - 1, 0]);
    expect(await read(x.cast('bool'))).toEqual([1, 0, 1, 1]);
    expect(await read(tensor(Int32Array.of(2049, -3)).cast('f16'))).toEqual([2048, -3]);
    expect(await read(tensor([true, false]).cast('f16'))).toEqual([1, 0]);
  });

  test('errors say what would be right', () => {
    expect(() => half().bitcast('u32')).toThrow('bitcast: got (f16) to u32, wants 1 of one dtype');
    expect(() => tensor([1]).bitcast('f16')).toThrow('to f16, wants');
    expect(() => half().and(half())).toThrow('and: got (f32, f32)');
    expect(() => tensor(Uint16Array.of(1), [1], { dtype: 'f32' })).toThrow(
      'tensor: a Uint16Array holds the bits of f16, not f32',
    );
  });
});

describe.each(['wasm', 'webgpu'])('on %s', (name) => {
  let device: Device;
  beforeAll(async () => {
    device = await (devices[name] as () => Promise<Device>)();
    setDefaultDevice(device);
  });
  afterAll(() => device.destroy());

  test('half the memory, for what is given and what is computed', async () => {
    const wide = tensor(new Float32Array(6001).fill(1.1));
    expect(device.memory.bytes).toBe(24004);
    const narrow = evaluate(wide.cast('f16'));
    expect(device.memory.bytes).toBe(24004 + 12002);
    wide.dispose();
    expect((await read(narrow)).every((v) => v === roundToF16(1.1))).toBe(true);
    const turned = evaluate(narrow.reshape([17, 353]).transpose());
    expect(device.memory.bytes).toBe(2 * 12002);
    for (const x of [narrow, turned]) x.dispose();
    expect(device.memory.bytes).toBe(0);
  });

  test('a product with f16 weights makes no copy of them', async () => {
    const x = tensor(new Float32Array(8 * 300).fill(0.5), [8, 300]);
    const w = tensor(new Float32Array(300 * 200).fill(0.1), [300, 200], { dtype: 'f16' });
    const before = device.memory.bytes;
    expect(before).toBe(4 * 8 * 300 + 2 * 300 * 200);
    const y = evaluate(x.matmul(w).add(1));
    expect(device.memory.bytes).toBe(before + 4 * 8 * 200);
    const expected = 1 + 300 * 0.5 * roundToF16(0.1);
    for (const v of await read(y)) expect(Math.abs(v - expected)).toBeLessThan(1e-4);
    for (const tensor of [x, w, y]) tensor.dispose();
  });

  test('under jit, f16 state goes round in place', async () => {
    const step = jit((w: Tensor) => w.mul(1.5).cast('f16'), { donate: [0] });
    let w = tensor(Float32Array.of(1, -2, 3, 0.1, 7), [5], { dtype: 'f16' });
    for (let i = 0; i < 3; i++) w = step(w);
    const bytes = device.memory.bytes;
    for (let i = 0; i < 3; i++) w = step(w);
    expect(device.memory.bytes).toBe(bytes);
    let expected = [1, -2, 3, 0.1, 7].map(roundToF16);
    for (let i = 0; i < 6; i++) expected = expected.map((v) => roundToF16(v * 1.5));
    expect(await read(w)).toEqual(expected);
  });
});
