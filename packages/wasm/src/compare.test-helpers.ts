/** For this package's tests: runs one launch on a device and on the float64 reference, and says how far they are apart. */
import {
  createReferenceDevice,
  type Device,
  type DType,
  type Instruction,
  type Kernel,
  type Launch,
  type TypedArray,
} from '@clipin/kernel';

/** A kernel with the data of its inputs and the types and sizes of its outputs. */
export interface Case {
  readonly kernel: Kernel;
  readonly inputs: readonly { readonly dtype: DType; readonly data: TypedArray }[];
  readonly outputs: readonly { readonly dtype: DType; readonly length: number }[];
}

/** Runs a case; gives the outputs. */
export async function runCase(device: Device, { kernel, inputs, outputs }: Case): Promise<TypedArray[]> {
  const sources = inputs.map(({ dtype, data }) => {
    const buffer = device.allocate(dtype, data.length);
    device.write(buffer, data);
    return buffer;
  });
  const results = outputs.map(({ dtype, length }) => device.allocate(dtype, length));
  const launch: Launch = {
    kernel,
    inputs: inputs.map((_, number) => number),
    inputTypes: inputs.map(({ dtype }) => dtype),
    outputs: outputs.map((_, number) => inputs.length + number),
    outputTypes: outputs.map(({ dtype }) => dtype),
  };
  const program = device.load([launch]);
  try {
    program.run([...sources, ...results]);
    return await Promise.all(results.map((buffer) => device.read(buffer)));
  } finally {
    program.free();
    for (const buffer of [...sources, ...results]) device.free(buffer);
  }
}

/** The largest `|actual − expected| / (1 + |expected|)`; NaN and infinities must agree exactly. */
export function distance(actual: TypedArray, expected: TypedArray): number {
  if (actual.length !== expected.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const a = actual[i] as number;
    const e = expected[i] as number;
    if (Object.is(a, e) || a === e) continue;
    const error = Math.abs(a - e) / (1 + Math.abs(e));
    worst = Number.isNaN(error) ? Infinity : Math.max(worst, error);
  }
  return worst;
}

/** How far a device is from the float64 reference on a case, over all outputs. */
export async function distanceFromReference(device: Device, one: Case): Promise<number> {
  const expected = await runCase(createReferenceDevice(), one);
  const actual = await runCase(device, one);
  return Math.max(...actual.map((output, number) => distance(output, expected[number] as TypedArray)));
}

/** Numbers from −1 to 1 that are the same in every run. */
export function noise(length: number, seed = 1): Float32Array {
  let state = seed * 2654435761;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Whole numbers from 0 up to but not including `end`. */
export const wholeNumbers = (length: number, end: number, seed = 1): Int32Array =>
  Int32Array.from(noise(length, seed), (value) => Math.min(end - 1, Math.floor(((value + 1) / 2) * end)));

/** A load of an f32 input, from its beginning, at these strides. */
export const load = (input: number, strides: number[]): Instruction => ({
  op: 'load',
  dtype: 'f32',
  input,
  index: { offset: 0, strides },
  guards: [],
});
