/** Images cut into patches, each mapped to a token. */
import { type Tensor, zeros } from '@clipin/tensor';
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
  /** `[width]` */
  readonly bias?: Tensor;
}

/** Options of `patchEmbedding`. */
export interface PatchEmbeddingOptions {
  /** Side of a patch in pixels. */
  readonly patchSize: number;
  readonly width: number;
  /** Default: 3. */
  readonly channels?: number;
  /** CLIP has none, SigLIP has one. Default: false. */
  readonly bias?: boolean;
  /** First values of the weight; the bias starts at 0. Default: `lecunNormal`. */
  readonly init?: Initializer;
}

/**
 * Non-overlapping patches times a matrix (Dosovitskiy et al. 2020, eq. 1): f32 `[batch, height, width, channels]` →
 * `[batch, patches, width]`, patches by row. Images that are cut already come as `[batch, patches, patch · patch · channels]`.
 */
export function patchEmbedding({
  patchSize,
  width,
  channels = 3,
  bias = false,
  init = lecunNormal,
}: PatchEmbeddingOptions): Layer<PatchEmbeddingParams, [images: Tensor], Tensor> {
  checkSizes('patchEmbedding', { patchSize, width, channels });
  const inputs = patchSize * patchSize * channels;
  const cut = (images: Tensor): Tensor => {
    checkInput('patchEmbedding', images, ['batch', 'height', 'width', channels]);
    const [batch, height, imageWidth] = images.shape as readonly [number, number, number, number];
    checkDivides('patchEmbedding', ['image height', height], ['patchSize', patchSize]);
    checkDivides('patchEmbedding', ['image width', imageWidth], ['patchSize', patchSize]);
    const [rows, columns] = [height / patchSize, imageWidth / patchSize];
    return images
      .reshape([batch, rows, patchSize, columns, patchSize, channels])
      .transpose([0, 1, 3, 2, 4, 5])
      .reshape([batch, rows * columns, inputs]);
  };
  return layer({
    init: (key): PatchEmbeddingParams => ({
      weight: init(key, [inputs, width]),
      ...(bias && { bias: zeros([width], { device: key.device }) }),
    }),
    apply(params, images: Tensor) {
      if (images.rank === 3) checkInput('patchEmbedding', images, ['batch', 'patches', inputs]);
      const product = (images.rank === 3 ? images : cut(images)).matmul(params.weight);
      return params.bias ? product.add(params.bias) : product;
    },
  });
}
