import { expect, test } from 'vitest';
import { type Launch, type LoopKernel, launchKey } from './kernel';

const index = { offset: 0, strides: [1] };

const fill = (value: number): LoopKernel => ({
  kind: 'loop',
  axes: [3],
  program: [{ op: 'constant', dtype: 'f32', value }],
  stores: [0],
});

const copy: LoopKernel = {
  kind: 'loop',
  axes: [3],
  program: [{ op: 'load', dtype: 'f32', input: 0, index, guards: [] }],
  stores: [0],
};

const launch = (kernel: LoopKernel, inputs: number[], outputs: number[]): Launch => ({
  ...{ kernel, inputs, outputs },
  inputTypes: inputs.map(() => 'f32'),
  outputTypes: outputs.map(() => 'f32'),
});

test('launches on other buffers have the same key', () => {
  expect(launchKey(launch(copy, [0], [1]))).toBe(launchKey(launch(copy, [7], [3])));
});

test('launches in place have a key of their own', () => {
  expect(launchKey(launch(copy, [0], [0]))).not.toBe(launchKey(launch(copy, [0], [1])));
  expect(launchKey(launch(copy, [0, 1], [0]))).not.toBe(launchKey(launch(copy, [0, 1], [1])));
  // An input that appears twice is written through either number.
  expect(launchKey(launch(copy, [0, 0], [0]))).not.toBe(launchKey(launch(copy, [0, 1], [0])));
});

test('other types have another key', () => {
  const floats = launch(copy, [0], [1]);
  expect(launchKey({ ...floats, inputTypes: ['i32'] })).not.toBe(launchKey(floats));
  expect(launchKey({ ...floats, outputTypes: ['i32'] })).not.toBe(launchKey(floats));
});

test('constants that JSON cannot write have different keys', () => {
  const keys = [0, -0, NaN, Infinity, -Infinity].map((value) => launchKey(launch(fill(value), [], [0])));
  expect(new Set(keys).size).toBe(5);
});
