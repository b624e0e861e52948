/** The small world as training sees it: drawings, vocabulary, and batches as tensors. */
import {
  type Art,
  type Batch,
  type BatchOptions,
  clipTokenizer,
  createBatches,
  encodeTexts,
  type Hand,
  loadArt,
  type Normalization,
  type PackedRows,
  packTexts,
  prefetch,
  type RestrictedTokenizer,
  restrict,
  type Split,
  type Tokenizer,
  tripletAt,
  vocabularyTexts,
} from '@clipin/data';
import type { PackedTexts } from '@clipin/nn';
import { type Tensor, tensor } from '@clipin/tensor';

/** What everything in the small world is made of. */
export interface World {
  readonly art: Art;
  readonly tokenizer: Tokenizer;
  /** Of the pictures. Default: CLIP's. */
  readonly normalization?: Normalization;
}

/** CLIP's tokenizer, its vocabulary cut to the words of the world. */
export const worldTokenizer = (): RestrictedTokenizer => restrict(clipTokenizer(), vocabularyTexts());

/** Draws the inventory by these hands. Default of the tokenizer: {@link worldTokenizer}. */
export const openWorld = (
  hands: readonly Hand[],
  tokenizer: Tokenizer = worldTokenizer(),
  normalization?: Normalization,
): World => ({ art: loadArt(hands), tokenizer, ...(normalization && { normalization }) });

/** Images with captions, and edits, as tensors. */
export interface TrainBatch {
  /** f32 `[triplets, side, side, 3]`. */
  readonly images: Tensor;
  /** i32 `[triplets, shortLength]`. */
  readonly short: Tensor;
  /** i32 `[triplets, longLength]`. */
  readonly long: Tensor;
  /** f32 `[edits, side, side, 3]`. */
  readonly sourceImages: Tensor;
  readonly targetImages: Tensor;
  /** i32 `[edits, shortLength]`. */
  readonly sourceText: Tensor;
  readonly targetText: Tensor;
  /** All these texts, packed: short, source, target, long. The step embeds them together if they are there. */
  readonly packed?: PackedTexts;
}

/** Options of {@link trainBatches}. */
export interface TrainBatchOptions extends BatchOptions {
  /** Pack the texts too; not for towers that read padding. Default: true. */
  readonly packed?: boolean;
}

/** Batches from step `from` on, drawn ahead by another thread. */
export async function* trainBatches(
  { packed = true, ...options }: TrainBatchOptions,
  from: number,
  to: number,
): AsyncGenerator<TrainBatch> {
  const batches = createBatches(options);
  for await (const batch of prefetch(batches, { from, to })) yield toTensors(batch, batches.options, packed);
}

function toTensors(
  { triplets, edits }: Batch,
  { canvas, shortLength, longLength, ...counts }: Required<BatchOptions>,
  packed: boolean,
): TrainBatch {
  const picture = [canvas, canvas, 3];
  return {
    images: tensor(triplets.images, [counts.triplets, ...picture]),
    short: tensor(triplets.short, [counts.triplets, shortLength]),
    long: tensor(triplets.long, [counts.triplets, longLength]),
    sourceImages: tensor(edits.sourceImages, [counts.edits, ...picture]),
    targetImages: tensor(edits.targetImages, [counts.edits, ...picture]),
    sourceText: tensor(edits.sourceText, [counts.edits, shortLength]),
    targetText: tensor(edits.targetText, [counts.edits, shortLength]),
    ...(packed && {
      packed: packedTensors(
        packTexts(
          [
            { ids: triplets.short, length: shortLength },
            { ids: edits.sourceText, length: shortLength },
            { ids: edits.targetText, length: shortLength },
            { ids: triplets.long, length: longLength },
          ],
          { length: Math.max(shortLength, longLength) },
        ),
      ),
    }),
  };
}

/** Packed rows as the text tower takes them. */
export function packedTensors({
  rows,
  length,
  perRow,
  ids,
  positions,
  texts,
  ends,
  slots,
}: PackedRows): PackedTexts {
  return {
    ids: tensor(ids, [rows, length]),
    positions: tensor(positions, [rows, length]),
    texts: tensor(texts, [rows, length]),
    ends: tensor(ends, [rows, perRow]),
    slots: tensor(slots),
  };
}

/** Texts alone, as the text tower takes them. */
export interface TextBatch {
  readonly texts: Tensor | PackedTexts;
}

/** Which captions `captionBatches` draws. */
export interface CaptionOptions {
  readonly tokenizer: Tokenizer;
  readonly seed: number;
  readonly split: Split;
  /** Captions in a step. */
  readonly batch: number;
  /** Tokens of a caption. */
  readonly length: number;
  /** Pack the texts; not for towers that read padding, whose texts are all padded to `length`. Default: true. */
  readonly packed?: boolean;
}

/** Texts alone, for distillation: long captions, of which the leading part that fits, and short ones. */
export async function* captionBatches(options: CaptionOptions, from: number): AsyncGenerator<TextBatch> {
  const { tokenizer, seed, split, batch, length, packed = true } = options;
  for (let step = from; ; step++) {
    const texts = Array.from({ length: batch }, (_, i) => {
      const { short, long } = tripletAt(seed, split, step * batch + i);
      // Every other text is a short caption: a small teacher knows these best.
      return i % 2 === 0 ? long : short;
    });
    const ids = encodeTexts(tokenizer, texts, length);
    yield {
      texts: packed ? packedTensors(packTexts([{ ids, length }], { length })) : tensor(ids, [batch, length]),
    };
  }
}
