/** A model as functions from pixels and ids to embeddings on the host, any number of them at a time. */
import type { NaflexImage } from '@clipin/data';
import { type PatchedImages, patchedImages } from '@clipin/nn';
import { type Device, jit, type Tensor, tensor } from '@clipin/tensor';
import type { DualEncoder, DualEncoderParams } from '../model';
import { gridOf, mostPatches } from './prepared-images';

/** Embeds plain arrays. Rows of the results have unit length. */
export interface Encoders {
  /** Width of an embedding. */
  readonly width: number;
  /** Most tokens of a text. */
  readonly contextLength: number;
  /** Length of texts that fit, where the tower knows two; see `TextConfig`. */
  readonly shortLength?: number;
  /** `[count, side, side, 3]` → `[count, width]`. */
  images(pixels: Float32Array): Promise<Float32Array>;
  /** Images in patches, of models that take them (NaFlex) → `[count, width]`. */
  patches(images: readonly NaflexImage[]): Promise<Float32Array>;
  /** `[count, length]` → `[count, width]`, where `length` is at most the context length, or one that the tower reads. */
  texts(ids: Int32Array, length: number): Promise<Float32Array>;
  /** Gives back the memory that the compiled towers keep; they can be used again. */
  dispose(): void;
}

/** Options of {@link encodersOf}. */
export interface EncoderOptions {
  /** Rows that a device embeds at a time; the last batch is filled up, so that one program serves all. Default: 64. */
  readonly rowsAtOnce?: number;
}

/**
 * The encoders of a model, for any parameters: `encodersOf(model)(params)`. The parameters must not be donated while the
 * encoders are in use.
 */
export function encodersOf(
  { config, image, text }: DualEncoder,
  { rowsAtOnce = 64 }: EncoderOptions = {},
): (params: DualEncoderParams) => Encoders {
  const embedImages = jit((p: DualEncoderParams['image'], images: Tensor | PatchedImages) =>
    image.apply(p, images),
  );
  const embedTexts = jit((p: DualEncoderParams['text'], ids: Tensor) => text.apply(p, ids));
  const { imageSize } = config.vision;
  const { contextLength, shortLength } = config.text;
  return (params) => ({
    width: config.embedding,
    contextLength,
    ...(shortLength !== undefined && { shortLength }),
    images: (pixels) =>
      inBatches(
        deviceOf(params).image,
        pixels,
        [rowsAtOnce, imageSize, imageSize, 3],
        config.embedding,
        (rows) => embedImages(params.image, rows),
      ),
    async patches(images) {
      const { patchSize } = config.vision;
      const result = new Float32Array(images.length * config.embedding);
      for (let start = 0; start < images.length; start += rowsAtOnce) {
        const some = images.slice(start, start + rowsAtOnce);
        const filled = Array.from({ length: rowsAtOnce }, (_, i) => some[i] ?? (some[0] as NaflexImage));
        const patched = patchedImages(filled, {
          patchSize,
          positions: gridOf(config.vision),
          patches: mostPatches(config.vision),
          device: deviceOf(params).image,
        });
        using embedded = embedImages(params.image, patched);
        const values = await embedded.data();
        for (const x of Object.values(patched)) x.dispose();
        result.set(values.subarray(0, some.length * config.embedding), start * config.embedding);
      }
      return result;
    },
    texts: (ids, length) =>
      inBatches(deviceOf(params).text, ids, [rowsAtOnce, length], config.embedding, (rows) =>
        embedTexts(params.text, rows),
      ),
    dispose() {
      embedImages.dispose();
      embedTexts.dispose();
    },
  });
}

/** Where the towers are, which may be two places. */
export const deviceOf = ({ image, text }: DualEncoderParams): { image: Device; text: Device } => ({
  image: image.patches.weight.device,
  text: text.tokens.weight.device,
});

async function inBatches(
  device: Device,
  data: Float32Array | Int32Array,
  [rowsAtOnce, ...row]: readonly [number, ...number[]],
  width: number,
  embed: (rows: Tensor) => Tensor,
): Promise<Float32Array> {
  const length = row.reduce((product, n) => product * n, 1);
  const count = data.length / length;
  if (!Number.isInteger(count))
    throw new RangeError(`encoders: ${data.length} values are no rows of [${row.join(', ')}]`);
  const result = new Float32Array(count * width);
  for (let start = 0; start < count; start += rowsAtOnce) {
    const some = data.subarray(start * length, (start + rowsAtOnce) * length);
    const filled =
      data instanceof Float32Array
        ? new Float32Array(rowsAtOnce * length)
        : new Int32Array(rowsAtOnce * length);
    filled.set(some);
    using rows = tensor(filled, [rowsAtOnce, ...row], { device });
    using embedded = embed(rows);
    const values = await embedded.data();
    result.set(values.subarray(0, Math.min(rowsAtOnce, count - start) * width), start * width);
  }
  return result;
}
