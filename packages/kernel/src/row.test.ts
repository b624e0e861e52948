import { expect, test } from 'vitest';
import { createReferenceDevice } from './interpreter';
import { type Instruction, type Launch, launchKey, type RowKernel } from './kernel';
import { rowPasses } from './row';

const element: Instruction = {
  ...{ op: 'load', dtype: 'f32', input: 0, guards: [] },
  index: { offset: 0, strides: [3, 1] },
};
const result = (fold: number): Instruction => ({ op: 'reduced', dtype: 'f32', fold });

/** `exp(x − max) / Σ exp(x − max)`, the sums too. */
const softmax: RowKernel = {
  kind: 'row',
  axes: [2],
  row: [3],
  program: [
    element,
    result(0),
    { op: 'subtract', dtype: 'f32', args: [0, 1] },
    { op: 'exp', dtype: 'f32', args: [2] },
    result(1),
    { op: 'divide', dtype: 'f32', args: [3, 4] },
  ],
  folds: [
    { op: 'max', of: 0 },
    { op: 'sum', of: 3 },
  ],
  stores: [5],
  rowStores: [4],
};

const launch = (kernel: RowKernel): Launch => ({
  ...{ kernel, inputs: [0], inputTypes: ['f32'] },
  ...{ outputs: [1, 2], outputTypes: ['f32', 'f32'] },
});

test('passes follow from what folds depend on', () => {
  expect(rowPasses(softmax)).toEqual({
    count: 2,
    pass: [0, 1, 1, 1, 2, 2],
    varies: [true, false, true, true, false, true],
  });
});

test('independent folds share a pass', () => {
  const folds = [0, 0].map((of) => ({ op: 'sum', of }) as const);
  const program = [element, result(0), result(1)];
  expect(rowPasses({ ...softmax, program, folds, stores: [], rowStores: [1, 2] }).count).toBe(1);
});

test('a fold that depends on itself or a later one is refused', () => {
  const [first, second] = softmax.folds;
  if (!first || !second) throw new Error('softmax has two folds');
  expect(() => rowPasses({ ...softmax, folds: [second, first] })).toThrow(/instruction 1 wants fold 0/);
  expect(() => rowPasses({ ...softmax, program: [result(0), ...softmax.program.slice(1)] })).toThrow(
    /instruction 0 wants fold 0/,
  );
});

test('the reference device computes rows', async () => {
  const device = createReferenceDevice();
  const buffers = [6, 6, 2].map((length) => device.allocate('f32', length));
  const [x, y, sums] = buffers;
  if (!x || !y || !sums) throw new Error('three buffers');
  const values = [0, Math.log(2), Math.log(5), 1000, 1000, -Infinity];
  device.write(x, Float64Array.from(values));
  device.load([launch(softmax)]).run(buffers);
  const near = (wanted: readonly number[]) => wanted.map((value) => expect.closeTo(value, 12));
  expect([...(await device.read(y))]).toEqual(near([1 / 8, 2 / 8, 5 / 8, 0.5, 0.5, 0]));
  expect([...(await device.read(sums))]).toEqual(near([8 / 5, 2]));
  device.destroy();
});

test('kernels that differ in a fold or an output have keys of their own', () => {
  const variants: RowKernel[] = [
    softmax,
    { ...softmax, folds: softmax.folds.map(({ of }) => ({ op: 'max', of })) },
    { ...softmax, rowStores: [1] },
    { ...softmax, axes: [1], row: [2, 3] },
  ];
  expect(new Set(variants.map((kernel) => launchKey(launch(kernel)))).size).toBe(variants.length);
});
