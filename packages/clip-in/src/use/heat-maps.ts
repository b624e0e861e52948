/**
 * What a model sees where: how much the pool of its image tower looks at each patch, and how near each patch is to a text.
 * Numbers only; `heat-map-figure.ts` makes a picture of them.
 *
 * Only the pooled features were trained to be near texts. Those of single patches follow more or less, so the second map shows what the model
 * has kept of the places, not where it has found the text.
 */
import { type ImageSource, preprocess } from '@clipin/data';
import { tensor } from '@clipin/tensor';
import type { Embedder } from '../evaluation/embedder';
import type { PretrainedModel } from '../weights/load-pretrained';

/** Maps over the patches of a picture. */
export interface HeatMaps {
  /** Patches along a side. */
  readonly grid: number;
  /** Share of the side of the input that the patches cover; less than 1 where the last pixels fill no patch. */
  readonly covered: number;
  /** Share of its attention that the pool gives to each patch, mean of the heads: `[grid, grid]`. */
  readonly attention: Float32Array;
  /** Cosines of patches and text: `[grid, grid]`. */
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
  const { model, params, preprocess: manner } = pretrained;
  const { imageSize, patchSize, pool, heads } = model.config.vision;
  const pixels = await preprocess(image, manner);
  const [embedding, patches, attention] = await featuresOf(model, params, pixels);
  const words = await embedder.texts([text]);
  const grid = Math.floor(imageSize / patchSize);
  return {
    grid,
    covered: (grid * patchSize) / imageSize,
    attention: meanOfRows(attention, grid ** 2),
    similarity: products(patches, words),
    cosine: products(embedding, words)[0] ?? Number.NaN,
    pool,
    heads,
  };
}

async function featuresOf(
  { config, image }: PretrainedModel['model'],
  params: PretrainedModel['params'],
  pixels: Float32Array,
): Promise<[embedding: Float32Array, patches: Float32Array, attention: Float32Array]> {
  const side = config.vision.imageSize;
  using input = tensor(pixels, [1, side, side, 3]);
  const { embedding, patches, attention } = image.features(params.image, input);
  const values = await Promise.all([embedding.data(), patches.data(), attention.data()]);
  return values.map((row) => Float32Array.from(row)) as [Float32Array, Float32Array, Float32Array];
}

function meanOfRows(rows: Float32Array, width: number): Float32Array {
  const count = rows.length / width;
  const mean = new Float32Array(width);
  rows.forEach((value, i) => {
    mean[i % width] = mean[i % width]! + value / count;
  });
  return mean;
}

/** Of every row with one vector. */
function products(rows: Float32Array, vector: Float32Array): Float32Array {
  const width = vector.length;
  return Float32Array.from({ length: rows.length / width }, (_, row) =>
    vector.reduce((sum, value, i) => sum + value * rows[row * width + i]!, 0),
  );
}
