/**
 * The image tower of CLIP (Dosovitskiy et al. 2020; Radford et al. 2021) and of SigLIP (Zhai et al. 2023). They differ in
 * what stands for the image and in which parts there are; the options name that.
 */
import { concatenate, full, type Key, Tensor, zeros } from '@clipin/tensor';
import { keyMask } from './attention';
import { type AttentionPoolParams, attentionPool } from './attention-pool';
import { checkInput, checkSizes } from './check';
import { type Initializer, scaledNormal } from './initializers';
import { initEach, type Layer } from './layer';
import { type LayerNormParams, layerNorm } from './layer-norm';
import { type PatchEmbeddingParams, patchEmbedding } from './patch-embedding';
import type { PatchedImages } from './patched-images';
import { type BlockParams, type TransformerOptions, transformer, transformerBlock } from './transformer';

/** Parameters of `visionTransformer`. */
export interface VisionTransformerParams {
  readonly patches: PatchEmbeddingParams;
  /** `[width]`; only where the pool is `class`. */
  readonly classToken?: Tensor;
  /** `[tokens, width]`; the class token's first. */
  readonly positions: Tensor;
  /** Only where there is a norm before the blocks. */
  readonly lnPre?: LayerNormParams;
  readonly blocks: readonly BlockParams[];
  readonly lnPost: LayerNormParams;
  /** Only where the pool is `attention`. */
  readonly pool?: AttentionPoolParams;
  /** `[width, outputs]`; only where there is a projection. */
  readonly projection?: Tensor;
}

/** Options of `visionTransformer`. The defaults are CLIP's. */
export interface VisionTransformerOptions extends TransformerOptions {
  /** Side of the square images in pixels. */
  readonly imageSize: number;
  /**
   * Side of a patch in pixels. Where it does not divide the image's, the rest at the right and lower edge is not looked at,
   * as by a convolution: SigLIP cuts 27 patches of 14 from 384 pixels.
   */
  readonly patchSize: number;
  /** Width of the embedding. */
  readonly outputs: number;
  /**
   * What stands for the image: a learned class token, the mean of the patches, or what a learned probe sees in them
   * (`attentionPool`, SigLIP's). Default: `class`.
   */
  readonly pool?: 'class' | 'mean' | 'attention';
  /** A bias of the patches. SigLIP has one. Default: false. */
  readonly patchBias?: boolean;
  /** A norm before the blocks. SigLIP has none. Default: true. */
  readonly lnPre?: boolean;
  /** A map to the width of the embedding. SigLIP has none, so that `outputs` is the width. Default: true. */
  readonly projection?: boolean;
  /** First values of the positions. Default: normal with deviation `width^-0.5`. */
  readonly positionInit?: Initializer;
}

/** What a tower sees in the parts of images. */
export interface ImageFeatures {
  /** What the tower gives of the whole images, `[batch, outputs]`. */
  readonly embedding: Tensor;
  /**
   * The same of each patch, `[batch, patches, outputs]`: its features after the last block in the place of the pooled ones.
   * A probe sees it alone.
   */
  readonly patches: Tensor;
  /**
   * How much the pool looks at each patch, `[batch, heads, patches]`: the class token in the last block (what it keeps for
   * itself makes these less than 1 in all), the probe, or the same for all.
   */
  readonly attention: Tensor;
}

/** The tower as a layer, and what it sees in the parts of images. */
export interface VisionTransformer
  extends Layer<VisionTransformerParams, [images: Tensor | PatchedImages], Tensor> {
  /** Features of all patches, and where the pool looks; for pictures of what a model sees. */
  features(params: VisionTransformerParams, images: Tensor | PatchedImages): ImageFeatures;
}

/**
 * Patches, positions, `lnPre`, blocks, pool, `lnPost`, projection: f32 `[batch, imageSize, imageSize, 3]` →
 * `[batch, outputs]`, not normalized. Before the pool `attention` comes `lnPost`, as in SigLIP; with it, images may also come
 * as patches of grids of any shape (NaFlex).
 */
export function visionTransformer(options: VisionTransformerOptions): VisionTransformer {
  const { imageSize, patchSize, width, heads, outputs, pool = 'class', epsilon = 1e-5 } = options;
  checkSizes('visionTransformer', { imageSize, patchSize, width, outputs });
  const { patchBias = false, lnPre = true, projection = true } = options;
  if (!projection && outputs !== width) {
    throw new RangeError(
      `visionTransformer: outputs is ${outputs} without a projection; wants the width, ${width}`,
    );
  }
  const grid = Math.floor(imageSize / patchSize);
  if (grid < 1)
    throw new RangeError(`visionTransformer: patchSize ${patchSize} is more than imageSize ${imageSize}`);
  const scaled = scaledNormal(width ** -0.5);
  const { positionInit = scaled } = options;
  const withClass = pool === 'class';
  const tokens = grid ** 2 + Number(withClass);
  const norm = layerNorm(width, { epsilon });
  const patches = patchEmbedding({ patchSize, width, bias: patchBias });
  const [blocks, lastBlock] = [transformer(options), transformerBlock(options)];
  const probe = attentionPool(options);
  const layers = {
    patches,
    ...(withClass && { classToken: { init: (key: Key) => scaled(key, [width]) } }),
    positions: { init: (key: Key) => positionInit(key, [tokens, width]) },
    ...(lnPre && { lnPre: norm }),
    blocks,
    lnPost: norm,
    ...(pool === 'attention' && { pool: probe }),
    ...(projection && { projection: { init: (key: Key) => scaled(key, [width, outputs]) } }),
  };

  /** What goes into the blocks, `[batch, tokens, width]`, and which keys are no padding. */
  function tokensOf(params: VisionTransformerParams, images: Tensor | PatchedImages) {
    const embedded = images instanceof Tensor ? ofSquares(params, images) : ofPatches(params, images);
    const x = params.lnPre ? norm.apply(params.lnPre, embedded) : embedded;
    return { x, context: images instanceof Tensor ? {} : { mask: keyMask(images.mask) } };
  }

  function ofSquares(params: VisionTransformerParams, images: Tensor): Tensor {
    checkInput('visionTransformer', images, ['batch', imageSize, imageSize, 3]);
    const side = grid * patchSize;
    const whole = side === imageSize ? images : images.slice(undefined, [0, side], [0, side]);
    const embedded = patches.apply(params.patches, whole);
    const sequence = params.classToken
      ? concatenate([params.classToken.expand([images.shape[0] as number, 1, width]), embedded], 1)
      : embedded;
    return sequence.add(params.positions);
  }

  function ofPatches(params: VisionTransformerParams, images: PatchedImages): Tensor {
    if (pool !== 'attention') {
      throw new RangeError(
        `visionTransformer: patches of any grid need the pool attention; this one is ${pool}`,
      );
    }
    const [batch, count] = images.patches.shape as readonly [number, number, number];
    checkInput('visionTransformer positions', images.positions, [batch, count, grid ** 2]);
    return patches.apply(params.patches, images.patches).add(images.positions.matmul(params.positions));
  }

  const project = (params: VisionTransformerParams, x: Tensor): Tensor =>
    params.projection ? x.matmul(params.projection) : x;
  const first = (x: Tensor): Tensor => zeros([x.shape[0] as number, 1], { dtype: 'i32', device: x.device });

  return {
    init: (key): VisionTransformerParams => initEach(key, layers),
    apply(params, images: Tensor | PatchedImages) {
      const { x, context } = tokensOf(params, images);
      // Of the last block nothing but the class token is needed.
      const queries = params.classToken && { queries: first(x) };
      const features = blocks.apply(params.blocks, x, { ...context, ...queries });
      if (params.pool) {
        return project(params, probe.apply(params.pool, norm.apply(params.lnPost, features), context));
      }
      const pooled = params.classToken ? features.squeeze(1) : features.mean(1);
      return project(params, norm.apply(params.lnPost, pooled));
    },
    features(params: VisionTransformerParams, images: Tensor | PatchedImages): ImageFeatures {
      const { x, context } = tokensOf(params, images);
      const last = params.blocks.at(-1) as BlockParams; // the depth is at least 1
      const before = blocks.apply(params.blocks.slice(0, -1), x, context);
      const features = lastBlock.apply(last, before, context);
      const normed = norm.apply(params.lnPost, features);
      const [batch, count] = normed.shape as readonly [number, number, number];
      if (params.pool) {
        const alone = probe.apply(params.pool, normed.reshape([batch * count, 1, width]));
        return {
          embedding: project(params, probe.apply(params.pool, normed, context)),
          patches: project(params, alone.reshape([batch, count, width])),
          attention: probe.weights(params.pool, normed, context),
        };
      }
      if (params.classToken) {
        const projected = project(params, normed);
        const looks = lastBlock.attentionWeights(last, before, { queries: first(x) });
        return {
          embedding: projected.slice(undefined, [0, 1]).squeeze(1),
          patches: projected.slice(undefined, [1]),
          attention: looks.slice(undefined, undefined, undefined, [1]).squeeze(2),
        };
      }
      return {
        embedding: project(params, norm.apply(params.lnPost, features.mean(1))),
        patches: project(params, normed),
        attention: full([batch, heads, count], 1 / count, { device: x.device }),
      };
    },
  };
}
