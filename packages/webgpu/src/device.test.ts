/** Memory, order, errors and loss of a device. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createWebgpuDevice } from './create';
import type { WebgpuDevice } from './device';
import { Pipelines } from './pipelines';
import { mostInFlight } from './queue';
import { addLaunch } from './test-kernels';
import { noise, softwareDevice } from './test-support';

describe('a device', () => {
  let device: WebgpuDevice;
  beforeAll(async () => {
    device = await softwareDevice();
  });
  afterAll(() => device.destroy());

  test('says what it is and what it can', () => {
    expect(device.kind).toBe('webgpu');
    expect(device.description).toMatch(/^webgpu, .+ \(software\)$/);
    expect(device.limits.kernelBuffers).toBeGreaterThanOrEqual(7);
    expect(device.limits.bufferBytes).toBeGreaterThanOrEqual(2 ** 27);
  });

  test('counts what users hold, and hands freed memory out again', () => {
    const before = { bytes: device.memory.bytes, buffers: device.memory.buffers };
    const create = vi.spyOn(device.gpu, 'createBuffer');
    const first = device.allocate('f32', 1003);
    expect(device.memory.bytes).toBe(before.bytes + 4012);
    device.free(first);
    expect(device.memory).toMatchObject(before);
    device.free(device.allocate('i32', 1003));
    expect(create).toHaveBeenCalledTimes(1);
    create.mockRestore();
    expect(() => device.free(first)).toThrow(/was freed/);
  });

  test('refuses a buffer beyond the limit, with both sizes, and goes on', () => {
    const length = device.limits.bufferBytes / 4 + 1;
    expect(() => device.allocate('f32', length)).toThrow(
      new RegExp(`${length} elements of f32 take ${length * 4} bytes .*has ${device.limits.bufferBytes}`),
    );
    expect(() => device.allocate('f32', 1.5)).toThrow(/whole number of elements, got 1.5/);
    device.free(device.allocate('f32', 1));
  });

  test('runs hundreds of dispatches in order, in batches', async () => {
    const [one, sum] = [device.allocate('f32', 4), device.allocate('f32', 4)];
    device.write(one, Float32Array.of(1, 2, 3, 4));
    device.write(sum, new Float32Array(4));
    const program = device.load(Array(200).fill(addLaunch([4], [1], [1], [0, 1, 1])));
    const submit = vi.spyOn(device.gpu.queue, 'submit');
    program.run([one, sum]);
    expect(await device.read(sum)).toEqual(Float32Array.of(200, 400, 600, 800));
    expect(submit.mock.calls.length).toBeLessThanOrEqual(5);
    submit.mockRestore();
    program.free();
    expect(() => program.run([one, sum])).toThrow(/was freed/);
    device.free(one);
    device.free(sum);
  });

  test('gives the GPU a step or two ahead of what it has finished, and all of it in the end', async () => {
    const [one, sum] = [device.allocate('f32', 4), device.allocate('f32', 4)];
    device.write(one, Float32Array.of(1, 2, 3, 4));
    device.write(sum, new Float32Array(4));
    const [each, runs] = [192, 40]; // whole passes
    const program = device.load(Array(each).fill(addLaunch([4], [1], [1], [0, 1, 1])));
    await program.ready();
    const { queue } = device.gpu;
    const settled = queue.onSubmittedWorkDone();
    let [submitted, most] = [0, 0];
    const submit = vi.spyOn(queue, 'submit').mockImplementation((commands) => {
      most = Math.max(most, ++submitted);
      Object.getPrototypeOf(queue).submit.call(queue, commands);
      void queue.onSubmittedWorkDone().then(() => submitted--);
    });
    await settled;
    for (let i = 0; i < runs; i++) program.run([one, sum]);
    expect(await device.read(sum)).toEqual(Float32Array.of(1, 2, 3, 4).map((n) => n * each * runs));
    expect(submit.mock.calls.length).toBeGreaterThanOrEqual((each * runs) / 64);
    // A program is not cut; the read is a submission too, and this test hears of an end later than the queue.
    expect(most).toBeLessThanOrEqual((mostInFlight + each) / 64 + 4);
    submit.mockRestore();
    program.free();
    device.free(one);
    device.free(sum);
  });

  test('keeps bind groups while buffers come back', async () => {
    const [a, b, c, ...more] = [0, 1, 2, 3, 4].map(() => device.allocate('f32', 8)) as [never, never, never];
    const program = device.load([addLaunch([8])]);
    const bind = vi.spyOn(device.gpu, 'createBindGroup');
    // As donated buffers go round in a loop.
    const ring = [a, b, c, ...more];
    for (let i = 0; i < 15; i++) {
      program.run(ring);
      ring.push(ring.shift() as never);
    }
    await device.read(a);
    expect(bind).toHaveBeenCalledTimes(5);
    bind.mockRestore();
    for (const buffer of more) device.free(buffer);
    for (const buffer of [a, b, c]) device.free(buffer);
    expect(() => program.run([a, b, c])).toThrow(/was freed/);
    expect(() => program.run([])).toThrow(/a buffer is missing/);
  });

  test('writes wait for what was queued before, and copy', async () => {
    const [a, b, c] = [0, 1, 2].map(() => device.allocate('f32', 6)) as [never, never, never];
    const data = noise(6);
    device.write(a, data);
    device.write(b, new Float32Array(6));
    // A kernel with a text of its own, so that the writes below find it still compiling.
    const program = device.load([addLaunch([2, 3], [1, 2], [3, 1])]);
    program.run([a, b, c]);
    const reading = device.read(c);
    const later = Float32Array.of(9, 9, 9, 9, 9, 9);
    device.write(a, later);
    later.fill(5);
    expect(Array.from(await reading)).toEqual([0, 2, 4, 1, 3, 5].map((i) => data[i]));
    expect(await device.read(a)).toEqual(new Float32Array(6).fill(9));
    for (const buffer of [a, b, c]) device.free(buffer);
  });

  test('a program that is ready runs at once', async () => {
    const [a, b, c] = [0, 1, 2].map(() => device.allocate('f32', 6)) as [never, never, never];
    // A text of its own, so that it is not compiled yet.
    const program = device.load([addLaunch([3, 2], [1, 3], [2, 1])]);
    await program.ready();
    const submit = vi.spyOn(device.gpu.queue, 'submit');
    program.run([a, b, c]);
    // At the end of this turn, without waiting for anything.
    await Promise.resolve();
    expect(submit).toHaveBeenCalledTimes(1);
    submit.mockRestore();
    for (const buffer of [a, b, c]) device.free(buffer);
  });

  test('an error of queued work comes out at the next run and read, once', async () => {
    const buffer = device.allocate('f32', 4);
    device.gpu.createBuffer({ size: 4, usage: 0 });
    await expect(device.read(buffer)).rejects.toThrow(/^webgpu: .*usage/is);
    await expect(device.read(buffer)).resolves.toHaveLength(4);
    device.free(buffer);
  });

  test('a kernel that does not compile is an error with its code', async () => {
    const dispatch = { code: 'fn main( {', words: [], buffers: [], workgroups: [1, 1] } as const;
    const { ready } = new Pipelines(device.gpu).get(dispatch);
    await expect(ready).rejects.toThrow(/does not compile[\s\S]*fn main\( \{/);
    const buffer = device.allocate('f32', 1);
    await device.read(buffer).catch(() => undefined);
    device.free(buffer);
  });
});

test('memory that runs out is an error with the sizes, and the device goes on', async () => {
  const device = await softwareDevice();
  const small = device.allocate('f32', 4);
  // SwiftShader adds a few bytes to the largest buffer it allows, and then has no room for it.
  const whole = device.allocate('f32', device.limits.bufferBytes / 4);
  const message = /out of memory: \d+ elements of f32 \(.* MiB\) were asked for with .* in 2 buffers in use/;
  await expect(device.read(small)).rejects.toThrow(message);
  device.free(whole);
  device.write(small, Float32Array.of(1, 2, 3, 4));
  await expect(device.read(small)).resolves.toEqual(Float32Array.of(1, 2, 3, 4));
  device.destroy();
});

test('a lost device rejects what is pending, then throws; a new one works', async () => {
  const device = await softwareDevice();
  const [a, b, c] = [0, 1, 2].map(() => device.allocate('f32', 64)) as [never, never, never];
  const program = device.load([addLaunch([64])]);
  program.run([a, b, c]);
  const pending = device.read(c);
  device.gpu.destroy();
  await expect(pending).rejects.toThrow(/device was lost \(destroyed.*create a new one/);
  expect(() => program.run([a, b, c])).toThrow(/device was lost/);
  expect(() => device.allocate('f32', 1)).toThrow(/device was lost/);
  expect(() => device.write(a, noise(64))).toThrow(/device was lost/);
  await expect(device.read(c)).rejects.toThrow(/device was lost/);
  device.free(a);
  expect(device.memory.buffers).toBe(2);

  const next = await softwareDevice();
  const buffer = next.allocate('f32', 2);
  next.write(buffer, Float32Array.of(1, 2));
  expect(await next.read(buffer)).toEqual(Float32Array.of(1, 2));
  next.destroy();
  await expect(next.read(buffer)).rejects.toThrow(/device was destroyed/);
});

test('the adapter asked for, or an error that says what was tried', async () => {
  const device = await createWebgpuDevice({ adapter: 'software' });
  expect(device.description).toMatch(/\(software\)$/);
  device.destroy();
  await expect(createWebgpuDevice({ adapter: 'fast' as 'any' })).rejects.toThrow(
    /'fast'; 'hardware', 'software'/,
  );
  const hardware = await createWebgpuDevice({ adapter: 'hardware' }).catch((error: Error) => error);
  if (hardware instanceof Error)
    expect(hardware.message).toMatch(/no hardware adapter. Tried: .+ To get one, .+/);
  else hardware.destroy();
});

test('a process with a device ends by itself', { timeout: 60_000 }, async () => {
  const script = `
    import { createWebgpuDevice } from '@clipin/webgpu';
    const device = await createWebgpuDevice({ adapter: 'software' });
    const buffer = device.allocate('f32', 3);
    device.write(buffer, Float32Array.of(1, 2, 3));
    console.log('read', (await device.read(buffer)).join());
  `;
  const options = ['--conditions=clipin-source', '--import', 'tsx', '--input-type=module', '-e', script];
  const cwd = fileURLToPath(new URL('..', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd, timeout: 50_000 });
  expect(stdout).toContain('read 1,2,3');
});
