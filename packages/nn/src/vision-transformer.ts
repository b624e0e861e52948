/** The image tower of CLIP (Dosovitskiy et al. 2020; Radford et al. 2021). */
import { concatenate, type Key, type Tensor, zeros } from '@clipin/tensor';
import { checkDivides, checkInput, checkSizes } from './check';
import { type Initializer, scaledNormal } from './initializers';
import { initEach, type Layer, layer } from './layer';
import { type LayerNormParams, layerNorm } from './layer-norm';
import { type PatchEmbeddingParams, patchEmbedding } from './patch-embedding';
import { type BlockParams, type TransformerOptions, transformer } from './transformer';

/** Parameters of `visionTransformer`. */
export interface VisionTransformerParams {
  readonly patches: PatchEmbeddingParams;
  /** `[width]`; only where the pool is `class`. */
  readonly classToken?: Tensor;
  /** `[tokens, width]`; the class token's first. */
  readonly positions: Tensor;
  readonly lnPre: LayerNormParams;
  readonly blocks: readonly BlockParams[];
  readonly lnPost: LayerNormParams;
  /** `[width, outputs]` */
  readonly projection: Tensor;
}

/** Options of `visionTransformer`. */
export interface VisionTransformerOptions extends TransformerOptions {
  /** Side of the square images in pixels. */
  readonly imageSize: number;
  /** Side of a patch in pixels; divides the image's. */
  readonly patchSize: number;
  /** Width of the embedding. */
  readonly outputs: number;
  /** What stands for the image: a learned class token, or the mean of the patches. Default: `class`. */
  readonly pool?: 'class' | 'mean';
  /** First values of the positions. Default: normal with deviation `width^-0.5`. */
  readonly positionInit?: Initializer;
}

/**
 * Patches, positions, `lnPre`, blocks, pool, `lnPost`, projection: f32 `[batch, imageSize, imageSize, 3]` →
 * `[batch, outputs]`, not normalized.
 */
export function visionTransformer(
  options: VisionTransformerOptions,
): Layer<VisionTransformerParams, [images: Tensor], Tensor> {
  const { imageSize, patchSize, width, outputs, pool = 'class' } = options;
  checkSizes('visionTransformer', { imageSize, patchSize, width, outputs });
  checkDivides('visionTransformer', ['imageSize', imageSize], ['patchSize', patchSize]);
  const scaled = scaledNormal(width ** -0.5);
  const { positionInit = scaled } = options;
  const withClass = pool === 'class';
  const tokens = (imageSize / patchSize) ** 2 + Number(withClass);
  const norm = layerNorm(width);
  const patches = patchEmbedding({ patchSize, width });
  const blocks = transformer(options);
  const layers = {
    patches,
    ...(withClass && { classToken: { init: (key: Key) => scaled(key, [width]) } }),
    positions: { init: (key: Key) => positionInit(key, [tokens, width]) },
    lnPre: norm,
    blocks,
    lnPost: norm,
    projection: { init: (key: Key) => scaled(key, [width, outputs]) },
  };
  return layer({
    init: (key): VisionTransformerParams => initEach(key, layers),
    apply(params, images: Tensor) {
      checkInput('visionTransformer', images, ['batch', imageSize, imageSize, 3]);
      const batch = images.shape[0] as number;
      const embedded = patches.apply(params.patches, images);
      const sequence = params.classToken
        ? concatenate([params.classToken.expand([batch, 1, width]), embedded], 1)
        : embedded;
      // Of the last block nothing but the class token is needed.
      const first = zeros([batch, 1], { dtype: 'i32', device: images.device });
      const features = blocks.apply(
        params.blocks,
        norm.apply(params.lnPre, sequence.add(params.positions)),
        params.classToken ? { queries: first } : {},
      );
      const pooled = params.classToken ? features.squeeze(1) : features.mean(1);
      return norm.apply(params.lnPost, pooled).matmul(params.projection);
    },
  });
}
