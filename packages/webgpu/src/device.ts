/** The WebGPU device: puts memory, queue, pipelines and programs behind the `Device` interface, and minds failures. */
import {
  type Device,
  type DeviceBuffer,
  type DeviceLimits,
  type DType,
  decodeF16,
  emptyArray,
  encodeF16,
  type Launch,
  type Program,
  type TypedArray,
} from '@clipin/kernel';
import { type AdapterSearch, describeAdapter, isSoftware, offered } from './adapter';
import { Memory } from './memory';
import { Pipelines } from './pipelines';
import type { Block } from './pool';
import { CompiledProgram } from './program';
import { CommandQueue } from './queue';
import { confirmedUnits, matrixFeature } from './subgroup-matrix';
import { subgroupSize } from './subgroups';
import { type Profile, profiles } from './wgsl/profile';

/** The limits that kernels profit from; WebGPU gives its small defaults unless asked. */
const wantedLimits = [
  'maxStorageBuffersPerShaderStage',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupStorageSize',
] as const;

/** The features that kernels profit from. */
const wantedFeatures = ['subgroups', 'shader-f16', matrixFeature];

/** Opens a device on an adapter. `choose` may change how kernels are scheduled. */
export async function openDevice(
  adapter: GPUAdapter,
  owner?: AdapterSearch['owner'],
  choose: (usual: Profile, gpu: GPUDevice) => Profile | Promise<Profile> = (usual) => usual,
): Promise<WebgpuDevice> {
  const requiredLimits = Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = offered(adapter, wantedFeatures);
  const gpu = await adapter.requestDevice({ requiredLimits, requiredFeatures });
  const usual = await usualProfile(adapter, gpu);
  const profile = await choose(usual, gpu);
  return new WebgpuDevice(gpu, `webgpu, ${describeAdapter(adapter)}`, profile, owner);
}

/** How kernels are scheduled on an adapter, by what it says of itself. */
async function usualProfile(adapter: GPUAdapter, gpu: GPUDevice): Promise<Profile> {
  const { limits } = gpu;
  const plain = {
    ...(isSoftware(adapter)
      ? profiles.software
      : { ...profiles.hardware, foreachBuffers: limits.maxStorageBuffersPerShaderStage }),
    subgroup: await subgroupSize(gpu, adapter.info),
    f16: gpu.features.has('shader-f16'),
    workgroupBytes: limits.maxComputeWorkgroupStorageSize,
    workgroupSize: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
  };
  const matrixUnits = plain.workgroupMemory ? await confirmedUnits(gpu, adapter.info, plain) : [];
  return { ...plain, matrixUnits };
}

/** Host data as the elements of `dtype` in memory; halves in whole words, as WebGPU copies them. */
function elementsOf(
  dtype: DType,
  data: TypedArray | Uint16Array,
): Float32Array | Int32Array | Uint32Array | Uint16Array {
  if (dtype === 'f16') {
    const bits = data instanceof Uint16Array ? data : encodeF16(data);
    if (bits.length % 2 === 0) return bits;
    const whole = new Uint16Array(bits.length + 1);
    whole.set(bits);
    return whole;
  }
  if (dtype === 'f32') return data instanceof Float32Array ? data : Float32Array.from(data);
  if (dtype === 'i32') return data instanceof Int32Array ? data : Int32Array.from(data);
  return data instanceof Uint32Array ? data : Uint32Array.from(data);
}

/** A device on one `GPUDevice`. */
export class WebgpuDevice implements Device {
  readonly kind = 'webgpu';
  readonly limits: DeviceLimits;
  readonly memory: Memory;
  private readonly queue: CommandQueue;
  private readonly pipelines: Pipelines;
  /** An error of queued work, until a `read` has told of it. */
  private failure: Error | undefined;
  private lost: Error | undefined;
  private readonly lostSignal: Promise<never>;

  constructor(
    /** The device below; tests destroy it to see what a loss does. */
    readonly gpu: GPUDevice,
    readonly description: string,
    /** How kernels are scheduled on it. */
    readonly profile: Profile,
    /** Kept so that Dawn is not collected while the device lives. */
    readonly owner?: GPU,
  ) {
    // One binding stays free for the scratch buffer of sums in pieces; buffers are whole vec4.
    const { maxStorageBuffersPerShaderStage, maxStorageBufferBindingSize, maxBufferSize } = gpu.limits;
    const bufferBytes = Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / 16) * 16;
    this.limits = { kernelBuffers: maxStorageBuffersPerShaderStage - 1, bufferBytes, operandBlock: 0 };
    const fail = (error: unknown) => {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
    };
    this.queue = new CommandQueue(gpu, fail);
    this.memory = new Memory(gpu, bufferBytes, (buffer) => this.discard(buffer), fail);
    this.pipelines = new Pipelines(gpu);
    gpu.onuncapturederror = (event) => {
      event.preventDefault?.();
      fail(new Error(`webgpu: ${event.error.message}`));
    };
    this.lostSignal = gpu.lost.then((info) => {
      this.lost ??= new Error(
        `webgpu: the device was lost (${info.reason}${info.message ? `: ${info.message}` : ''}); create a new one`,
      );
      throw this.lost;
    });
    this.lostSignal.catch(() => undefined);
  }

  private discard(buffer: GPUBuffer): void {
    this.queue.enqueue(() => {
      this.queue.flush();
      buffer.destroy();
    });
  }

  /** Throws where the device is gone. */
  private alive(): void {
    if (this.lost) throw this.lost;
  }

  allocate(dtype: DType, length: number): DeviceBuffer {
    this.alive();
    return this.memory.allocate(dtype, length);
  }

  free(buffer: DeviceBuffer): void {
    this.memory.free(buffer);
  }

  write(buffer: DeviceBuffer, data: TypedArray | Uint16Array): void {
    this.alive();
    const { gpu } = this.memory.blockOf(buffer);
    if (data.length !== buffer.length) {
      throw new RangeError(
        `webgpu: write got ${data.length} elements for a buffer of ${buffer.length} ${buffer.dtype}`,
      );
    }
    if (data.length === 0) return;
    const elements = elementsOf(buffer.dtype, data);
    // The caller may change the array as soon as this returns.
    const kept = this.queue.isWaiting && elements === data ? elements.slice() : elements;
    this.queue.enqueue(() => {
      this.queue.flush();
      this.gpu.queue.writeBuffer(gpu, 0, kept.buffer, kept.byteOffset, kept.byteLength);
    });
  }

  async read(buffer: DeviceBuffer): Promise<TypedArray> {
    this.alive();
    const { gpu } = this.memory.blockOf(buffer);
    const result =
      buffer.dtype === 'f16' ? new Uint16Array(buffer.length) : emptyArray(buffer.dtype, buffer.length);
    const bytes = Math.max(4, Math.ceil(result.byteLength / 4) * 4);
    const staging = this.memory.takeStaging(bytes);
    try {
      await Promise.race([this.lostSignal, this.copyOut(gpu, staging.gpu, bytes)]);
    } catch (error) {
      // A lost device also aborts the mapping; which of the two is heard first is chance.
      await Promise.race([this.lostSignal, new Promise((resolve) => setTimeout(resolve, 0))]);
      throw this.takeFailure() ?? error;
    }
    const failure = this.takeFailure();
    if (!failure)
      new Uint8Array(result.buffer).set(
        new Uint8Array(staging.gpu.getMappedRange(0, bytes), 0, result.byteLength),
      );
    staging.gpu.unmap();
    this.memory.giveStaging(staging);
    if (failure) throw failure;
    return result instanceof Uint16Array ? decodeF16(result) : result;
  }

  private copyOut(from: GPUBuffer, to: GPUBuffer, bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.queue.enqueue(() => {
        this.queue.flush();
        const encoder = this.gpu.createCommandEncoder();
        encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
        this.gpu.queue.submit([encoder.finish()]);
        to.mapAsync(1, 0, bytes).then(resolve, reject);
      });
    });
  }

  private takeFailure(): Error | undefined {
    const { failure } = this;
    this.failure = undefined;
    return failure;
  }

  load(launches: readonly Launch[]): Program {
    this.alive();
    const program = new CompiledProgram(this.gpu, this.pipelines, this.profile, launches);
    const { numbers, scratchBytes } = program;
    for (const bytes of scratchBytes) this.memory.check(bytes, 'the scratch memory of a kernel');
    let freed = false;
    const record = (blocks: Block[]) => {
      for (let i = 0; i < scratchBytes.length; i++)
        blocks[numbers.length + i] = this.memory.scratchBlock(i, scratchBytes[i] as number);
      program.record(this.queue, blocks);
    };
    const blocks: Block[] = [];
    return {
      run: (buffers) => {
        this.alive();
        if (this.failure) throw this.failure;
        if (freed) throw new Error('webgpu: this program was freed');
        for (let i = 0; i < numbers.length; i++)
          blocks[i] = this.memory.blockOf(buffers[numbers[i] as number]);
        const { notReady } = program;
        if (notReady.length === 0 && !this.queue.isWaiting && !this.queue.isFull) return record(blocks);
        const later = [...blocks];
        this.queue.enqueueDispatches(notReady, () => record(later));
      },
      ready: async () => {
        await Promise.all(program.notReady);
      },
      free: () => {
        if (!freed && program.params) this.discard(program.params);
        freed = true;
      },
    };
  }

  destroy(): void {
    this.lost ??= new Error('webgpu: the device was destroyed; create a new one');
    this.gpu.destroy();
  }
}
