/**
 * Layers as pairs of functions, `init` and `apply`, over plain typed trees of parameters.
 *
 * @module
 */

export {
  type Activation,
  type ActivationName,
  activations,
  gelu,
  geluTanh,
  quickGelu,
  relu,
  silu,
} from './activations';
export {
  type AttentionContext,
  type AttentionParams,
  keyMask,
  type MultiHeadAttention,
  type MultiHeadAttentionOptions,
  multiHeadAttention,
} from './attention';
export {
  type AttentionPool,
  type AttentionPoolContext,
  type AttentionPoolOptions,
  type AttentionPoolParams,
  attentionPool,
} from './attention-pool';
export { dropout } from './dropout';
export {
  heNormal,
  type Initializer,
  lecunNormal,
  scaledNormal,
  sinCosPositions,
  xavierUniform,
} from './initializers';
export { type Initializable, initEach, type Layer, layer, type ParamsOf, type ParamsOfEach } from './layer';
export { type LayerNormOptions, type LayerNormParams, l2Normalize, layerNorm } from './layer-norm';
export {
  type EmbeddingOptions,
  type EmbeddingParams,
  embedding,
  type LinearOptions,
  type LinearParams,
  linear,
} from './linear';
export { type MlpOptions, type MlpParams, mlp } from './mlp';
export { type PatchEmbeddingOptions, type PatchEmbeddingParams, patchEmbedding } from './patch-embedding';
export {
  type ImagePatches,
  type PatchedImages,
  type PatchedImagesOptions,
  patchedImages,
} from './patched-images';
export {
  type GridMethod,
  type GridShape,
  gridWeights,
  type ResizePositionsOptions,
  resizePositions,
  type StretchPositionsOptions,
  stretchPositions,
} from './position-grid';
export {
  type NtkOptions,
  ntkBase,
  type RotaryOptions,
  type RotaryTables,
  rotaryEmbedding,
  rotaryTables,
  rotate,
} from './rotary';
export { countParameters, summary } from './summary';
export {
  keptPositions,
  type PackedTexts,
  type TextTransformerOptions,
  type TextTransformerParams,
  textTransformer,
} from './text-transformer';
export {
  type BlockContext,
  type BlockParams,
  type TransformerBlock,
  type TransformerContext,
  type TransformerOptions,
  type TransformerStackOptions,
  transformer,
  transformerBlock,
} from './transformer';
export {
  type ImageFeatures,
  type VisionTransformer,
  type VisionTransformerOptions,
  type VisionTransformerParams,
  visionTransformer,
} from './vision-transformer';
