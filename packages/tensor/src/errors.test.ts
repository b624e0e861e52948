/** Bad input gets an error that names the operation, what came and what fits; edges have documented results. */
import { createReferenceDevice } from '@clipin/kernel';
import { beforeEach, describe, expect, test } from 'vitest';
import * as lib from './index';
import { full, iota, jit, ones, setDefaultDevice, Tensor, tensor, zeros } from './index';

beforeEach(() => {
  setDefaultDevice(createReferenceDevice());
});

const read = async (x: Tensor) => Array.from(await x.data());
const x = (...shape: number[]) => zeros(shape);
const ints = (...shape: number[]) => zeros(shape, { dtype: 'i32' });

/** What is called and what the error says. */
const refused: readonly (readonly [call: string, run: () => unknown, message: string])[] = [
  [
    'add',
    () => x(2, 3).add(x(4)),
    'add: shapes [2, 3] and [4] do not broadcast; counted from the last axis, sizes must be equal or 1',
  ],
  [
    'add of dtypes',
    () => x(2).add(ints(2)),
    'add: got (f32, i32), wants 2 of one dtype of kind float or int; convert with cast',
  ],
  [
    'add of bools',
    () => x(2).less(1).add(x(2).less(1)),
    'add: got (bool, bool), wants 2 of one dtype of kind float or int',
  ],
  ['exp of integers', () => ints(2).exp(), 'exp: got (i32), wants 1 of one dtype of kind float'],
  [
    'a fraction beside integers',
    () => ints(2).add(0.5),
    'add: 0.5 is not a value of i32, a whole number from -2147483648 to 2147483647',
  ],
  [
    'a negative beside u32',
    () => zeros([2], { dtype: 'u32' }).mul(-1),
    'multiply: -1 is not a value of u32, a whole number from 0 to 4294967295',
  ],
  ['where', () => lib.where(x(2), 1, x(2)), 'select: got (f32, f32, f32), wants a bool and 2 of one dtype'],
  ['where of numbers', () => lib.where(x(2).less(1), 1, 2), 'where: one of the two values must be a tensor'],
  [
    'where shapes',
    () => lib.where(x(2).less(1), x(3), 2),
    'where: shapes [2] and [3] and [3] do not broadcast',
  ],
  ['reshape', () => x(2, 3).reshape([4]), 'reshape: [2, 3] has 6 elements, [4] cannot hold just these'],
  [
    'reshape -1',
    () => x(2, 3).reshape([-1, -1]),
    'reshape: [2, 3] has 6 elements, [-1, -1] cannot hold just these; only one size may be -1',
  ],
  [
    'reshape to 9 axes',
    () => x(1).reshape([1, 1, 1, 1, 1, 1, 1, 1, 1]),
    'reshape: shape [1, 1, 1, 1, 1, 1, 1, 1, 1] has 9 axes, at most 8 are possible',
  ],
  ['expandDims to 9 axes', () => x(1, 1, 1, 1, 1, 1, 1, 1).expandDims(0), 'at most 8 are possible'],
  ['transpose', () => x(2, 3).transpose([0, 0]), 'transpose: (0, 0) must name each axis of [2, 3] once'],
  [
    'swapAxes',
    () => x(2, 3).swapAxes(0, 2),
    'swapAxes: axis 2 of a tensor of shape [2, 3]; it has axes -2 to 1',
  ],
  ['expand', () => x(2, 3).expand([4, 3]), 'expand: [2, 3] does not broadcast to [4, 3]'],
  [
    'slice',
    () => x(4).slice([0, 4, 0]),
    'slice: range (0, 4, 0) of axis 0 must be whole numbers, the step not 0',
  ],
  ['slice ranges', () => x(4).slice([], []), 'slice: 2 ranges for a tensor of shape [4]'],
  [
    'pad',
    () => x(4).pad([[-1, 0]]),
    'pad: widths [[-1,0]] for shape [4]; wants [before, after] of at least 0 for each axis',
  ],
  ['flip', () => x(4).flip(1), 'flip: axis 1 of a tensor of shape [4]'],
  ['squeeze', () => x(4, 1).squeeze(0), 'squeeze: axis 0 of [4, 1] has size 4, not 1'],
  ['sum', () => x(2).sum(-2), 'sum: axis -2 of a tensor of shape [2]; it has axes -1 to 0'],
  ['sum of a scalar', () => x().sum(0), 'sum: axis 0 of a tensor of shape []; a scalar has no axes'],
  ['sum twice', () => x(2, 2).sum([0, -2]), 'sum: axes (0,-2) name an axis of [2, 2] twice'],
  ['sum of bool', () => x(2).less(1).sum(), "sum: of bool; convert with cast('i32') first"],
  ['max over nothing', () => x(2, 0).max(1), 'max: over an empty axis of [2, 0] there is no max'],
  ['matmul', () => x(2, 3).matmul(x(4, 5)), 'matmul: [2, 3] × [4, 5]; wants [..., m, k] × [..., k, n]'],
  ['matmul of a vector', () => x(3).matmul(x(3, 5)), 'matmul: [3] × [3, 5]; wants'],
  [
    'matmul batches',
    () => x(2, 3, 4).matmul(x(3, 4, 5)),
    'matmul: [2, 3, 4] × [3, 4, 5]; wants [..., m, k] × [..., k, n], where the leading axes broadcast',
  ],
  [
    'matmul of integers',
    () => ints(2, 3).matmul(ints(3, 2)),
    'matmul: got i32 × i32, wants f32 or f16 of each; convert with cast',
  ],
  ['gather', () => x(2, 3).gather(x(4)), 'gather: indices are f32, wants i32 or u32; convert with cast'],
  [
    'gather batches',
    () => x(2, 3).gather(ints(4), { batchDims: 1 }),
    'gather: [2, 3] at indices [4] with 1 batch axes',
  ],
  [
    'scatterAdd',
    () => x(2, 3).scatterAdd(ints(4), 5),
    'scatterAdd: updates [2, 3] at indices [4] with 0 batch axes',
  ],
  [
    'scatterAdd rows',
    () => x(2, 3).scatterAdd(ints(2), -1),
    'scatterAdd: shape [-1, 3] must be made of whole numbers of at least 0',
  ],
  ['scatterAdd batches', () => x(2).scatterAdd(ints(2), 5, { batchDims: -1 }), 'with -1 batch axes'],
  [
    'scatterAdd of bools',
    () => x(2).less(1).scatterAdd(ints(2), 5),
    'scatterAdd: updates are bool, indices i32; wants f32, f16, i32 or u32 at i32 or u32',
  ],
  [
    'attention',
    () => lib.attention(x(1, 2, 3, 4), x(1, 5, 3, 2), x(1, 5, 3, 4)),
    'wants f32 or f16 [batch, queries, heads, dim] and twice [batch, keys, heads, dim]',
  ],
  [
    'attention mask',
    () => lib.attention(x(1, 2, 3, 4), x(1, 2, 3, 4), x(1, 2, 3, 4), { mask: x(2) }),
    'attention: the mask is f32, wants bool',
  ],
  ['concatenate', () => lib.concatenate([x(2, 3), x(2, 4)]), 'concatenate: f32[2, 4] does not fit f32[2, 3]'],
  ['concatenate nothing', () => lib.concatenate([]), 'concatenate: no tensors were given'],
  ['stack nothing', () => lib.stack([]), 'stack: no tensors were given'],
  ['split', () => lib.split(x(5), 2), 'split: axis 0 of [5] does not divide into 2 equal parts'],
  ['tensor ragged', () => tensor([[1, 2], [3]]), 'tensor: ragged array; found 1 elements where [2, 2] has 2'],
  [
    'tensor ragged numbers',
    () => tensor([[1, 2], 3]),
    'tensor: ragged array; found a number where [2, 2] has an array',
  ],
  [
    'tensor ragged arrays',
    () => tensor([1, [2]]),
    'tensor: ragged array; found 1 elements where [2] has a number',
  ],
  [
    'tensor size',
    () => tensor(new Float32Array(5), [2, 3]),
    'tensor: 5 values for shape [2, 3], which has 6 elements',
  ],
  ['tensor value', () => tensor([1.5], [1], { dtype: 'i32' }), 'tensor: 1.5 is not a value of i32'],
  ['tensor NaN', () => tensor([Number.NaN], [1], { dtype: 'u32' }), 'tensor: NaN is not a value of u32'],
  [
    'tensor too large',
    () => tensor(Float32Array.of(2 ** 31), [1], { dtype: 'i32' }),
    'tensor: 2147483648 is not a value of i32',
  ],
  ['full', () => full([2], 0.5, { dtype: 'i32' }), 'full: 0.5 is not a value of i32'],
  ['full shape', () => full([2, -1], 0), 'full: shape [2, -1] must be made of whole numbers of at least 0'],
  [
    'full of 9 axes',
    () => full([1, 1, 1, 1, 1, 1, 1, 1, 1], 0),
    'full: shape [1, 1, 1, 1, 1, 1, 1, 1, 1] has 9 axes, at most 8',
  ],
  ['iota', () => iota([2], 1), 'iota: axis 1 of a tensor of shape [2]'],
  ['randomKey', () => lib.randomKey(-1), 'randomKey: seed -1; wants a whole number of at least 0'],
  ['randomKey fraction', () => lib.randomKey(0.5), 'randomKey: seed 0.5'],
  [
    'uniform',
    () => lib.uniform(x(2), [3]),
    'randomBits: Tensor(f32[2] on reference) is not a key; make one with randomKey(seed) or splitKey(key, n)',
  ],
  [
    'splitKey',
    () => lib.splitKey(lib.randomKey(1), -1),
    'splitKey: -1 keys; wants a whole number of at least 0',
  ],
  [
    'bernoulli',
    () => lib.bernoulli(lib.randomKey(1), 1.5, [2]),
    'bernoulli: probability 1.5; wants a number from 0 to 1',
  ],
  [
    'mapTree',
    () => lib.mapTree((a) => a, { a: x(1), b: x(1) }, { a: x(1), c: x(1) } as never),
    'mapTree: trees of 2 and 2 tensors differ (first at b)',
  ],
];

test.each(refused)('%s', (_, run, message) => {
  expect(run).toThrow(message);
});

describe('tensors that are gone', () => {
  test('disposed', async () => {
    const [made, computed, lazy] = [tensor([1]), tensor([1]).add(1), tensor([1]).add(1)];
    await computed.data();
    for (const gone of [made, computed, lazy]) {
      gone.dispose();
      gone.dispose();
      expect(() => gone.exp()).toThrow('exp: Tensor(f32[1] on reference) was disposed of');
      expect(() => gone.sum()).toThrow('sum: Tensor(f32[1] on reference) was disposed of');
      expect(() => jit((y: Tensor) => y)(gone)).toThrow('jit: Tensor(f32[1] on reference) was disposed of');
      await expect(gone.data()).rejects.toThrow('data: Tensor(f32[1] on reference) was disposed of');
    }
  });

  test('what was made of a lazy tensor survives its end; of a computed one not', async () => {
    const lazy = tensor([1]).add(1);
    const fromLazy = lazy.mul(3);
    lazy.dispose();
    expect(await read(fromLazy)).toEqual([6]);
    const made = tensor([1]);
    const fromMade = made.mul(3);
    made.dispose();
    await expect(fromMade.data()).rejects.toThrow('a tensor of shape [1] was disposed before it was used');
  });

  test('using ends with its block', () => {
    let outside: Tensor;
    {
      using inside = tensor([1]);
      outside = inside;
    }
    expect(() => outside.add(1)).toThrow('was disposed of');
  });

  test('of another device', () => {
    const other = tensor([1], [1], { device: createReferenceDevice() });
    expect(() => tensor([1]).add(other)).toThrow(/^add: .* and .* are on different devices; copy one/);
  });

  test('of a device that was destroyed, which leaves the process without one', async () => {
    const gone = tensor([1]);
    const lazy = gone.add(1);
    lib.destroyDevice(lib.defaultDevice());
    expect(() => gone.add(1)).toThrow('add: Tensor(f32[1] on reference) is gone, its device was destroyed');
    await expect(gone.data()).rejects.toThrow('its device was destroyed');
    await expect(lazy.data()).rejects.toThrow('its device was destroyed');
    gone.dispose();
    expect(() => tensor([1])).toThrow('there is no device yet; call `await init()` before making tensors');
  });

  test('init refuses a device that it does not know', async () => {
    await expect(lib.init({ device: 'abacus' as never })).rejects.toThrow(
      'device "abacus" is unknown; choose one of webgpu, wasm, reference',
    );
    expect((await lib.init({ device: 'reference' })).kind).toBe('reference');
  });

  test('item of more than one element', async () => {
    await expect(x(2).item()).rejects.toThrow('item: a tensor of shape [2] has 2 elements, not 1');
    await expect(x(0).item()).rejects.toThrow('item: a tensor of shape [0] has 0 elements, not 1');
    expect(await full([1, 1], 3).item()).toBe(3);
  });
});

describe('edges', () => {
  test('nothing: sums, products, means, matrix products, gathers of nothing', async () => {
    expect(await read(x(2, 0).sum(1))).toEqual([0, 0]);
    expect(await read(x(2, 0).product(1))).toEqual([1, 1]);
    expect(await read(x(2, 0).mean(1))).toEqual([NaN, NaN]);
    expect(await read(ints(0, 2).mean(1))).toEqual([]);
    expect(await read(x(2, 0).matmul(x(0, 2)))).toEqual([0, 0, 0, 0]);
    expect(await read(x(0, 2).matmul(x(2, 2)))).toEqual([]);
    expect(await read(x(0, 2).gather(ints(2)))).toEqual([0, 0, 0, 0]);
    expect(await read(x(0, 2).scatterAdd(ints(0), 2))).toEqual([0, 0, 0, 0]);
    expect(await read(lib.all(x(0).less(1)))).toEqual([1]);
    expect(await read(lib.any(x(0).less(1)))).toEqual([0]);
    expect((await x(0).data()).constructor).toBe(Float32Array);
    expect((await zeros([0], { dtype: 'u32' }).data()).constructor).toBe(Uint32Array);
    expect(await read(lib.concatenate([x(0), ones([2]), x(0)]))).toEqual([1, 1]);
    expect(await read(tensor([]))).toEqual([]);
    expect(await read(lib.logSumExp(full([2], Number.NEGATIVE_INFINITY)))).toEqual([-Infinity]);
  });

  test('nothing beside something in one schedule', async () => {
    const none = x(2, 0).add(1);
    const out = lib.evaluate([none, none.sum(1), none.reshape([0])]);
    expect(await Promise.all(out.map(read))).toEqual([[], [0, 0], []]);
  });

  test('8 axes', async () => {
    const shape = [2, 1, 2, 1, 2, 1, 2, 1];
    const wide = iota(shape, 6).add(iota(shape, 0).mul(10)).transpose();
    expect(wide.shape).toEqual([1, 2, 1, 2, 1, 2, 1, 2]);
    expect(await read(wide.sum([0, 1, 2, 3, 4, 5, 6]))).toEqual([4, 84]);
    expect(await read(wide.slice([], [1]).max([3, 5, 7]))).toEqual([11]);
  });

  test('NaN and infinities pass as in IEEE 754', async () => {
    const v = tensor([Number.NaN, Infinity, -Infinity, -1, 0]);
    expect(await read(v.add(1))).toEqual([NaN, Infinity, -Infinity, 0, 1]);
    expect(await read(v.sqrt())).toEqual([NaN, Infinity, NaN, NaN, 0]);
    expect(await read(v.maximum(0))).toEqual([NaN, Infinity, 0, 0, 0]);
    expect(await read(v.less(0))).toEqual([0, 0, 1, 1, 0]);
    expect(await read(v.equal(v))).toEqual([0, 1, 1, 1, 1]);
    expect(await read(v.notEqual(v))).toEqual([1, 0, 0, 0, 0]);
    expect(await v.sum().item()).toBeNaN();
    expect(await v.max().item()).toBeNaN();
    expect(await read(v.cast('i32'))).toEqual([0, 2147483647, -2147483648, -1, 0]);
    expect(await read(v.cast('u32'))).toEqual([0, 4294967295, 0, 0, 0]);
    expect(await read(v.cast('bool'))).toEqual([1, 1, 1, 1, 0]);
    expect(await lib.argMax(v).item()).toBe(0);
  });

  test('integers wrap, and a division by zero is 0', async () => {
    const v = tensor(Int32Array.of(7, -7, -(2 ** 31)));
    expect(await read(v.div(0))).toEqual([0, 0, 0]);
    expect(await read(v.remainder(0))).toEqual([0, 0, 0]);
    expect(await read(v.div(2))).toEqual([3, -3, -(2 ** 30)]);
    expect(await read(v.remainder(2))).toEqual([1, -1, 0]);
    expect(await read(v.neg())).toEqual([-7, 7, -(2 ** 31)]);
    expect(await read(v.sub(2 ** 31 - 1))).toEqual([-2147483640, 2147483642, 1]);
  });

  test('an index out of range reads zeros and is dropped when adding', async () => {
    const at = tensor(Int32Array.of(-1, 1, 2, 2 ** 31 - 1, -(2 ** 31)));
    expect(await read(tensor([5, 6]).gather(at))).toEqual([0, 6, 0, 0, 0]);
    expect(await read(ones([5]).scatterAdd(at, 2))).toEqual([0, 1]);
    expect(await read(lib.oneHot(at, 2))).toEqual([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  });

  test('every value of every dtype goes in and out', async () => {
    expect(await read(tensor([true, false]))).toEqual([1, 0]);
    expect(tensor([true]).dtype).toBe('bool');
    expect(await read(tensor([2, 0], [2], { dtype: 'bool' }))).toEqual([1, 0]);
    expect(await read(full([], 5, { dtype: 'bool' }))).toEqual([1]);
    expect(await read(tensor(Uint32Array.of(2 ** 32 - 1)))).toEqual([2 ** 32 - 1]);
    expect(await read(tensor([[[1, 2]], [[3, 4]]]))).toEqual([1, 2, 3, 4]);
    expect(String(tensor(Int32Array.of(1, 2), [1, 2]))).toBe('Tensor(i32[1, 2] on reference)');
    expect(tensor(1)).toBeInstanceOf(Tensor);
  });
});
