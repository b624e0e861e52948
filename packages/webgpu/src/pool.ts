/** Idle GPU buffers by size, so that memory that is given back can be had again at once. Sizes are exact. */

/** A GPU buffer with a number of its own: the key of bind group caches. */
export interface Block {
  readonly gpu: GPUBuffer;
  readonly id: number;
  readonly bytes: number;
  /** Set when it turns out that there was no memory for it. */
  failed?: boolean;
}

/** Idle buffers, up to a number of bytes; beyond it the longest idle go. */
export class BufferPool {
  private readonly idle = new Map<number, Block[]>();
  private idleBytes = 0;

  /**
   * @param most - idle bytes kept
   * @param discard - what to do with a buffer that is not kept
   */
  constructor(
    private readonly most: number,
    private readonly discard: (block: Block) => void,
  ) {}

  /** An idle buffer of exactly this size. */
  take(bytes: number): Block | undefined {
    for (let block = this.idle.get(bytes)?.pop(); block; block = this.idle.get(bytes)?.pop()) {
      this.idleBytes -= bytes;
      if (!block.failed) return block;
    }
    return undefined;
  }

  /** Gives a buffer back. */
  give(block: Block): void {
    if (block.failed) return;
    const list = this.idle.get(block.bytes) ?? [];
    // Sizes in the order of their last use: the map's first key is the longest idle.
    this.idle.delete(block.bytes);
    this.idle.set(block.bytes, list);
    list.push(block);
    this.idleBytes += block.bytes;
    this.trim(this.most);
  }

  /** Discards idle buffers until at most `bytes` are kept. */
  trim(bytes: number): void {
    for (const [size, list] of this.idle) {
      while (this.idleBytes > bytes && list.length) {
        this.discard(list.shift() as Block);
        this.idleBytes -= size;
      }
      if (!list.length) this.idle.delete(size);
      if (this.idleBytes <= bytes) return;
    }
  }
}
