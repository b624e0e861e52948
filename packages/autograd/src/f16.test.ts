/** Gradients of f16 tensors: those of the same numbers in f32, rounded once. */
import { createReferenceDevice, roundToF16 } from '@clipin/kernel';
import { attention, concatenate, setDefaultDevice, softmax, type Tensor, tensor } from '@clipin/tensor';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkpoint, customVjp, grad, valueAndGrad, vjp } from './index';

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

const read = async (x: Tensor) => Array.from(await x.data());
const values = (length: number, seed = 1) =>
  Float64Array.from({ length }, (_, i) => Math.sin(seed * (i + 1) * 1.7) * 1.3);
const half = (shape: readonly number[], seed?: number) =>
  tensor(
    values(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
    { dtype: 'f16' },
  );
const float = (shape: readonly number[], seed = 5) =>
  tensor(
    values(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
    shape,
  );
const weighed = (y: Tensor) => y.mul(float(y.shape, 3)).sum();

const functions: Record<string, (x: Tensor) => Tensor> = {
  'a product, on the left': (x) => x.matmul(float([4, 2])),
  'a product, on the right': (x) => float([2, 3]).matmul(x),
  'a product with itself': (x) => x.matmul(x.transpose()),
  'a batch of products': (x) => float([2, 5, 3]).matmul(x),
  arithmetic: (x) => x.mul(x).add(x.exp()).div(x.square().add(1)),
  softmax: (x) => softmax(x),
  'several uses': (x) => x.mul(0.1).add(x.mul(0.01)).add(x).sub(x.mul(3.3)),
  broadcasting: (x) => x.reshape([1, 3, 4]).add(float([5, 1, 1])),
  slices: (x) => x.slice([undefined, undefined, -2], [1, 4, 2]).pad([[1, 0], [0, 1]]), // biome-ignore format: one line
  gather: (x) => x.gather(tensor(Int32Array.of(2, 0, 2, 7))),
  concatenate: (x) => concatenate([x, x.flip(1)]),
  maximum: (x) => x.max(1).add(x.sum(1)),
  attention: (x) =>
    attention(x.reshape([1, 3, 2, 2]), x.reshape([1, 3, 2, 2]), x.reshape([1, 3, 2, 2])).result,
};

describe('the gradient of an f16 tensor is f16 through', () => {
  test.each(Object.entries(functions))('%s', async (_, f) => {
    const x = half([3, 4]);
    const loss = (at: Tensor) => weighed(f(at));
    const [value, own] = valueAndGrad(loss)(x);
    const [wideValue, wide] = valueAndGrad(loss)(x.cast('f32'));
    expect([own.dtype, own.shape]).toEqual(['f16', [3, 4]]);
    expect(await value.item()).toBe(await wideValue.item());
    // What flows into a movement of x is rounded there, and once more at x.
    const [found, wanted] = [await read(own), await read(wide)];
    found.forEach((slope, i) => {
      const expected = wanted[i] as number;
      expect(slope).toBe(roundToF16(slope));
      expect(Math.abs(slope - expected)).toBeLessThanOrEqual(2 ** -10 * (Math.abs(expected) + 1));
    });
  });

  test('and rounded once, where all it flows through computes', async () => {
    const x = half([3, 4]);
    for (const name of ['a product, on the right', 'arithmetic']) {
      const loss = (at: Tensor) => weighed((functions[name] as (x: Tensor) => Tensor)(at.cast('f32')));
      const wide = await read(grad(loss)(x.cast('f32')));
      expect(await read(grad(loss)(x))).toEqual(wide.map(roundToF16));
    }
  });
});

test('master weights in f32: the gradient of what is cast to f16 is f32, rounded as f16', async () => {
  const w = float([4, 2]);
  const x = float([3, 4], 2);
  const gradient = grad((master: Tensor) => weighed(x.matmul(master.cast('f16'))))(w);
  expect(gradient.dtype).toBe('f32');
  const exact = grad((at: Tensor) => weighed(x.matmul(at)))(w.cast('f16').cast('f32'));
  expect(await read(gradient)).toEqual((await read(exact)).map(roundToF16));
});

test('sums of gradients are rounded once', async () => {
  // Each of 4096 parts is less than half of what f16 resolves beside the sum.
  const x = tensor(Float64Array.of(1), [1], { dtype: 'f16' });
  const gradient = grad((at: Tensor) => at.expand([5000]).mul(0.5).sum())(x);
  expect(await read(gradient)).toEqual([2500]);
  const twice = grad((at: Tensor) => at.mul(2048).add(at).add(at).add(at).sum())(x);
  expect(await read(twice)).toEqual([roundToF16(2051)]);
});

test('a second derivative, checkpoint, customVjp and vjp keep the dtype', async () => {
  const x = half([3]);
  const cube = (at: Tensor) => at.mul(at).mul(at).sum();
  const second = grad((at: Tensor) => grad(cube)(at).sum())(x);
  expect(second.dtype).toBe('f16');
  (await read(second)).forEach((slope, i) => {
    expect(Math.abs(slope - 6 * roundToF16(values(3)[i] as number))).toBeLessThan(0.01);
  });
  expect(await read(grad((at: Tensor) => checkpoint(cube)(at))(x))).toEqual(await read(grad(cube)(x)));
  const twice = customVjp((at: Tensor): [Tensor, (g: Tensor) => [Tensor]] => [
    at.mul(2).cast('f16'),
    (g: Tensor) => [g.mul(2).cast('f16')],
  ]);
  expect((await read(grad((at: Tensor) => twice(at).sum())(x))).every((slope) => slope === 2)).toBe(true);
  const [value, back] = vjp((at: Tensor) => at.transpose(), half([2, 3]));
  expect(back(value)[0].dtype).toBe('f16');
});

test('a loss must be f32', () => {
  expect(() => grad((at: Tensor) => at.reshape([]))(half([1]))).toThrow('wants an f32 scalar');
});
