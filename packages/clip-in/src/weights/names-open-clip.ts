/**
 * Names of OpenAI's CLIP, which open_clip's `CLIP` has too, and of its `CustomTextCLIP`, which puts `text.` before those of
 * the text tower.
 */
import { linear, norm, packed } from './names-parts';
import type { Naming, TensorName } from './naming';

/** The blocks of a tower. */
const blocks = (theirs: string, ours: string): TensorName[] => [
  ...norm(`${theirs}.resblocks.{i}.ln_1`, `${ours}.blocks.{i}.ln1`),
  ...packed(`${theirs}.resblocks.{i}.attn`, `${ours}.blocks.{i}.attention`),
  ...norm(`${theirs}.resblocks.{i}.ln_2`, `${ours}.blocks.{i}.ln2`),
  ...linear(`${theirs}.resblocks.{i}.mlp.c_fc`, `${ours}.blocks.{i}.mlp.up`),
  ...linear(`${theirs}.resblocks.{i}.mlp.c_proj`, `${ours}.blocks.{i}.mlp.down`),
];

const image: readonly TensorName[] = [
  ['visual.class_embedding', 'image.classToken', 'same'],
  ['visual.conv1.weight', 'image.patches.weight', 'convolution'],
  ['visual.positional_embedding', 'image.positions', 'same'],
  ...norm('visual.ln_pre', 'image.lnPre'),
  ...blocks('visual.transformer', 'image'),
  ...norm('visual.ln_post', 'image.lnPost'),
  ['visual.proj', 'image.projection', 'same'],
];

const text = (prefix: string): TensorName[] => [
  [`${prefix}token_embedding.weight`, 'text.tokens.weight', 'same'],
  [`${prefix}positional_embedding`, 'text.positions', 'same'],
  ...blocks(`${prefix}transformer`, 'text'),
  ...norm(`${prefix}ln_final`, 'text.lnFinal'),
  [`${prefix}text_projection`, 'text.projection', 'same'],
];

const logits: readonly TensorName[] = [['logit_scale', 'logitScale', 'same']];

/** OpenAI's dictionaries hold three sizes; masks and tables of angles are made anew. */
const ignored = /^(?:input_resolution|context_length|vocab_size|(?:text\.)?attn_mask)$/;

/** OpenAI's `CLIP` and open_clip's. */
export const openClip: Naming = {
  title: "OpenAI's and open_clip's CLIP",
  ignored,
  names: [...image, ...text(''), ...logits],
};

/** open_clip's `CustomTextCLIP`. */
export const openClipCustomText: Naming = {
  title: "open_clip's CustomTextCLIP",
  ignored,
  names: [...image, ...text('text.'), ...logits],
};
