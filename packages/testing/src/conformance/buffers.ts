/** Buffers: contents, errors, counters. */
import { type Device, type DType, decodeF16, type TypedArray } from '@clipin/kernel';
import { expect } from 'vitest';

const samples: Record<DType, TypedArray> = {
  f32: Float32Array.of(0, 1.5, -2.25, 3e38, 1e-30),
  f16: Float32Array.of(0, 1.5, -2.25, 65504, 2 ** -24),
  i32: Int32Array.of(0, -1, 2 ** 31 - 1, -(2 ** 31)),
  u32: Uint32Array.of(0, 1, 2 ** 32 - 1),
  bool: Uint32Array.of(1, 0, 1),
};

/** What is written is read again, for each dtype; later writes do not reach arrays read before. */
export async function checkRoundTrips(device: Device): Promise<void> {
  for (const dtype of Object.keys(samples) as DType[]) {
    const data = samples[dtype];
    const buffer = device.allocate(dtype, data.length);
    expect(buffer).toMatchObject({ dtype, length: data.length });
    device.write(buffer, data);
    const before = await device.read(buffer);
    device.write(buffer, data.slice().reverse());
    expect([...before]).toEqual([...data]);
    expect([...(await device.read(buffer))]).toEqual([...data].reverse());
    device.free(buffer);
  }
  const buffer = device.allocate('f32', 2);
  device.write(buffer, Float64Array.of(0.5, -3));
  expect([...(await device.read(buffer))]).toEqual([0.5, -3]);
  device.free(buffer);
  await checkHalves(device);
}

/** Every half is read as its number, whether its bits were written or the number; other numbers are rounded. */
async function checkHalves(device: Device): Promise<void> {
  const bits = Uint16Array.from({ length: 1 << 16 }, (_, half) => half);
  const numbers = decodeF16(bits);
  const buffer = device.allocate('f16', bits.length);
  for (const data of [bits, numbers, Float64Array.from(numbers)]) {
    device.write(buffer, new Float32Array(bits.length));
    device.write(buffer, data);
    const values = await device.read(buffer);
    const wrong = numbers.findIndex((number, half) => !Object.is(values[half], number));
    expect(wrong, `half ${wrong} was read as ${values[wrong]}`).toBe(-1);
  }
  device.free(buffer);
  const odd = device.allocate('f16', 3);
  device.write(odd, Float64Array.of(1 + 2 ** -11 + 2 ** -40, 65520, 1 + 2 ** -11));
  expect([...(await device.read(odd))]).toEqual([1 + 2 ** -10, Infinity, 1]);
  expect(() => device.write(odd, new Uint16Array(2))).toThrow(/3[\s\S]*2|2[\s\S]*3/);
  device.free(odd);
}

/** The array given to `write` may be used for something else as soon as `write` returns. */
export async function checkWriteCopies(device: Device): Promise<void> {
  const buffer = device.allocate('i32', 3);
  const data = Int32Array.of(1, 2, 3);
  device.write(buffer, data);
  data.fill(9);
  expect([...(await device.read(buffer))]).toEqual([1, 2, 3]);
  device.free(buffer);
}

/** Buffers without elements are buffers. */
export async function checkEmptyBuffers(device: Device): Promise<void> {
  const buffer = device.allocate('f32', 0);
  device.write(buffer, new Float32Array(0));
  expect(await device.read(buffer)).toHaveLength(0);
  device.free(buffer);
}

/** Wrong lengths and freed buffers are errors that say so. */
export async function checkBufferErrors(device: Device): Promise<void> {
  const buffer = device.allocate('f32', 3);
  expect(() => device.write(buffer, new Float32Array(2))).toThrow(/3[\s\S]*2|2[\s\S]*3/);
  expect(() => device.write(buffer, new Float32Array(4))).toThrow(/3[\s\S]*4|4[\s\S]*3/);
  const index = { offset: 0, strides: [1] };
  const program = device.load([
    {
      kernel: {
        kind: 'loop',
        axes: [3],
        program: [{ op: 'load', dtype: 'f32', input: 0, index, guards: [] }],
        stores: [0],
      },
      inputs: [0],
      inputTypes: ['f32'],
      outputs: [1],
      outputTypes: ['f32'],
    },
  ]);
  const output = device.allocate('f32', 3);
  device.free(buffer);
  expect(() => device.write(buffer, new Float32Array(3))).toThrow(/freed/);
  expect(() => device.free(buffer)).toThrow(/freed/);
  expect(() => program.run([buffer, output])).toThrow(/freed/);
  await expect((async () => device.read(buffer))()).rejects.toThrow(/freed/);
  program.free();
  device.free(output);
}

/** Counters follow allocations, and are back at zero when everything is freed. */
export function checkCounters(device: Device): void {
  expect(device.memory).toMatchObject({ bytes: 0, buffers: 0 });
  const buffers = [100, 0, 7].map((length) => device.allocate('f32', length));
  expect(device.memory.buffers).toBe(3);
  expect(device.memory.bytes).toBeGreaterThanOrEqual(107 * 4);
  for (const buffer of buffers) device.free(buffer);
  expect(device.memory).toMatchObject({ bytes: 0, buffers: 0 });
}
