/**
 * What a model sees where: how much the pool of its image tower looks at each patch, and how near each patch is to a text.
 * Numbers only; `heat-map-figure.ts` makes a picture of them.
 *
 * Only the pooled features were trained to be near texts. Those of single patches follow more or less, so the second map shows what the model
 * has kept of the places, not where it has found the text.
 */
import type { ImageSource } from '@clipin/data';
import { type PatchedImages, patchedImages } from '@clipin/nn';
import { type Device, type Tensor, tensor } from '@clipin/tensor';
import type { Embedder } from '../evaluation/embedder';
import { deviceOf } from '../evaluation/encoders';
import { gridOf, mostPatches, type PreparedImage, prepareImage } from '../evaluation/prepared-images';
import type { PretrainedModel } from '../weights/load-pretrained';

/** Maps over the patches of a picture. */
export interface HeatMaps {
  /** Rows and columns of patches; as many of each, unless the model takes pictures in their own shape (NaFlex). */
  readonly grid: readonly [rows: number, columns: number];
  /** Whether the model takes the picture whole and in its own shape (NaFlex), not as a square. */
  readonly ownShape: boolean;
  /** Share of the side of the input that the patches cover; less than 1 where the last pixels fill no patch. */
  readonly covered: number;
  /** Share of its attention that the pool gives to each patch, mean of the heads: `[rows, columns]`. */
  readonly attention: Float32Array;
  /** Cosines of patches and text: `[rows, columns]`. */
  readonly similarity: Float32Array;
  /** Cosine of the whole picture and the text. */
  readonly cosine: number;
  /** What looks at the patches. */
  readonly pool: 'class' | 'mean' | 'attention';
  readonly heads: number;
}

/**
 * The maps of a picture and a text.
 *
 * @throws ImageError if the picture cannot be decoded; RangeError if the text is empty
 */
export async function heatMaps(
  pretrained: Pick<PretrainedModel, 'model' | 'params' | 'preprocess'>,
  embedder: Pick<Embedder, 'texts'>,
  image: ImageSource,
  text: string,
): Promise<HeatMaps> {
  if (text.trim() === '') throw new RangeError('heatMaps: the text is empty; say what to look for');
  const { model, params, preprocess } = pretrained;
  const { vision } = model.config;
  const { imageSize, patchSize, pool, heads } = vision;
  const prepared = await prepareImage(vision, image, preprocess);
  const { embedding, patches, attention } = model.image.features(
    params.image,
    inputOf(prepared, vision, deviceOf(params).image),
  );
  const [whole, parts, looks] = [await embedding.data(), await patches.data(), await attention.data()];
  const words = await embedder.texts([text]);
  const square = prepared instanceof Float32Array;
  const side = gridOf(vision);
  const grid = square ? ([side, side] as const) : prepared.grid;
  const count = grid[0] * grid[1];
  return {
    grid,
    ownShape: !square,
    covered: square ? (side * patchSize) / imageSize : 1,
    attention: meanOfHeads(looks, heads).subarray(0, count),
    // What comes after the patches is padding.
    similarity: products(parts, words).subarray(0, count),
    cosine: products(whole, words)[0] ?? Number.NaN,
    pool,
    heads,
  };
}

type VisionConfig = PretrainedModel['model']['config']['vision'];

function inputOf(prepared: PreparedImage, vision: VisionConfig, device: Device): Tensor | PatchedImages {
  const { imageSize, patchSize } = vision;
  if (prepared instanceof Float32Array) return tensor(prepared, [1, imageSize, imageSize, 3], { device });
  return patchedImages([prepared], {
    patchSize,
    positions: gridOf(vision),
    patches: mostPatches(vision),
    device,
  });
}

type Values = Awaited<ReturnType<Tensor['data']>>;

function meanOfHeads(rows: Values, heads: number): Float32Array {
  const width = rows.length / heads;
  const mean = new Float32Array(width);
  for (const [i, value] of rows.entries()) mean[i % width] = mean[i % width]! + value / heads;
  return mean;
}

/** Of every row with one vector. */
function products(rows: Values, vector: Float32Array): Float32Array {
  const width = vector.length;
  return Float32Array.from({ length: rows.length / width }, (_, row) =>
    vector.reduce((sum, value, i) => sum + value * rows[row * width + i]!, 0),
  );
}
