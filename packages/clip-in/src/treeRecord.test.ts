import { createReferenceDevice } from '@clipin/kernel';
import { setDefaultDevice, tensor, zeros } from '@clipin/tensor';
import { beforeAll, expect, it } from 'vitest';
import { recordToTree, treeToRecord } from './treeRecord';

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

const tree = () => ({
  params: {
    blocks: [
      {
        weight: tensor([
          [1, 2],
          [3, 4],
        ]),
      },
      { weight: tensor([5]).mul(2) },
    ],
    heads: 4,
  },
  key: tensor(Uint32Array.of(1, 0xffffffff)),
  step: tensor(Int32Array.of(-3), []),
});

it('names tensors by their path and reads lazy ones', async () => {
  expect(await treeToRecord(tree())).toEqual({
    'params.blocks.0.weight': { dtype: 'f32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    'params.blocks.1.weight': { dtype: 'f32', shape: [1], data: Float32Array.of(10) },
    key: { dtype: 'u32', shape: [2], data: Uint32Array.of(1, 0xffffffff) },
    step: { dtype: 'i32', shape: [], data: Int32Array.of(-3) },
  });
});

it('goes back to the same tree, with the static parts of the template', async () => {
  const record = await treeToRecord(tree());
  const back = recordToTree(tree(), record);
  expect(back.params.heads).toBe(4);
  expect(await treeToRecord(back)).toEqual(record);
});

it('takes a part by its prefix', async () => {
  const record = await treeToRecord(tree());
  const params = recordToTree(tree().params, record, { prefix: 'params' });
  expect(Array.from(await params.blocks[1]!.weight.data())).toEqual([10]);
});

it('lists everything that does not fit', async () => {
  const record = await treeToRecord(tree());
  const template = {
    params: { blocks: [{ weight: zeros([2, 3]) }], bias: zeros([2]) },
    key: zeros([2]),
    step: tree().step,
  };
  expect(() => recordToTree(template, record)).toThrow(
    [
      'recordToTree: 4 of the tensors do not fit the model:',
      '  params.blocks.0.weight: is f32 [2, 2], f32 [2, 3] needed',
      '  params.bias: missing, f32 [2] needed',
      '  key: is u32 [2], f32 [2] needed',
      '  params.blocks.1.weight: left over, f32 [1]',
    ].join('\n'),
  );
  await expect(treeToRecord({ mask: tensor([true]) })).rejects.toThrow('mask is bool');
});

it('keeps f16 as its bits, and takes it for no other dtype', async () => {
  const half = { w: tensor([1.5, -0.1, 65504], undefined, { dtype: 'f16' }) };
  const record = await treeToRecord(half);
  expect(record).toEqual({ w: { dtype: 'f16', shape: [3], data: Uint16Array.of(0x3e00, 0xae66, 0x7bff) } });
  const back = recordToTree(half, record);
  expect([back.w.dtype, await treeToRecord(back)]).toEqual(['f16', record]);
  expect(() => recordToTree({ w: zeros([3]) }, record)).toThrow('w: is f16 [3], f32 [3] needed');
});
