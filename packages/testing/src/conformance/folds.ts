/** Folds whose results are exact by contract: of nothing, of NaN, and in a given order. */
import { type Device, type DType, dtypes, emptyArray, type ReduceOp } from '@clipin/kernel';
import { expect } from 'vitest';
import { contentsOf, runLaunches } from './run-case';

/** `op` over rows of `columns` values. */
async function fold(device: Device, op: ReduceOp, dtype: DType, columns: number, data: readonly number[]) {
  const rows = columns === 0 ? 3 : data.length / columns;
  const values = emptyArray(dtype, data.length);
  values.set(data);
  const index = { offset: 0, strides: [columns, 1] };
  const [output] = await runLaunches(
    device,
    [
      {
        kernel: {
          kind: 'loop',
          axes: [rows],
          reduction: {
            ...{ op, dtype, axes: [columns] },
            program: [{ op: 'load', dtype, input: 0, index, guards: [] }],
          },
          program: [{ op: 'reduced', dtype }],
          stores: [0],
        },
        ...{ inputs: [0], inputTypes: [dtype], outputs: [1], outputTypes: [dtype] },
      },
    ],
    [
      { dtype, data: values },
      { dtype, data: emptyArray(dtype, rows) },
    ],
    [1],
  );
  return [...(output ?? [])];
}

/** Empty folds give the value they start from; a NaN anywhere in a row, and only there, makes the extreme NaN. */
export async function checkExtremes(device: Device, ieee: boolean): Promise<void> {
  for (const dtype of (Object.keys(dtypes) as DType[]).filter(
    (dtype) => dtype !== 'f16' && (ieee || dtype !== 'f32'),
  )) {
    const { lowest, highest } = dtypes[dtype];
    expect(await fold(device, 'max', dtype, 0, [])).toEqual([lowest, lowest, lowest]);
    expect(await fold(device, 'min', dtype, 0, [])).toEqual([highest, highest, highest]);
  }
  if (!ieee) return;
  const columns = 9;
  const clean = Array.from({ length: columns }, (_, i) => i - 4);
  const rows = clean.map((_, at) => clean.map((value, i) => (i === at ? NaN : value)));
  const data = [...rows.flat(), ...clean];
  const nans = clean.map(() => NaN);
  expect(await fold(device, 'max', 'f32', columns, data)).toEqual([...nans, 4]);
  expect(await fold(device, 'min', 'f32', columns, data)).toEqual([...nans, -4]);
}

/** Rounding each addition to f32 in the order of the updates gives scatter-add's result to the bit. */
export async function checkScatterOrder(device: Device): Promise<void> {
  const [batch, rows, count, width] = [2, 3, 100, 5];
  const range = { kind: 'integer', low: -1, high: rows, seed: 1 } as const;
  const indices = contentsOf({ dtype: 'i32', length: batch * count, fill: range });
  const fill = { kind: 'real', low: -1, high: 1, seed: 2 } as const;
  const updates = contentsOf({ dtype: 'f32', length: batch * count * width, fill });
  const expected = new Float32Array(batch * rows * width);
  indices.forEach((row, i) => {
    if (row < 0 || row >= rows) return;
    const start = (Math.floor(i / count) * rows + row) * width;
    for (let j = 0; j < width; j++) {
      expected[start + j] = (expected[start + j] as number) + (updates[i * width + j] as number);
    }
  });
  const [actual] = await runLaunches(
    device,
    [
      {
        kernel: { kind: 'scatterAdd', dtype: 'f32', indices: 'i32', batch, rows, count, width },
        ...{ inputs: [0, 1], inputTypes: ['i32', 'f32'], outputs: [2], outputTypes: ['f32'] },
      },
    ],
    [
      { dtype: 'i32', data: indices },
      { dtype: 'f32', data: updates },
      { dtype: 'f32', data: new Float32Array(expected.length) },
    ],
    [2],
  );
  // The reference adds in float64, without rounding between.
  const tolerance = actual instanceof Float64Array ? 1e-5 : 0;
  expected.forEach((value, i) => {
    expect(Math.abs(value - (actual?.[i] ?? NaN)), `element ${i}`).toBeLessThanOrEqual(tolerance);
  });
}
