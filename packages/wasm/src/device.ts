/** The WebAssembly device: buffers in one memory, kernels compiled once, programs run by threads. */
import {
  type Device,
  type DeviceBuffer,
  type DType,
  decodeF16,
  dtypes,
  encodeF16,
  type Launch,
  launchKey,
  type Program,
  type TypedArray,
} from '@clipin/kernel';
import { compileLaunch } from './compile';
import { availableThreads, coresOfMachine, mostThreads, probeRelaxedSimd } from './features';
import { foreachKey, foreachTable } from './foreach';
import type { Stage } from './frame';
import type { Target } from './math';
import { Allocator } from './memory';
import { ModuleBuilder } from './module';
import { type BlasSearch, describeBlas, findBlas } from './system-blas';
import { mostPieces, type Step, Threads } from './threads';

/** Options of `createWasmDevice`. */
export interface WasmDeviceOptions {
  /** Threads to compute with, the calling one included: 1 to 16. Default: what the machine runs at once, at most 16. */
  readonly threads?: number;
  /**
   * Whether matrix products may be computed by a BLAS that is installed on this machine: OpenBLAS, MKL or Accelerate.
   * Default: where one is found; the device's description names it.
   */
  readonly blas?: boolean;
}

/** A stage of a compiled kernel: its function's number and what it takes to run it. */
interface LoadedStage {
  readonly task: number;
  readonly items: number;
  readonly cost: number;
}

interface LoadedKernel {
  readonly stages: readonly LoadedStage[];
  readonly sharedBytes: number;
  readonly threadBytes: number;
}

/** Work shorter than this, in nanoseconds, is not worth a piece of its own. */
const leastPiece = 4000;
const bufferLimit = 2 ** 32 - 2 ** 24;

/** What launches with the same code have in common. */
const codeKey = (launch: Launch): string => {
  const { kernel } = launch;
  return kernel.kind === 'foreach' ? foreachKey({ ...launch, kernel }) : launchKey(launch);
};

class WasmBuffer implements DeviceBuffer {
  /** Address in the device's memory; −1 once freed. */
  address: number;

  constructor(
    readonly owner: WasmDevice,
    readonly dtype: DType,
    readonly length: number,
    address: number,
  ) {
    this.address = address;
  }
}

/** A grow-only block of scratch memory. */
class Scratch {
  address = 0;
  private bytes = 0;

  constructor(private readonly allocator: Allocator) {}

  reserve(bytes: number): void {
    if (bytes <= this.bytes) return;
    const address = this.allocator.allocate(bytes);
    if (this.bytes > 0) this.allocator.deallocate(this.address);
    this.address = address;
    this.bytes = bytes;
  }
}

class WasmDevice implements Device {
  readonly kind = 'wasm';
  readonly limits = { kernelBuffers: 64, bufferBytes: bufferLimit, operandBlock: 128 };
  readonly description: string;
  private readonly kernels = new Map<string, LoadedKernel>();
  private readonly live = new Set<WasmBuffer>();
  private liveBytes = 0;
  private readonly shared: Scratch;
  private readonly own: Scratch;
  private ownBytes = 0;

  constructor(
    private readonly allocator: Allocator,
    private readonly threads: Threads,
    private readonly target: Target,
    blas: BlasSearch,
  ) {
    this.shared = new Scratch(allocator);
    this.own = new Scratch(allocator);
    const count = threads.count === 1 ? '1 thread' : `${threads.count} threads`;
    this.description = `wasm, ${count}, ${target.relaxed ? 'relaxed SIMD' : 'SIMD'}${describeBlas(blas)}`;
  }

  get memory() {
    return { bytes: this.liveBytes, buffers: this.live.size };
  }

  allocate(dtype: DType, length: number): DeviceBuffer {
    this.check();
    if (!Number.isInteger(length) || length < 0)
      throw new RangeError(`allocate: length must be a whole number, got ${length}`);
    const buffer = new WasmBuffer(this, dtype, length, this.allocator.allocate(length * dtypes[dtype].bytes));
    this.live.add(buffer);
    this.liveBytes += length * dtypes[dtype].bytes;
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    const mine = this.mine(buffer, 'free');
    this.allocator.deallocate(mine.address);
    mine.address = -1;
    this.live.delete(mine);
    this.liveBytes -= mine.length * dtypes[mine.dtype].bytes;
  }

  write(buffer: DeviceBuffer, data: TypedArray | Uint16Array): void {
    const mine = this.mine(buffer, 'write');
    if (data.length !== mine.length) {
      throw new RangeError(`write: the buffer has ${mine.length} elements, the data ${data.length}`);
    }
    const view = this.view(mine);
    if (view instanceof Uint16Array && !(data instanceof Uint16Array)) encodeF16(data, view);
    else view.set(data);
  }

  async read(buffer: DeviceBuffer): Promise<TypedArray> {
    const view = this.view(this.mine(buffer, 'read'));
    return view instanceof Uint16Array ? decodeF16(view) : view.slice();
  }

  load(launches: readonly Launch[]): Program {
    this.check();
    const keys = launches.map(codeKey);
    this.compile(launches, keys);
    const kernels = keys.map((key) => this.kernels.get(key) as LoadedKernel);
    for (const { sharedBytes, threadBytes } of kernels) {
      this.shared.reserve(sharedBytes);
      const bytes = Math.ceil(threadBytes / 64) * 64;
      this.own.reserve(bytes * this.threads.count);
      this.ownBytes = Math.max(this.ownBytes, bytes);
    }
    return new WasmProgram(this, launches, kernels);
  }

  destroy(): void {
    this.threads.stop();
    for (const buffer of this.live) buffer.address = -1;
    this.live.clear();
    this.liveBytes = 0;
    this.kernels.clear();
  }

  /** Runs steps; called by programs. */
  run(steps: readonly Step[]): void {
    this.threads.run(steps, this.shared.address, this.own.address, this.ownBytes);
  }

  /** Memory for the buffer addresses of a program. */
  allocateTable(words: number): number {
    return this.allocator.allocate(words * 4);
  }

  freeTable(address: number): void {
    this.allocator.deallocate(address);
  }

  table(address: number, words: number): Uint32Array {
    return new Uint32Array(this.allocator.memory.buffer, address, words);
  }

  /** The buffer as one of this device that is live. */
  mine(buffer: DeviceBuffer | undefined, operation: string): WasmBuffer {
    this.check();
    if (!(buffer instanceof WasmBuffer) || buffer.owner !== this) {
      throw new TypeError(
        `${operation}: this buffer is not one of this wasm device; make it with its allocate()`,
      );
    }
    if (buffer.address < 0)
      throw new Error(`${operation}: this buffer of ${buffer.length} elements was freed`);
    return buffer;
  }

  /** How a stage is cut into pieces for the threads. */
  step({ task, items, cost }: LoadedStage, pointers: number): Step {
    const worth = Math.floor((items * cost) / leastPiece);
    const most = this.threads.count === 1 ? 1 : Math.min(items, mostPieces, this.threads.count * 32, worth);
    const pieceItems = Math.ceil(items / Math.max(1, most));
    return { task, pointers, items, pieceItems, pieces: Math.ceil(items / pieceItems) };
  }

  private view({
    dtype,
    address,
    length,
  }: WasmBuffer): Float32Array | Int32Array | Uint32Array | Uint16Array {
    const { buffer } = this.allocator.memory;
    if (dtype === 'f32') return new Float32Array(buffer, address, length);
    if (dtype === 'f16') return new Uint16Array(buffer, address, length);
    return dtype === 'i32'
      ? new Int32Array(buffer, address, length)
      : new Uint32Array(buffer, address, length);
  }

  private check(): void {
    if (this.threads.lost) throw this.threads.lost;
  }

  /** Compiles the launches that are new, all in one module. */
  private compile(launches: readonly Launch[], keys: readonly string[]): void {
    const module = new ModuleBuilder();
    const found = new Map<string, { stages: readonly Stage[]; sharedBytes: number; threadBytes: number }>();
    const names: string[] = [];
    launches.forEach((launch, number) => {
      const key = keys[number] as string;
      if (this.kernels.has(key) || found.has(key)) return;
      const compiled = compileLaunch(launch, this.target, module);
      found.set(key, compiled);
      for (const stage of compiled.stages) {
        const name = `f${names.length}`;
        module.export(name, module.add(stage.function));
        names.push(name);
      }
    });
    if (found.size === 0) return;
    let task = this.threads.addTasks(new WebAssembly.Module(module.bytes(this.isShared)), names);
    for (const [key, { stages, sharedBytes, threadBytes }] of found) {
      const loaded = stages.map(({ items, cost }) => ({ task: task++, items, cost }));
      this.kernels.set(key, { stages: loaded, sharedBytes, threadBytes });
    }
  }

  private get isShared(): boolean {
    return !(this.allocator.memory.buffer instanceof ArrayBuffer);
  }
}

class WasmProgram implements Program {
  private readonly address: number;
  private readonly words: number;
  private readonly steps: Step[] = [];
  /** For each word of the table, the buffer it is the address of; −1 of words that stay. */
  private readonly slots: number[] = [];
  private freed = false;

  constructor(
    private readonly device: WasmDevice,
    launches: readonly Launch[],
    kernels: readonly LoadedKernel[],
  ) {
    const tables = launches.map(({ kernel }) =>
      kernel.kind === 'foreach' ? foreachTable(kernel) : undefined,
    );
    const wordsOf = ({ inputs, outputs }: Launch) => inputs.length + outputs.length;
    // Buffer addresses of all launches first, then what does not change.
    const pointerWords = launches.reduce((sum, launch, i) => sum + wordsOf(launch) + (tables[i] ? 1 : 0), 0);
    this.words = tables.reduce((sum, table) => sum + (table?.words.length ?? 0), pointerWords);
    this.address = device.allocateTable(this.words);
    const memory = device.table(this.address, this.words);
    let constants = pointerWords;
    launches.forEach(({ inputs, outputs }, number) => {
      const pointers = this.address + this.slots.length * 4;
      const { stages } = kernels[number] as LoadedKernel;
      const table = tables[number];
      if (table) {
        memory[this.slots.length] = this.address + constants * 4;
        memory.set(table.words, constants);
        constants += table.words.length;
        this.slots.push(-1);
      }
      this.slots.push(...inputs, ...outputs);
      for (const stage of stages) {
        const sized = table ? { ...stage, items: table.items, cost: stage.cost * table.itemElements } : stage;
        this.steps.push(device.step(sized, pointers));
      }
    });
  }

  run(buffers: readonly DeviceBuffer[]): void {
    if (this.freed) throw new Error('run: this program was freed');
    const table = this.device.table(this.address, this.words);
    const addresses: number[] = [];
    this.slots.forEach((number, slot) => {
      if (number < 0) return;
      addresses[number] ??= this.device.mine(buffers[number], 'run').address;
      table[slot] = addresses[number] as number;
    });
    this.device.run(this.steps);
  }

  /** The code was compiled when the program was loaded. */
  async ready(): Promise<void> {}

  free(): void {
    if (!this.freed) this.device.freeTable(this.address);
    this.freed = true;
  }
}

/**
 * Makes a device that computes with WebAssembly SIMD on threads.
 *
 * In Node the threads are worker threads that share one memory; the calling thread works too and blocks while a
 * program runs. Elsewhere everything runs on the calling thread.
 *
 * @throws RangeError when `threads` is not a whole number from 1 to 16
 */
export async function createWasmDevice({ threads, blas = true }: WasmDeviceOptions = {}): Promise<Device> {
  const count = threads ?? (await availableThreads());
  if (!Number.isInteger(count) || count < 1 || count > mostThreads) {
    throw new RangeError(
      `createWasmDevice: threads must be a whole number from 1 to ${mostThreads}, got ${threads}`,
    );
  }
  const relaxed = await probeRelaxedSimd();
  const allocator = new Allocator(typeof SharedArrayBuffer !== 'undefined');
  const base = allocator.allocate(Threads.controlBytes);
  const search = blas ? await findBlas(allocator, count) : {};
  const pool = await Threads.start(allocator.memory, base, count, search.blas);
  const blasBlocks = search.blas && 2 * Math.min(mostThreads, await coresOfMachine());
  return new WasmDevice(
    allocator,
    pool,
    { relaxed, ...(blasBlocks !== undefined && { blasBlocks }) },
    search,
  );
}
