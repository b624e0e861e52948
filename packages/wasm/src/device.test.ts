/** The device as a whole: options, counters, errors that leave it working, threads, the end of the process. */
import { spawnSync } from 'node:child_process';
import type { Device, DeviceBuffer, Kernel, Launch } from '@clipin/kernel';
import { afterEach, describe, expect, test } from 'vitest';
import { noise, runCase } from './compare.test-helpers';
import { createWasmDevice } from './index';

const devices: Device[] = [];
async function create(threads = 2): Promise<Device> {
  const device = await createWasmDevice({ threads, blas: false });
  devices.push(device);
  return device;
}
afterEach(() => {
  for (const device of devices.splice(0)) device.destroy();
});

/** `output[i] = input[offset + i] + 1`. */
const increment = (length: number, offset = 0): Kernel => ({
  kind: 'loop',
  axes: [length],
  program: [
    { op: 'load', dtype: 'f32', input: 0, index: { offset, strides: [1] }, guards: [] },
    { op: 'constant', dtype: 'f32', value: 1 },
    { op: 'add', dtype: 'f32', args: [0, 1] },
  ],
  stores: [2],
});
const launch = (kernel: Kernel, input = 0, output = 1): Launch => ({
  kernel,
  inputs: [input],
  inputTypes: ['f32'],
  outputs: [output],
  outputTypes: ['f32'],
});

describe('making a device', () => {
  test('the description names what it uses', async () => {
    expect((await create(1)).description).toMatch(/^wasm, 1 thread, (relaxed )?SIMD$/);
    expect((await create(3)).description).toMatch(/^wasm, 3 threads, (relaxed )?SIMD$/);
    expect((await create(1)).kind).toBe('wasm');
  });

  test('threads must be a whole number from 1 to 16', async () => {
    for (const threads of [0, 17, 1.5, Number.NaN]) {
      await expect(createWasmDevice({ threads })).rejects.toThrow(
        `threads must be a whole number from 1 to 16, got ${threads}`,
      );
    }
  });

  test('a process with a device that was not destroyed ends by itself', { timeout: 60_000 }, () => {
    const script = `
      import { createWasmDevice } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
      const device = await createWasmDevice({ threads: 4 });
      const buffer = device.allocate('f32', 8);
      console.log((await device.read(buffer)).length);`;
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--conditions=clipin-source', '--import', 'tsx', '--input-type=module', '--eval', script],
      { encoding: 'utf8', timeout: 50_000 },
    );
    expect(stderr).toBe('');
    expect({ status, stdout }).toEqual({ status: 0, stdout: '8\n' });
  });
});

describe('memory', () => {
  test('counts live buffers and their bytes, not those of programs', async () => {
    const device = await create();
    const a = device.allocate('f32', 100);
    const b = device.allocate('bool', 7);
    const program = device.load([launch(increment(100))]);
    expect(device.memory).toEqual({ bytes: 428, buffers: 2 });
    device.free(a);
    program.free();
    expect(device.memory).toEqual({ bytes: 28, buffers: 1 });
    device.free(b);
    expect(device.memory).toEqual({ bytes: 0, buffers: 0 });
  });

  test('grows while programs and their buffers stay where they are', async () => {
    const device = await create();
    const length = 50_000;
    const [input, output] = [device.allocate('f32', length), device.allocate('f32', length)];
    device.write(input, noise(length));
    const program = device.load([launch(increment(length))]);
    program.run([input, output]);
    const before = await device.read(output);
    const large = device.allocate('f32', 30_000_000);
    program.run([input, output]);
    expect(await device.read(output)).toEqual(before);
    device.free(large);
  });

  test('what cannot be had is an error with sizes, and the device goes on', async () => {
    const device = await create();
    expect(() => device.allocate('f32', 2 ** 31)).toThrow(
      /out of memory: 8589934592 bytes asked for, .* at most 4294967296/,
    );
    expect(device.memory).toEqual({ bytes: 0, buffers: 0 });
    const [output] = await runCase(device, {
      kernel: increment(3),
      inputs: [{ dtype: 'f32', data: Float32Array.of(1, 2, 3) }],
      outputs: [{ dtype: 'f32', length: 3 }],
    });
    expect([...(output ?? [])]).toEqual([2, 3, 4]);
  });

  test('a length that is no whole number is an error', async () => {
    const device = await create(1);
    expect(() => device.allocate('f32', -1)).toThrow('length must be a whole number, got -1');
  });
});

describe('mistakes of the caller', () => {
  test('buffers of another device, freed buffers and wrong lengths', async () => {
    const [device, other] = [await create(1), await create(1)];
    const foreign = other.allocate('f32', 4);
    expect(() => device.write(foreign, new Float32Array(4))).toThrow('not one of this wasm device');
    await expect(device.read(foreign)).rejects.toThrow('not one of this wasm device');
    const mine = device.allocate('f32', 4);
    expect(() => device.write(mine, new Float32Array(3))).toThrow('the buffer has 4 elements, the data 3');
    const program = device.load([launch(increment(4))]);
    expect(() => program.run([mine, foreign])).toThrow('not one of this wasm device');
    expect(() => program.run([mine])).toThrow('not one of this wasm device');
    device.free(mine);
    expect(() => device.free(mine)).toThrow('free: this buffer of 4 elements was freed');
    expect(() => program.run([mine, mine])).toThrow('run: this buffer of 4 elements was freed');
    program.free();
    expect(() => program.run([])).toThrow('this program was freed');
  });

  test('a kernel that leaves the memory is an error on any thread, and the device goes on', async () => {
    const device = await create(2);
    const length = 1_000_000;
    const [input, output] = [device.allocate('f32', length), device.allocate('f32', length)];
    device.write(input, new Float32Array(length));
    const far = device.load([launch(increment(length, 2 ** 29))]);
    const near = device.load([launch(increment(length))]);
    for (let i = 0; i < 50; i++) {
      expect(() => far.run([input, output])).toThrow(/out of bounds/);
      near.run([input, output]);
      await new Promise((resolve) => setTimeout(resolve, i % 3));
    }
    expect((await device.read(output)).every((value) => value === 1)).toBe(true);
  });

  test('a destroyed device says so', async () => {
    const device = await createWasmDevice({ threads: 2 });
    const buffer = device.allocate('f32', 1);
    const program = device.load([launch(increment(1))]);
    device.destroy();
    device.destroy();
    expect(() => device.allocate('f32', 1)).toThrow('the device was destroyed');
    expect(() => program.run([buffer, buffer])).toThrow('the device was destroyed');
    await expect(device.read(buffer)).rejects.toThrow('the device was destroyed');
    expect(device.memory).toEqual({ bytes: 0, buffers: 0 });
  });
});

describe('threads', () => {
  test('many launches in a row, each reading what the one before wrote, on 1, 2 and 5 threads', async () => {
    const length = 40_000;
    const rounds = 60;
    for (const threads of [1, 2, 5]) {
      const device = await create(threads);
      const buffers: DeviceBuffer[] = [device.allocate('f32', length), device.allocate('f32', length)];
      device.write(
        buffers[0] as DeviceBuffer,
        Float32Array.from({ length }, (_, i) => i % 13),
      );
      const program = device.load(
        Array.from({ length: 2 * rounds }, (_, i) => launch(increment(length), i % 2, 1 - (i % 2))),
      );
      for (let i = 0; i < 5; i++) program.run(buffers);
      const result = await device.read(buffers[0] as DeviceBuffer);
      expect(result.every((value, i) => value === (i % 13) + 10 * rounds)).toBe(true);
    }
  });

  test('threads that fell asleep wake up for the next run', async () => {
    const device = await create(2);
    const length = 200_000;
    const buffers = [device.allocate('f32', length), device.allocate('f32', length)];
    device.write(buffers[0] as DeviceBuffer, new Float32Array(length));
    const program = device.load([launch(increment(length))]);
    for (let i = 0; i < 3; i++) {
      program.run(buffers);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    expect((await device.read(buffers[1] as DeviceBuffer)).every((value) => value === 1)).toBe(true);
  });
});
