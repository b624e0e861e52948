/** From the items of a suite to the same items with the embeddings of their images, one after another; what is skipped is written down. */
import { type ImageSource, nameOf, partsOf } from '@clipin/data';
import { isSkipped, type Skipped, SuiteError } from '../benchmarks/suite';
import { messageOf } from '../thrown';
import type { Embeds } from './embedder';
import type { Embeddings } from './ranks';

/** Told after each item how many are done, of how many if that is known. */
export type OnProgress = (done: number, total: number | undefined) => void;

/** What a run of a suite has done so far. */
export class Tally {
  readonly skipped: Skipped[] = [];
  /** Items that were embedded. */
  taken = 0;
  #done = 0;
  constructor(
    readonly total: number | undefined,
    readonly onProgress: OnProgress,
  ) {}

  skip(item: Skipped): void {
    this.skipped.push(item);
  }

  step(): void {
    this.onProgress(++this.#done, this.total);
  }
}

/** How the items of a suite hold their images. */
export interface ItemImages<T> {
  readonly imagesOf: (item: T) => readonly ImageSource[];
  /** Its name in the list of skipped items. Default: the name of the image that cannot be used. */
  readonly nameOf?: (item: T) => string;
}

/**
 * The items whose images could all be embedded, in their order, each with one row an image. An item is let go when it has been
 * yielded, and few are held before.
 */
export async function* withEmbeddings<T extends object>(
  items: AsyncIterable<T | Skipped>,
  { imagesOf, nameOf: name }: ItemImages<T>,
  embedder: Embeds,
  tally: Tally,
): AsyncGenerator<readonly [item: T, rows: readonly Float32Array[]]> {
  const waiting: T[] = [];
  async function* sources(): AsyncGenerator<ImageSource> {
    for await (const item of items) {
      if (isSkipped(item)) tally.skip(item);
      else if (imagesOf(item).length === 0)
        tally.skip({ skipped: name?.(item) ?? 'an item', reason: 'it has no image' });
      else {
        waiting.push(item);
        yield* imagesOf(item);
      }
    }
  }
  let rows: Float32Array[] = [];
  let broken: Skipped | undefined;
  let seen = 0;
  for await (const image of embedder.images(sources())) {
    const item = waiting[0]!;
    if ('embedding' in image) rows.push(image.embedding);
    else {
      const { message, reason } = image.error;
      broken ??= name ? { skipped: name(item), reason: message } : { skipped: nameOf(image.source), reason };
    }
    if (++seen < imagesOf(item).length) continue;
    waiting.shift();
    if (broken) tally.skip(broken);
    else {
      tally.taken++;
      yield [item, rows];
    }
    tally.step();
    [rows, broken, seen] = [[], undefined, 0];
  }
}

/**
 * Reads a list ahead as long as it holds paths, so that its length is known. A list with the bytes of pictures is not read
 * ahead: it may be larger than the memory.
 *
 * @throws SuiteError for whatever is wrong with the list
 */
export async function measured<T extends object>(
  items: AsyncIterable<T | Skipped>,
  imagesOf: (item: T) => readonly ImageSource[],
): Promise<{ readonly items: AsyncIterable<T | Skipped>; readonly total: number | undefined }> {
  const rest = toldApart(items);
  const read: (T | Skipped)[] = [];
  async function* chained(): AsyncGenerator<T | Skipped> {
    yield* read.splice(0);
    yield* rest;
  }
  for (;;) {
    const { done, value } = await rest.next();
    if (done) return { items: chained(), total: read.filter((item) => !isSkipped(item)).length };
    read.push(value);
    if (!isSkipped(value) && imagesOf(value).some(holdsBytes)) return { items: chained(), total: undefined };
  }
}

/** Errors of a suite become {@link SuiteError}, so that they are told from those of the device and of the cache. */
async function* toldApart<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (error) {
    throw suiteError(error);
  }
}

/** An error of a suite as {@link SuiteError}. */
export const suiteError = (error: unknown): SuiteError =>
  error instanceof SuiteError ? error : new SuiteError(messageOf(error), { cause: error });

const holdsBytes = (image: ImageSource): boolean => typeof partsOf(image).file !== 'string';

/** An image without its bytes, which would fill the memory: its name. */
export function withoutBytes(image: ImageSource): ImageSource {
  return holdsBytes(image) ? nameOf(image) : image;
}

/** Embeddings that come a few at a time. */
export class Rows {
  #rows: Float32Array;
  #length = 0;
  constructor(readonly width: number) {
    this.#rows = new Float32Array(width * 256);
  }

  get count(): number {
    return this.#length / this.width;
  }

  /** One row, or several behind one another. */
  add(rows: Float32Array): void {
    const needed = this.#length + rows.length;
    if (needed > this.#rows.length) {
      const grown = new Float32Array(Math.max(needed, 2 * this.#rows.length));
      grown.set(this.#rows.subarray(0, this.#length));
      this.#rows = grown;
    }
    this.#rows.set(rows, this.#length);
    this.#length = needed;
  }

  /** All that were added; not a copy. */
  all(): Embeddings {
    return { rows: this.#rows.subarray(0, this.#length), count: this.count, width: this.width };
  }

  clear(): void {
    this.#length = 0;
  }
}
