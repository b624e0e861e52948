/** Images cut into patches, each mapped to a token. */
import type { Tensor } from '@clipin/tensor';
import { checkDivides, checkInput, checkSizes } from './check';
import { type Initializer, lecunNormal } from './initializers';
import { type Layer, layer } from './layer';

/** Parameters of `patchEmbedding`. */
export interface PatchEmbeddingParams {
  /**
   * `[patch · patch · channels, width]`, rows by (row, column, channel) of the patch. A convolution's weight
   * `[width, channels, patch, patch]` becomes it by `transpose([2, 3, 1, 0])` and `reshape([-1, width])`.
   */
  readonly weight: Tensor;
}

/** Options of `patchEmbedding`. */
export interface PatchEmbeddingOptions {
  /** Side of a patch in pixels. */
  readonly patchSize: number;
  readonly width: number;
  /** Default: 3. */
  readonly channels?: number;
  /** First values of the weight. Default: `lecunNormal`. */
  readonly init?: Initializer;
}

/**
 * Non-overlapping patches times a matrix, without bias, as in CLIP (Dosovitskiy et al. 2020, eq. 1): f32
 * `[batch, height, width, channels]` → `[batch, patches, width]`, patches by row.
 */
export function patchEmbedding({
  patchSize,
  width,
  channels = 3,
  init = lecunNormal,
}: PatchEmbeddingOptions): Layer<PatchEmbeddingParams, [images: Tensor], Tensor> {
  checkSizes('patchEmbedding', { patchSize, width, channels });
  const inputs = patchSize * patchSize * channels;
  return layer({
    init: (key): PatchEmbeddingParams => ({ weight: init(key, [inputs, width]) }),
    apply(params, images: Tensor) {
      checkInput('patchEmbedding', images, ['batch', 'height', 'width', channels]);
      const [batch, height, imageWidth] = images.shape as readonly [number, number, number, number];
      checkDivides('patchEmbedding', ['image height', height], ['patchSize', patchSize]);
      checkDivides('patchEmbedding', ['image width', imageWidth], ['patchSize', patchSize]);
      const [rows, columns] = [height / patchSize, imageWidth / patchSize];
      return images
        .reshape([batch, rows, patchSize, columns, patchSize, channels])
        .transpose([0, 1, 3, 2, 4, 5])
        .reshape([batch, rows * columns, inputs])
        .matmul(params.weight);
    },
  });
}
