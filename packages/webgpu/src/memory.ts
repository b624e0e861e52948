/** Buffers of one device: allocation, what users hold, idle buffers, scratch. */
import { type DeviceBuffer, type DeviceMemory, type DType, dtypes } from '@clipin/kernel';
import { type Block, BufferPool } from './pool';

/** A buffer as users hold it; `block` goes when it is freed. */
export class WebgpuBuffer implements DeviceBuffer {
  constructor(
    readonly dtype: DType,
    readonly length: number,
    readonly owner: Memory,
    public block: Block | undefined,
  ) {}
}

const storage = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST
const staging = 0x01 | 0x08; // MAP_READ | COPY_DST

/** Whole vec4: kernels read and write in runs of four, and the last run may be cut short. */
const padded = (bytes: number): number => Math.max(16, Math.ceil(bytes / 16) * 16);

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** The memory of one device. */
export class Memory implements DeviceMemory {
  bytes = 0;
  buffers = 0;
  private ids = 0;
  private readonly pool: BufferPool;
  private readonly stagingPool: BufferPool;
  private readonly scratch: Block[] = [];

  /**
   * @param device - where the memory is
   * @param limit - the largest buffer, in bytes
   * @param discard - destroys a GPU buffer once the work queued so far is submitted
   * @param fail - told when memory has run out, which WebGPU says only later
   */
  constructor(
    private readonly device: GPUDevice,
    private readonly limit: number,
    private readonly discard: (buffer: GPUBuffer) => void,
    private readonly fail: (error: Error) => void,
  ) {
    this.pool = new BufferPool(2 ** 29, ({ gpu }) => discard(gpu));
    this.stagingPool = new BufferPool(2 ** 24, ({ gpu }) => discard(gpu));
  }

  /** A buffer for a user. */
  allocate(dtype: DType, length: number): WebgpuBuffer {
    if (!Number.isInteger(length) || length < 0) {
      throw new RangeError(`webgpu: a buffer has a whole number of elements, got ${length}`);
    }
    const bytes = length * dtypes[dtype].bytes;
    const block = this.block(bytes, `${length} elements of ${dtype}`);
    this.bytes += bytes;
    this.buffers++;
    return new WebgpuBuffer(dtype, length, this, block);
  }

  /** Takes a buffer back. */
  free(buffer: DeviceBuffer): void {
    const block = this.blockOf(buffer);
    this.bytes -= buffer.length * dtypes[buffer.dtype].bytes;
    this.buffers--;
    (buffer as WebgpuBuffer).block = undefined;
    this.pool.give(block);
  }

  /** The memory of a user's buffer. */
  blockOf(buffer: DeviceBuffer | undefined): Block {
    if (!(buffer instanceof WebgpuBuffer) || buffer.owner !== this) {
      throw new Error(`webgpu: ${buffer ? 'this buffer belongs to another device' : 'a buffer is missing'}`);
    }
    if (!buffer.block) throw new Error(`webgpu: this buffer of ${buffer.length} ${buffer.dtype} was freed`);
    return buffer.block;
  }

  /** Throws where a buffer would be larger than the adapter allows. */
  check(bytes: number, what: string): void {
    if (bytes <= this.limit) return;
    throw new RangeError(
      `webgpu: ${what} take ${bytes} bytes (${mebibytes(bytes)}); the largest buffer of this adapter has ${this.limit} (${mebibytes(this.limit)})`,
    );
  }

  private block(bytes: number, what: string): Block {
    this.check(bytes, what);
    const size = padded(bytes);
    return this.pool.take(size) ?? this.create(size, storage, what);
  }

  private create(size: number, usage: number, what: string): Block {
    this.device.pushErrorScope('out-of-memory');
    const block: Block = { gpu: this.device.createBuffer({ size, usage }), id: this.ids++, bytes: size };
    this.device.popErrorScope().then(
      (error) => {
        if (!error) return;
        block.failed = true;
        this.pool.trim(0);
        const inUse = `${mebibytes(this.bytes)} in ${this.buffers} buffers in use`;
        this.fail(
          new Error(`webgpu: out of memory: ${what} (${mebibytes(size)}) were asked for with ${inUse}`),
        );
      },
      () => undefined, // The device was lost, which is said elsewhere.
    );
    return block;
  }

  /** Scratch buffer `index` with at least this many bytes; shared by all programs, since their work is in order. */
  scratchBlock(index: number, bytes: number): Block {
    const known = this.scratch[index];
    if (known && known.bytes >= bytes) return known;
    if (known) this.discard(known.gpu);
    const block = this.create(padded(bytes), storage, 'scratch memory');
    this.scratch[index] = block;
    return block;
  }

  /** A buffer that can be mapped for reading, of at least this many bytes. */
  takeStaging(bytes: number): Block {
    // Powers of two, so that few sizes serve all reads.
    const size = 2 ** Math.ceil(Math.log2(padded(bytes)));
    return this.stagingPool.take(size) ?? this.create(size, staging, 'a copy to read');
  }

  /** Gives a staging buffer back, unmapped. */
  giveStaging(block: Block): void {
    this.stagingPool.give(block);
  }
}
