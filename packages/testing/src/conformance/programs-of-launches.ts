/** Programs of several launches on shared buffers, and results that depend on nothing but the data. */
import type { Affine, Device, DType, Instruction, Launch, TypedArray } from '@clipin/kernel';
import { expect } from 'vitest';
import { u } from './estimate';
import { compare, contentsOf } from './run-case';

const load = (input: number, index: Affine): Instruction => ({
  op: 'load',
  dtype: 'f32',
  input,
  index,
  guards: [],
});
const f32s = (count: number): DType[] => new Array<DType>(count).fill('f32');

const launch = (kernel: Launch['kernel'], inputs: number[], outputs: number[]): Launch => ({
  ...{ kernel, inputs, outputs },
  inputTypes: f32s(inputs.length),
  outputTypes: f32s(outputs.length),
});

/** Buffers: x [rows, columns], y [rows, columns], sums [rows], total [1]. */
function normalizeTwice(rows: number, columns: number): Launch[] {
  const element = { offset: 0, strides: [columns, 1] };
  const row = { offset: 0, strides: [1, 0] };
  const doubled = launch(
    {
      kind: 'loop',
      axes: [rows, columns],
      program: [load(0, element), { op: 'add', dtype: 'f32', args: [0, 0] }],
      stores: [1],
    },
    [0],
    [1],
  );
  const sums = (input: number, output: number) =>
    launch(
      {
        kind: 'loop',
        axes: [rows],
        reduction: { op: 'sum', dtype: 'f32', axes: [columns], program: [load(0, element)] },
        program: [{ op: 'reduced', dtype: 'f32' }],
        stores: [0],
      },
      [input],
      [output],
    );
  // y ← y + sums, in place: reads what the launch before it wrote, and is read by the one after it.
  const shifted = launch(
    {
      kind: 'loop',
      axes: [rows, columns],
      program: [load(0, element), load(1, row), { op: 'add', dtype: 'f32', args: [0, 1] }],
      stores: [2],
    },
    [1, 2],
    [1],
  );
  const total = launch(
    {
      kind: 'loop',
      axes: [],
      reduction: { op: 'sum', dtype: 'f32', axes: [rows], program: [load(0, { offset: 0, strides: [1] })] },
      program: [{ op: 'reduced', dtype: 'f32' }],
      stores: [0],
    },
    [2],
    [3],
  );
  return [doubled, sums(1, 2), shifted, sums(1, 2), total];
}

/** Launches see what earlier launches of the program wrote; a program can be run again, on other buffers too. */
export async function checkOrderOfLaunches(device: Device): Promise<void> {
  const [rows, columns] = [5, 33];
  const program = device.load(normalizeTwice(rows, columns));
  const tables = [1, 2, 1].map((seed) => {
    const fill = { kind: 'grid', low: -4, high: 4, seed } as const;
    const data = contentsOf({ dtype: 'f32', length: rows * columns, fill });
    const buffers = [rows * columns, rows * columns, rows, 1].map((n) => device.allocate('f32', n));
    device.write(buffers[0] as (typeof buffers)[0], data);
    return { data, buffers };
  });
  for (const { buffers } of tables) program.run(buffers);
  // And the first one again, after the others.
  program.run((tables[0] as (typeof tables)[0]).buffers);
  for (const { data, buffers } of tables) {
    // Doubled, every element grew by its row's sum: the sums of the rows are (1 + columns) times 2 Σ.
    const total = Float64Array.from(data).reduce((sum, value) => sum + value, 0) * 2 * (1 + columns);
    const last = await device.read(buffers[3] as (typeof buffers)[0]);
    expect([...last]).toEqual([total]);
    for (const buffer of buffers) device.free(buffer);
  }
  program.free();
}

/** A write queued after a run does not change what the run reads, and the next run sees it. */
export async function checkWritesBetweenRuns(device: Device): Promise<void> {
  const index = { offset: 0, strides: [1] };
  const program = device.load([
    launch(
      {
        kind: 'loop',
        axes: [4],
        program: [load(0, index), load(1, index), { op: 'add', dtype: 'f32', args: [0, 1] }],
        stores: [2],
      },
      [0, 1],
      [1],
    ),
  ]);
  const [x, sum] = [device.allocate('f32', 4), device.allocate('f32', 4)];
  device.write(sum, new Float32Array(4));
  for (const value of [1, 10, 100]) {
    device.write(x, new Float32Array(4).fill(value));
    program.run([x, sum]);
  }
  device.write(x, new Float32Array(4).fill(1000));
  expect([...(await device.read(sum))]).toEqual([111, 111, 111, 111]);
  program.free();
  device.free(x);
  device.free(sum);
}

/** A product and a sum large enough to be shared among threads and workgroups, against plain loops. */
export async function checkLargeSizes(device: Device): Promise<void> {
  const [m, n, k] = [131, 197, 259];
  const plans = [m * k, k * n].map(
    (length, i) => ({ dtype: 'f32', length, fill: { kind: 'real', low: -1, high: 1, seed: i } }) as const,
  );
  const [a, b] = plans.map(contentsOf) as [TypedArray, TypedArray];
  const product = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let l = 0; l < k; l++)
      for (let j = 0; j < n; j++)
        product[i * n + j] =
          (product[i * n + j] as number) + (a[i * k + l] as number) * (b[l * n + j] as number);
  const total = product.reduce((sum, value) => sum + value, 0);
  const launches = [
    launch(
      {
        ...{ kind: 'matmul', batch: [], m, n, k },
        a: { input: 0, index: { offset: 0, strides: [k, 1] } },
        b: { input: 1, index: { offset: 0, strides: [n, 1] } },
        program: [{ op: 'reduced', dtype: 'f32' }],
        stores: [0],
      },
      [0, 1],
      [2],
    ),
    launch(
      {
        kind: 'loop',
        axes: [],
        reduction: {
          op: 'sum',
          dtype: 'f32',
          axes: [m * n],
          program: [load(0, { offset: 0, strides: [1] })],
        },
        program: [{ op: 'reduced', dtype: 'f32' }],
        stores: [0],
      },
      [2],
      [3],
    ),
  ];
  const table = [m * k, k * n, m * n, 1].map((length) => device.allocate('f32', length));
  const [first, second, third, fourth] = table as [
    (typeof table)[0],
    (typeof table)[0],
    (typeof table)[0],
    (typeof table)[0],
  ];
  device.write(first, a);
  device.write(second, b);
  const program = device.load(launches);
  program.run(table);
  const once = [await device.read(third), await device.read(fourth)] as const;
  compare('product', once[0], product, k * u * k);
  // Sums of many are taken in parts, by vectors and threads: far fewer roundings than terms, here at most their root.
  const sizeOfAll = product.reduce((sum, value) => sum + Math.abs(value), 0);
  compare('sum', once[1], Float64Array.of(total), Math.sqrt(m * n) * u * sizeOfAll + k * u * sizeOfAll);
  program.run(table);
  // Same device, same program, same data: the same bits.
  expect(await device.read(third)).toEqual(once[0]);
  expect(await device.read(fourth)).toEqual(once[1]);
  program.free();
  for (const buffer of table) device.free(buffer);
}
