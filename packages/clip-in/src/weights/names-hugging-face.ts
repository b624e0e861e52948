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

const embeddings: readonly TensorName[] = [
  ['vision_model.embeddings.position_embedding.weight', 'image.positions', 'same'],
  ['text_model.embeddings.token_embedding.weight', 'text.tokens.weight', 'same'],
  ['text_model.embeddings.position_embedding.weight', 'text.positions', 'same'],
];

/** Older files hold the buffers of indices. */
const ignored = /^(?:text|vision)_model\.embeddings\.position_ids$/;

/** `CLIPModel`. The misspelt `pre_layrnorm` is theirs. */
export const huggingFaceClip: Naming = {
  title: "Hugging Face's CLIPModel",
  ignored,
  names: [
    ...embeddings,
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
