/** One WebAssembly memory, handed out in blocks: free ranges are kept in order of address and merged when they meet. */
import { maxPages } from './module';

const pageBytes = 65536;
const alignment = 64;
/** Bytes at the end that nobody is given: vectors may be read a little beyond the last element. */
const slack = 256;
/** Memory grows by at least this many pages, to grow seldom. */
const leastGrowth = 256;

interface Range {
  start: number;
  end: number;
}

/** Hands out aligned blocks of a growing memory. */
export class Allocator {
  readonly memory: WebAssembly.Memory;
  private readonly free: Range[] = [];
  private readonly sizes = new Map<number, number>();
  private pages = leastGrowth;

  /**
   * @param shared - whether threads share the memory
   * @param maximumPages - most pages of 64 KiB to grow to
   */
  constructor(
    shared: boolean,
    private readonly maximumPages = maxPages,
  ) {
    this.pages = Math.min(leastGrowth, maximumPages);
    this.memory = new WebAssembly.Memory({
      initial: this.pages,
      ...(shared && { maximum: maxPages, shared: true }),
    });
    this.release(alignment, this.pages * pageBytes - slack);
  }

  /**
   * A block of at least `bytes` bytes, its content undefined.
   *
   * @throws RangeError when the memory cannot hold it; nothing has changed then.
   */
  allocate(bytes: number): number {
    const size = Math.max(alignment, Math.ceil(bytes / alignment) * alignment);
    let best = this.bestFit(size);
    if (best < 0) {
      this.grow(bytes, size);
      best = this.bestFit(size);
    }
    const range = this.free[best] as Range;
    const { start } = range;
    range.start += size;
    if (range.start === range.end) this.free.splice(best, 1);
    this.sizes.set(start, size);
    return start;
  }

  /** Gives a block back. */
  deallocate(start: number): void {
    const size = this.sizes.get(start);
    if (size === undefined) throw new Error(`wasm: no block starts at ${start}`);
    this.sizes.delete(start);
    this.release(start, start + size);
  }

  private bestFit(size: number): number {
    let best = -1;
    let bestSize = Infinity;
    this.free.forEach(({ start, end }, number) => {
      const length = end - start;
      if (length >= size && length < bestSize) {
        best = number;
        bestSize = length;
      }
    });
    return best;
  }

  private release(start: number, end: number): void {
    let low = 0;
    let high = this.free.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.free[middle] as Range).start < start) low = middle + 1;
      else high = middle;
    }
    const before = this.free[low - 1];
    const after = this.free[low];
    const joinsBefore = before?.end === start;
    const joinsAfter = after?.start === end;
    if (joinsBefore && joinsAfter) {
      before.end = after.end;
      this.free.splice(low, 1);
    } else if (joinsBefore) before.end = end;
    else if (joinsAfter) after.start = start;
    else this.free.splice(low, 0, { start, end });
  }

  private grow(bytes: number, size: number): void {
    const oldEnd = this.pages * pageBytes - slack;
    const last = this.free[this.free.length - 1];
    const missing = size - (last?.end === oldEnd ? last.end - last.start : 0);
    const least = Math.ceil(missing / pageBytes);
    const used = [...this.sizes.values()].reduce((sum, block) => sum + block, 0);
    const room = this.maximumPages - this.pages;
    const wanted = Math.max(least, Math.min(room, Math.max(leastGrowth, this.pages >> 3)));
    for (const pages of [wanted, least]) {
      if (pages > room) break;
      try {
        this.memory.grow(pages);
      } catch {
        continue;
      }
      this.pages += pages;
      this.release(oldEnd, this.pages * pageBytes - slack);
      return;
    }
    throw new RangeError(
      `wasm: out of memory: ${bytes} bytes asked for, ${used} in use, at most ${this.maximumPages * pageBytes} to be had, ` +
        'in one piece; free buffers, or make the work smaller (batch size)',
    );
  }
}
