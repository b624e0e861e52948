/** Texts to embeddings on the host, each padded to the length at which its tower reads it. */
import { encodeTexts, type Tokenizer } from '@clipin/data';
import { paddedLength, shortLengthOf, type TextLengths, tokensIn } from '../text-lengths';

/** What embeds texts; `Encoders` are such. */
export interface TextEncoder extends TextLengths {
  /** Width of an embedding. */
  readonly width: number;
  /** Ids `[count, length]` → unit rows `[count, width]`. */
  texts(ids: Int32Array, length: number): Promise<Float32Array>;
}

/** `[texts, width]`, unit rows. A text that is too long for the tower is cut, its end token kept. */
export async function embedTexts(
  encoder: TextEncoder,
  tokenizer: Tokenizer,
  texts: readonly string[],
): Promise<Float32Array> {
  const { contextLength, width } = encoder;
  const ids = encodeTexts(tokenizer, texts, contextLength);
  if (shortLengthOf(encoder) === contextLength) return encoder.texts(ids, contextLength);
  const rows = texts.map((_, i) => ids.subarray(i * contextLength, (i + 1) * contextLength));
  const result = new Float32Array(texts.length * width);
  for (const length of [shortLengthOf(encoder), contextLength]) {
    const own = [...rows.entries()].filter(
      ([, row]) => paddedLength(encoder, tokensIn(row, tokenizer.end)) === length,
    );
    const some = new Int32Array(own.length * length);
    for (const [place, [, row]] of own.entries()) some.set(row.subarray(0, length), place * length);
    const embedded = await encoder.texts(some, length);
    for (const [place, [i]] of own.entries()) {
      result.set(embedded.subarray(place * width, (place + 1) * width), i * width);
    }
  }
  return result;
}
