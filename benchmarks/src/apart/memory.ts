/**
 * The peak of a device's memory in a training step, beside what must be live: for each kernel of the step, in its order, the
 * bytes of every value that is still to be read, or is kept, at that moment. Parameters, the optimizer's state and the batch
 * count throughout; gradients and activations from the kernel that writes them to the last one that reads them; a value
 * written over another in place counts once. No plan of memory for that order can need less.
 */
import { tmpdir } from 'node:os';
import {
  type Device,
  type DeviceBuffer,
  type DType,
  dtypes,
  type Kernel,
  type Launch,
  sizeOf,
} from '@clipin/kernel';
import { defaultDevice } from '@clipin/tensor';
import { start } from '../libraries/clip-in';
import type { Abilities, Task } from '../library';
import { blockStep } from '../works/block-step';
import { clipInStep } from '../works/clip-in-step';
import { print } from './apart';

/** Megabytes (10⁶ bytes) of one step. */
export interface MemoryOfStep {
  readonly work: string;
  readonly peak: number;
  readonly live: number;
  readonly kernels: number;
}

const bytesOf = (dtype: DType, length: number) => dtypes[dtype].bytes * length;

/** Watches what is allocated and which programs run. */
function watch(device: Device) {
  const seen = {
    bytes: device.memory.bytes,
    peak: 0,
    launches: [] as readonly Launch[],
    buffers: [] as number[],
  };
  const { allocate, free, load } = device;
  device.allocate = (dtype, length) => {
    seen.bytes += bytesOf(dtype, length);
    seen.peak = Math.max(seen.peak, seen.bytes);
    return allocate.call(device, dtype, length);
  };
  device.free = (buffer) => {
    seen.bytes -= bytesOf(buffer.dtype, buffer.length);
    free.call(device, buffer);
  };
  device.load = (launches) => {
    const program = load.call(device, launches);
    const { run } = program;
    program.run = (buffers: readonly DeviceBuffer[]) => {
      if (launches.length >= seen.launches.length) {
        seen.launches = launches;
        seen.buffers = buffers.map(({ dtype, length }) => bytesOf(dtype, length));
      }
      run.call(program, buffers);
    };
    return program;
  };
  return seen;
}

/** Elements of an output. */
function lengthOf(kernel: Kernel, output: number): number {
  switch (kernel.kind) {
    case 'loop':
      return sizeOf(kernel.axes);
    case 'foreach':
      return kernel.lengths[Math.floor(output / kernel.stores.length)]!;
    case 'row':
      return sizeOf(kernel.axes) * (output < kernel.stores.length ? sizeOf(kernel.row) : 1);
    case 'matmul':
      return sizeOf(kernel.batch) * kernel.m * kernel.n;
    case 'scatterAdd':
      return kernel.batch * kernel.rows * kernel.width;
    case 'attention':
      return kernel.batch * kernel.heads * kernel.queries * (output === 0 ? kernel.dim : 1);
    case 'attentionBackward':
      return kernel.batch * kernel.heads * (output === 0 ? kernel.queries : kernel.keys) * kernel.dim;
  }
}

interface Value {
  readonly bytes: number;
  readonly from: number;
  /** The last kernel during which it is live. */
  until: number;
}

/** The most bytes that are live during one of the kernels. */
function mostLive(launches: readonly Launch[], buffers: readonly number[]): number {
  const written = new Set<number>();
  const kept = new Set<number>(); // there before the first kernel
  for (const { inputs, outputs } of launches) {
    for (const input of inputs) if (!written.has(input)) kept.add(input);
    for (const output of outputs) written.add(output);
  }
  const current = new Map<number, Value>();
  const values: Value[] = [];
  const put = (position: number, value: Value) => {
    current.set(position, value);
    values.push(value);
  };
  for (const position of kept) put(position, { bytes: buffers[position] ?? 0, from: 0, until: 0 });
  launches.forEach(({ kernel, inputs, outputs, outputTypes }, time) => {
    for (const input of inputs) if (!outputs.includes(input)) current.get(input)!.until = time;
    outputs.forEach((position, output) => {
      const old = current.get(position);
      if (old && inputs.includes(position)) old.until = time - 1; // in place
      const length = lengthOf(kernel, output);
      const bytes = length === undefined ? buffers[position]! : bytesOf(outputTypes[output]!, length);
      put(position, { bytes, from: time, until: time });
    });
  });
  const end = launches.length - 1;
  for (const position of kept) current.get(position)!.until = end;
  return Math.max(
    ...launches.map((_, time) =>
      values.reduce((sum, { bytes, from, until }) => sum + (from <= time && time <= until ? bytes : 0), 0),
    ),
  );
}

const megabytes = (bytes: number) => bytes / 1e6;

/** Steps on a device of their own. */
async function measure(
  name: string,
  prepare: (abilities: Abilities) => Promise<Task>,
): Promise<MemoryOfStep> {
  const { abilities } = await start({ device: 'wasm', blas: false });
  const seen = watch(defaultDevice());
  const step = await prepare(abilities);
  await step.run();
  seen.peak = 0; // from here on nothing is compiled
  for (let run = 0; run < 2; run++) await step.run();
  const live = mostLive(seen.launches, seen.buffers);
  return { work: name, peak: megabytes(seen.peak), live: megabytes(live), kernels: seen.launches.length };
}

// Before a device is started, since the making of a problem may use one of its own.
const [block, demo] = [blockStep(), clipInStep()];
const [blockProblem, demoProblem] = [await block.problem(tmpdir()), await demo.problem(tmpdir())];
print([
  await measure(block.name, async (abilities) => abilities.blockStep!(blockProblem)),
  await measure(demo.name, async (abilities) => abilities.clipInStep!(demoProblem)),
]);
