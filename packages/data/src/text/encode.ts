/** From texts to rows of ids of one length. */
import type { Tokenizer } from './tokenizer';

/**
 * Encodes texts into rows of equal length: cut so that the end token stays last, or padded.
 * @returns ids, `[texts, length]`
 */
export function encodeTexts(tokenizer: Tokenizer, texts: readonly string[], length: number): Int32Array {
  if (!Number.isInteger(length) || length < 2) {
    throw new RangeError(
      `encodeTexts: length must be a whole number from 2 up (start and end), got ${length}`,
    );
  }
  const rows = new Int32Array(texts.length * length).fill(tokenizer.pad);
  texts.forEach((text, row) => {
    const ids = tokenizer.encode(text);
    const kept = ids.length > length ? [...ids.slice(0, length - 1), tokenizer.end] : ids;
    rows.set(kept, row * length);
  });
  return rows;
}
