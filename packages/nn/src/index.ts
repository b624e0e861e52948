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
  type MultiHeadAttentionOptions,
  multiHeadAttention,
} from './attention';
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
export { type RotaryOptions, type RotaryTables, rotaryEmbedding, rotaryTables, rotate } from './rotary';
export { countParameters, summary } from './summary';
export {
  type PackedTexts,
  type TextTransformerOptions,
  type TextTransformerParams,
  textTransformer,
} from './text-transformer';
export {
  type BlockParams,
  type TransformerContext,
  type TransformerOptions,
  type TransformerStackOptions,
  transformer,
  transformerBlock,
} from './transformer';
export {
  type VisionTransformerOptions,
  type VisionTransformerParams,
  visionTransformer,
} from './vision-transformer';
