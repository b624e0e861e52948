/** Names of Hugging Face's `transformers`: `CLIPModel`, and the SigLIP models. */
import { linear, norm, packed } from './names-parts';
import type { Naming, TensorName } from './naming';

/** The blocks of a tower; the names of all of its models. */
const encoder = (theirs: string, ours: string): TensorName[] => [
  ...norm(`${theirs}.encoder.layers.{i}.layer_norm1`, `${ours}.blocks.{i}.ln1`),
  ...linear(`${theirs}.encoder.layers.{i}.self_attn.q_proj`, `${ours}.blocks.{i}.attention.query`),
  ...linear(`${theirs}.encoder.layers.{i}.self_attn.k_proj`, `${ours}.blocks.{i}.attention.key`),
  ...linear(`${theirs}.encoder.layers.{i}.self_attn.v_proj`, `${ours}.blocks.{i}.attention.value`),
  ...linear(`${theirs}.encoder.layers.{i}.self_attn.out_proj`, `${ours}.blocks.{i}.attention.out`),
  ...norm(`${theirs}.encoder.layers.{i}.layer_norm2`, `${ours}.blocks.{i}.ln2`),
  ...linear(`${theirs}.encoder.layers.{i}.mlp.fc1`, `${ours}.blocks.{i}.mlp.up`),
  ...linear(`${theirs}.encoder.layers.{i}.mlp.fc2`, `${ours}.blocks.{i}.mlp.down`),
];

const positionsAndTokens: readonly TensorName[] = [
  ['vision_model.embeddings.position_embedding.weight', 'image.positions', 'same'],
  ['text_model.embeddings.token_embedding.weight', 'text.tokens.weight', 'same'],
  ['text_model.embeddings.position_embedding.weight', 'text.positions', 'same'],
];

/** Older files hold the buffers of indices. */
const ignored = /^(?:text|vision)_model\.embeddings\.position_ids$/;

/** `CLIPModel`. The misspelt `pre_layrnorm` is theirs. */
export const huggingFaceClip: Naming = {
  title: "Hugging Face's CLIPModel",
  library: 'hugging-face',
  ignored,
  names: [
    ...positionsAndTokens,
    ['vision_model.embeddings.class_embedding', 'image.classToken', 'same'],
    ['vision_model.embeddings.patch_embedding.weight', 'image.patches.weight', 'convolution'],
    ...norm('vision_model.pre_layrnorm', 'image.lnPre'),
    ...encoder('vision_model', 'image'),
    ...norm('vision_model.post_layernorm', 'image.lnPost'),
    ['visual_projection.weight', 'image.projection', 'transposed'],
    ...encoder('text_model', 'text'),
    ...norm('text_model.final_layer_norm', 'text.lnFinal'),
    ['text_projection.weight', 'text.projection', 'transposed'],
    ['logit_scale', 'logitScale', 'same'],
  ],
};

/** All of a SigLIP but the weight of its patches. */
const siglip: readonly TensorName[] = [
  ...positionsAndTokens,
  ['vision_model.embeddings.patch_embedding.bias', 'image.patches.bias', 'same'],
  ...encoder('vision_model', 'image'),
  ...norm('vision_model.post_layernorm', 'image.lnPost'),
  ['vision_model.head.probe', 'image.pool.probe', 'leading2'],
  ...packed('vision_model.head.attention', 'image.pool.attention'),
  ...norm('vision_model.head.layernorm', 'image.pool.ln'),
  ...linear('vision_model.head.mlp.fc1', 'image.pool.mlp.up'),
  ...linear('vision_model.head.mlp.fc2', 'image.pool.mlp.down'),
  ...encoder('text_model', 'text'),
  ...norm('text_model.final_layer_norm', 'text.lnFinal'),
  ['text_model.head.weight', 'text.projection', 'transposed'],
  ['text_model.head.bias', 'text.projectionBias', 'same'],
  ['logit_scale', 'logitScale', 'leading1'],
  ['logit_bias', 'logitBias', 'leading1'],
];

/** `SiglipModel`, of SigLIP and of SigLIP 2 of one size. */
export const huggingFaceSiglip: Naming = {
  title: "Hugging Face's SiglipModel",
  library: 'hugging-face',
  ignored,
  names: [
    ...siglip,
    ['vision_model.embeddings.patch_embedding.weight', 'image.patches.weight', 'convolution'],
  ],
};

/** `Siglip2Model`, NaFlex: it gets its patches cut, so theirs is a linear map. */
export const huggingFaceNaflex: Naming = {
  title: "Hugging Face's Siglip2Model",
  library: 'hugging-face',
  ignored,
  names: [
    ...siglip,
    ['vision_model.embeddings.patch_embedding.weight', 'image.patches.weight', 'transposed'],
  ],
};
