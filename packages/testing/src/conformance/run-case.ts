/** A kernel with its data, run on a device and on the reference, and the comparison of what came out. */
import {
  type Device,
  type DeviceBuffer,
  type DType,
  emptyArray,
  type Launch,
  type Program,
  type TypedArray,
} from '@clipin/kernel';
import { u } from './estimate';

/** What a buffer holds before the launches: random values that follow from a seed, so that a case prints short. */
export interface Fill {
  /** `grid`: multiples of 1/8; `real`: f32 values with all their bits; `integer`: whole numbers. */
  readonly kind: 'grid' | 'real' | 'integer';
  readonly low: number;
  readonly high: number;
  readonly seed: number;
}

/** A buffer of a case; without a fill, one whose old contents must not matter. */
export interface BufferPlan {
  readonly dtype: DType;
  readonly length: number;
  readonly fill?: Fill;
}

/** An output to compare, and how far it may be from the reference. */
export interface Check {
  readonly buffer: number;
  readonly error: number;
}

/** Launches over a table of buffers, with the outputs to compare. */
export interface KernelCase {
  readonly launches: readonly Launch[];
  readonly buffers: readonly BufferPlan[];
  readonly checks: readonly Check[];
}

/** A small random generator (a Weyl sequence through a mixing function), uniform in [0, 1). */
function uniform(seed: number): () => number {
  let state = (seed * 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The contents that a plan asks for. */
export function contentsOf({ dtype, length, fill }: BufferPlan): Float32Array | Int32Array | Uint32Array {
  const data = emptyArray(dtype, length);
  if (!fill) return data.fill(dtype === 'bool' ? 1 : 77);
  const random = uniform(fill.seed);
  const { low, high } = fill;
  for (let i = 0; i < length; i++) {
    const value = low + random() * (high - low);
    data[i] =
      fill.kind === 'grid' ? Math.round(value * 8) / 8 : fill.kind === 'real' ? value : Math.round(value);
  }
  return data;
}

/** Runs launches on buffers with these contents and reads the buffers named. Frees everything. */
export async function runLaunches(
  device: Device,
  launches: readonly Launch[],
  buffers: readonly { readonly dtype: DType; readonly data: TypedArray }[],
  outputs: readonly number[],
): Promise<TypedArray[]> {
  const table: DeviceBuffer[] = [];
  let program: Program | undefined;
  try {
    for (const { dtype, data } of buffers) {
      const buffer = device.allocate(dtype, data.length);
      table.push(buffer);
      device.write(buffer, data);
    }
    program = device.load(launches);
    program.run(table);
    return await Promise.all(outputs.map((output) => device.read(table[output] as DeviceBuffer)));
  } finally {
    program?.free();
    for (const buffer of table) device.free(buffer);
  }
}

/** −∞ as a device without infinities may write it: a number below all that are in use. */
const isLowest = (value: number): boolean => value <= -1e30;

/**
 * Throws where `actual` is farther from `expected` than `error`, beside half a unit for writing it down as f32.
 * The smallest normal number is always allowed: devices may flush what is below it.
 */
export function compare(what: string, actual: TypedArray, expected: TypedArray, error: number): void {
  if (actual.length !== expected.length)
    throw new Error(`${what}: ${actual.length} elements, expected ${expected.length}`);
  const isFloat = !(actual instanceof Int32Array || actual instanceof Uint32Array);
  for (let i = 0; i < expected.length; i++) {
    const [came, wanted] = [actual[i] as number, expected[i] as number];
    if (Object.is(came, wanted) || (wanted === -Infinity && isLowest(came))) continue;
    const allowed = isFloat ? Math.max(error, u * Math.abs(wanted), 2 ** -126) : 0;
    if (!(Math.abs(came - wanted) <= allowed)) {
      throw new Error(`${what}: element ${i} is ${came}, expected ${wanted} within ${allowed}`);
    }
  }
}

/** Runs a case on both devices and compares all its outputs. */
export async function checkCase(device: Device, reference: Device, test: KernelCase): Promise<void> {
  const buffers = test.buffers.map((plan) => ({ dtype: plan.dtype, data: contentsOf(plan) }));
  const outputs = test.checks.map(({ buffer }) => buffer);
  const expected = await runLaunches(reference, test.launches, buffers, outputs);
  const actual = await runLaunches(device, test.launches, buffers, outputs);
  test.checks.forEach(({ error }, i) => {
    compare(`output ${i}`, actual[i] as TypedArray, expected[i] as TypedArray, error);
  });
}
