/** What a device must be able to do. Adding a device means implementing this interface, and nothing else. */
import type { DType, TypedArray } from './dtype';
import type { Launch } from './kernel';

/** Memory on a device; made by `Device.allocate`, given back by `Device.free`. */
export interface DeviceBuffer {
  readonly dtype: DType;
  /** Number of elements. */
  readonly length: number;
}

/** A sequence of launches, compiled, ready to run again and again. */
export interface Program {
  /**
   * Runs the launches in order on the buffers that their numbers mean in this table. Returns when the work is
   * queued or done; results are seen by `Device.read`. The table is read before this returns: the caller may change it.
   */
  run(buffers: readonly DeviceBuffer[]): void;
  /**
   * Resolves when all code is compiled, so that a run starts at once; rejects when a kernel does not compile. A run before
   * that waits for it by itself.
   */
  ready(): Promise<void>;
  /** Frees what belongs to the program alone; the code caches of the device stay. */
  free(): void;
}

/** Bounds a schedule has to respect. */
export interface DeviceLimits {
  /** The most buffers that a loop or a product may touch; a device splits routines, such as attention, itself. */
  readonly kernelBuffers: number;
  /** The largest buffer, in bytes. */
  readonly bufferBytes: number;
  /**
   * Rows or columns of a product's result for which the device computes an operand that is a program once, about: `a` is
   * computed again for every so many columns, `b` for every so many rows. 0: the device stores such operands first, so
   * that nothing is gained by them.
   */
  readonly operandBlock: number;
}

/** Counters that a test can read. */
export interface DeviceMemory {
  /** Bytes of live buffers. */
  readonly bytes: number;
  /** Number of live buffers. */
  readonly buffers: number;
}

/** A machine that runs kernels. */
export interface Device {
  /** `wasm`, `webgpu` or `reference`. */
  readonly kind: string;
  /** For people: `wasm, 2 threads, relaxed SIMD`. */
  readonly description: string;
  readonly limits: DeviceLimits;
  readonly memory: DeviceMemory;
  /** @throws Error with the sizes when the memory is not to be had; the device goes on working. */
  allocate(dtype: DType, length: number): DeviceBuffer;
  free(buffer: DeviceBuffer): void;
  /**
   * Copies host data into a buffer, after all work queued before: as many elements as the buffer has; f32 and f16 from
   * Float32Array or Float64Array, rounded to nearest even; f16 from its bits, too, in a Uint16Array.
   */
  write(buffer: DeviceBuffer, data: TypedArray | Uint16Array): void;
  /** Reads a buffer after all work queued before. Rejects when the device was lost. */
  read(buffer: DeviceBuffer): Promise<TypedArray>;
  /** Compiles launches (each distinct kernel once per device). */
  load(launches: readonly Launch[]): Program;
  /** Releases the machine: threads, adapters, memory. */
  destroy(): void;
}
