/** Searching an index of pictures by words or by a picture. */
import type { ImageSource } from '@clipin/data';
import type { Embedder } from '../evaluation/embedder';
import type { Match, PictureIndex } from './picture-index';

/** What is looked for: a text, or pictures that are like one. */
export type Query = { readonly text: string } | { readonly like: ImageSource };

/** Options of {@link searchIndex}. */
export interface SearchOptions {
  readonly query: Query;
  /** How many matches; fewer if the index has fewer. */
  readonly top: number;
}

/**
 * The pictures that fit best. The embedder must be of the index's model; see `checkModel`.
 *
 * @throws RangeError if the text is empty or `top` no whole number from 1 up
 * @throws ImageError if the picture cannot be decoded
 */
export async function searchIndex(
  index: PictureIndex,
  embedder: Pick<Embedder, 'texts' | 'images'>,
  { query, top }: SearchOptions,
): Promise<Match[]> {
  if (!Number.isInteger(top) || top < 1)
    throw new RangeError(`searchIndex: top must be a whole number from 1 up, got ${top}`);
  return index.nearest(await embed(embedder, query), top);
}

async function embed(embedder: Pick<Embedder, 'texts' | 'images'>, query: Query): Promise<Float32Array> {
  if ('text' in query) {
    if (query.text.trim() === '')
      throw new RangeError('searchIndex: the text is empty; say what to look for');
    return embedder.texts([query.text]);
  }
  for await (const result of embedder.images([query.like])) {
    if ('error' in result) throw result.error;
    return result.embedding;
  }
  throw new Error('searchIndex: the embedder gave nothing for the picture');
}
