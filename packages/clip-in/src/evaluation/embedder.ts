/**
 * Images and texts to embeddings, any number of them: pictures are decoded a few ahead of the device and none is kept, batches
 * have one size, and what was embedded before by this model is taken from a store.
 *
 * What cannot be decoded is an item of the stream, not the end of it. What is made of embeddings is others' business.
 */
import {
  encodeTexts,
  ImageError,
  type ImageSource,
  type PreprocessOptions,
  partsOf,
  readSource,
  type Tokenizer,
} from '@clipin/data';
import type { Preparation } from '../benchmarks/suite';
import { joined } from '../joined';
import type { DualEncoder, DualEncoderParams } from '../model';
import { paddedLength, readsPadding, tokensIn } from '../text-lengths';
import { messageOf } from '../thrown';
import {
  type EmbeddingKey,
  type EmbeddingStore,
  embeddingKey,
  memoryEmbeddingStore,
  openEmbeddingStore,
} from './embedding-store';
import { encodersOf } from './encoders';
import { type PreparedImage, prepareImage } from './prepared-images';

/** What an embedder needs of a pretrained model. */
export interface EmbeddingModel {
  readonly model: DualEncoder;
  readonly params: DualEncoderParams;
  readonly tokenizer: Tokenizer;
  readonly preprocess: PreprocessOptions;
  /** A sum of the weights: embeddings of other weights are not taken for its own. */
  readonly fingerprint: string;
}

/** Options of {@link createEmbedder}. */
export interface EmbedderOptions {
  /** Directory in which embeddings are kept. Default: they are kept in memory, while the embedder lives. */
  readonly cache?: string;
  /** Images, and texts, that the device embeds at a time. Default: 16. */
  readonly batch?: number;
  /** When aborted, the next batch is not begun: the reason is thrown. What was embedded before is kept. */
  readonly signal?: AbortSignal;
}

/** An image and its embedding, or why it has none. */
export type EmbeddedImage =
  | { readonly source: ImageSource; readonly embedding: Float32Array }
  | { readonly source: ImageSource; readonly error: ImageError };

/** Embeds images and texts. */
export interface Embedder {
  /** Width of an embedding. */
  readonly width: number;
  /** Images and texts that the model embedded; all others were known. */
  readonly embedded: { readonly images: number; readonly texts: number };
  /** Texts, of all that were given, that are longer than the model reads, and were cut. */
  readonly cut: number;
  /** Tokens that the model reads of a text. */
  readonly contextLength: number;
  /** Damaged records of the cache that were found, and embedded again. */
  readonly damaged: number;
  /**
   * Unit rows, in the order of the sources.
   *
   * @param change - of the way in which the model's images are prepared. Default: none
   */
  images(
    sources: Iterable<ImageSource> | AsyncIterable<ImageSource>,
    change?: Preparation,
  ): AsyncIterable<EmbeddedImage>;
  /**
   * `[texts, width]`, unit rows. A text that is too long for the model is cut, its end token kept.
   *
   * @throws TextError naming the words that the model does not know
   */
  texts(texts: readonly string[]): Promise<Float32Array>;
  /** Closes the cache. */
  close(): void;
}

/** A text that a model cannot read at all, since it has a word outside of the model's cut vocabulary. */
export class TextError extends Error {
  override readonly name = 'TextError';
}

/** What computes embeddings, without what is told of it. */
export type Embeds = Pick<Embedder, 'width' | 'images' | 'texts'>;

/** Part of the key of an image; another number when the same bytes come to mean other pixels. */
const PIXELS_VERSION = '1';
/** Batches of pictures that are decoded, or being decoded, besides the one on the device. */
const BATCHES_AHEAD = 2;
/** Known embeddings that wait for an unknown one before them, in batches. */
const BATCHES_WAITING = 16;

/** Lengths of sequences are multiples of it, since each length is a program of its own. */
const LENGTH_STEP = 16;

/** A source on its way. */
type Loaded =
  | { readonly source: ImageSource; readonly error: ImageError }
  | { readonly source: ImageSource; readonly key: EmbeddingKey; readonly pixels?: PreparedImage };

/**
 * An embedder of a model. Its parameters must not be donated while it is in use.
 *
 * @throws Error naming the directory if the cache cannot be used
 */
export function createEmbedder(pretrained: EmbeddingModel, options: EmbedderOptions = {}): Embedder {
  const { cache, batch = 16, signal } = options;
  if (!Number.isInteger(batch) || batch < 1)
    throw new RangeError(`createEmbedder: batch must be a whole number from 1 up, got ${batch}`);
  const { model, tokenizer } = pretrained;
  const width = model.config.embedding;
  const { imageSize } = model.config.vision;
  if (pretrained.preprocess.size !== imageSize) {
    throw new RangeError(
      `createEmbedder: images are prepared with ${pretrained.preprocess.size} pixels a side, and the model reads ${imageSize}`,
    );
  }
  const encoders = encodersOf(model, { rowsAtOnce: batch })(pretrained.params);
  const store =
    cache === undefined ? memoryEmbeddingStore() : openEmbeddingStore(cache, pretrained.fingerprint, width);
  const embedded = { images: 0, texts: 0 };
  let cut = 0;

  const load = async (source: ImageSource, options: PreprocessOptions): Promise<Loaded> => {
    try {
      const { file, box } = partsOf(source);
      const bytes = await readSource(source);
      const key = embeddingKey('image', JSON.stringify([PIXELS_VERSION, options, box ?? null]), bytes);
      if (store.get(key)) return { source, key };
      const read = { name: typeof file === 'string' ? file : file.name, bytes };
      const pixels = await prepareImage(model.config.vision, box ? { source: read, box } : read, options);
      return { source, key, pixels };
    } catch (error) {
      if (error instanceof ImageError) return { source, error };
      throw error;
    }
  };

  /** Embeds what is not known yet, and keeps it. */
  const embedPixels = async (pictures: ReadonlyMap<EmbeddingKey, PreparedImage>): Promise<void> => {
    if (pictures.size === 0) return;
    signal?.throwIfAborted();
    const prepared = [...pictures.values()];
    const squares = prepared.flatMap((image) => (image instanceof Float32Array ? [image] : []));
    const patched = prepared.flatMap((image) => (image instanceof Float32Array ? [] : [image]));
    // All are of one kind, the model's.
    const rows = await (patched.length > 0 ? encoders.patches(patched) : encoders.images(joined(squares)));
    keep(store, [...pictures.keys()], rows, width, 'image');
    embedded.images += pictures.size;
  };

  async function* images(
    sources: Iterable<ImageSource> | AsyncIterable<ImageSource>,
    change: Preparation = {},
  ): AsyncIterable<EmbeddedImage> {
    const options = { ...pretrained.preprocess, ...change };
    let waiting: Loaded[] = [];
    const pictures = new Map<EmbeddingKey, PreparedImage>();
    const release = async (): Promise<EmbeddedImage[]> => {
      await embedPixels(pictures);
      pictures.clear();
      const done = waiting.map((item) =>
        'error' in item ? item : { source: item.source, embedding: known(store, item.key) },
      );
      waiting = [];
      return done;
    };
    for await (const item of ahead(sources, BATCHES_AHEAD * batch, (source) => load(source, options))) {
      signal?.throwIfAborted();
      waiting.push(item);
      if ('pixels' in item && item.pixels && !store.get(item.key)) pictures.set(item.key, item.pixels);
      if (pictures.size === 0 || pictures.size === batch || waiting.length >= BATCHES_WAITING * batch) {
        yield* await release();
      }
    }
    yield* await release();
  }

  const encoded = (list: readonly string[], length: number): Int32Array => {
    try {
      return encodeTexts(tokenizer, list, length);
    } catch (cause) {
      throw new TextError(messageOf(cause), { cause });
    }
  };

  async function texts(list: readonly string[]): Promise<Float32Array> {
    const { contextLength } = model.config.text;
    const ids = encoded(list, contextLength);
    const rowOf = (text: number) => ids.subarray(text * contextLength, (text + 1) * contextLength);
    // A full row may be that of a text that just fits.
    const full = list.filter((_, i) => rowOf(i).at(-1) === tokenizer.end);
    cut += full.filter((text) => tokenizer.encode(text).length > contextLength).length;
    const keys = list.map((_, i) => embeddingKey('text', rowOf(i).join()));
    const unknown = new Map(
      keys.map((key, i) => [key, rowOf(i)] as const).filter(([key]) => !store.get(key)),
    );
    // Short texts together, so that the padding of a batch can be left out where the tower does not read it.
    const used = (row: Int32Array) => tokensIn(row, tokenizer.end);
    const sorted = [...unknown].sort(([, a], [, b]) => used(a) - used(b));
    const lengthOf = (row: Int32Array) => paddedLength(model.config.text, used(row));
    let start = 0;
    while (start < sorted.length) {
      signal?.throwIfAborted();
      const padded = lengthOf(sorted[start]![1]);
      const some = sorted.slice(start, start + batch).filter(([, row]) => lengthOf(row) === padded);
      start += some.length;
      const longest = Math.ceil(used(some.at(-1)![1]) / LENGTH_STEP) * LENGTH_STEP;
      const length = readsPadding(model.config.text) ? padded : Math.min(longest, contextLength);
      const rows = new Int32Array(some.length * length);
      for (const [i, [, row]] of some.entries()) rows.set(row.subarray(0, length), i * length);
      keep(
        store,
        some.map(([key]) => key),
        await encoders.texts(rows, length),
        width,
        'text',
      );
      embedded.texts += some.length;
    }
    return joined(keys.map((key) => known(store, key)));
  }

  return {
    width,
    embedded,
    contextLength: model.config.text.contextLength,
    get cut() {
      return cut;
    },
    get damaged() {
      return store.damaged;
    },
    images,
    texts,
    close: () => store.close(),
  };
}

function keep(
  store: EmbeddingStore,
  keys: readonly EmbeddingKey[],
  rows: Float32Array,
  width: number,
  what: string,
): void {
  store.put(
    keys.map((key, i) => {
      const row = rows.slice(i * width, (i + 1) * width);
      if (!row.every(Number.isFinite))
        throw new Error(
          `the model's embedding of an ${what} is not a number; its weights are damaged, or too large for f32`,
        );
      return [key, row];
    }),
  );
}

function known(store: EmbeddingStore, key: EmbeddingKey): Float32Array {
  const row = store.get(key);
  if (!row)
    throw new Error('an embedding that was just kept cannot be read again; the disk of the cache is damaged');
  return row;
}

/** Works on the next items while the first ones are taken, in their order. */
async function* ahead<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  count: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const started = work(item);
      // One that fails is told of when its turn comes.
      started.catch(() => undefined);
      running.push(started);
      if (running.length > count) yield await running.shift()!;
    }
    while (running.length > 0) yield await running.shift()!;
  } finally {
    await Promise.allSettled(running);
  }
}
