import { expect, test } from 'vitest';
import { dtypes, emptyArray } from './dtype';

test('arrays hold every value between the lowest and the highest of their dtype', () => {
  expect(emptyArray('f32', 3)).toEqual(new Float32Array(3));
  expect(emptyArray('bool', 2)).toEqual(new Uint32Array(2));
  for (const dtype of ['i32', 'u32', 'bool'] as const) {
    const { lowest, highest } = dtypes[dtype];
    const data = emptyArray(dtype, 2);
    data.set([lowest, highest]);
    expect([...data]).toEqual([lowest, highest]);
  }
});
