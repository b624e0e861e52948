/**
 * Names of OpenAI's CLIP, which open_clip's `CLIP` has too; of its `CustomTextCLIP`, which puts `text.` before those of the
 * text tower; and of the same around an image tower of timm, for SigLIP.
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

const attentionOf = (ours: string, parts: readonly string[]): string[] =>
  parts.map((part) => `${ours}.attention.${part}`);

const timmImage: readonly TensorName[] = [
  ['visual.trunk.pos_embed', 'image.positions', 'leading1'],
  ['visual.trunk.patch_embed.proj.weight', 'image.patches.weight', 'convolution'],
  ['visual.trunk.patch_embed.proj.bias', 'image.patches.bias', 'same'],
  ...norm('visual.trunk.blocks.{i}.norm1', 'image.blocks.{i}.ln1'),
  ...linear('visual.trunk.blocks.{i}.attn.qkv', attentionOf('image.blocks.{i}', ['query', 'key', 'value'])),
  ...linear('visual.trunk.blocks.{i}.attn.proj', 'image.blocks.{i}.attention.out'),
  ...norm('visual.trunk.blocks.{i}.norm2', 'image.blocks.{i}.ln2'),
  ...linear('visual.trunk.blocks.{i}.mlp.fc1', 'image.blocks.{i}.mlp.up'),
  ...linear('visual.trunk.blocks.{i}.mlp.fc2', 'image.blocks.{i}.mlp.down'),
  ...norm('visual.trunk.norm', 'image.lnPost'),
  ['visual.trunk.attn_pool.latent', 'image.pool.probe', 'leading2'],
  ...linear('visual.trunk.attn_pool.q', 'image.pool.attention.query'),
  ...linear('visual.trunk.attn_pool.kv', attentionOf('image.pool', ['key', 'value'])),
  ...linear('visual.trunk.attn_pool.proj', 'image.pool.attention.out'),
  ...norm('visual.trunk.attn_pool.norm', 'image.pool.ln'),
  ...linear('visual.trunk.attn_pool.mlp.fc1', 'image.pool.mlp.up'),
  ...linear('visual.trunk.attn_pool.mlp.fc2', 'image.pool.mlp.down'),
];

/** A text tower but for its projection; `_res` is Long-CLIP's second table. */
const text = (prefix: string): TensorName[] => [
  [`${prefix}token_embedding.weight`, 'text.tokens.weight', 'same'],
  [`${prefix}positional_embedding`, 'text.positions', 'same'],
  [`${prefix}positional_embedding_res`, 'text.stretchedPositions', 'same'],
  ...blocks(`${prefix}transformer`, 'text'),
  ...norm(`${prefix}ln_final`, 'text.lnFinal'),
];

const logits: readonly TensorName[] = [
  ['logit_scale', 'logitScale', 'same'],
  ['logit_bias', 'logitBias', 'same'],
];

/** OpenAI's dictionaries hold three sizes; masks are made anew. */
const ignored = /^(?:input_resolution|context_length|vocab_size|(?:text\.)?(?:attn_mask|mask1|mask2))$/;

/** OpenAI's `CLIP` and open_clip's. */
export const openClip: Naming = {
  title: "OpenAI's and open_clip's CLIP",
  library: 'open-clip',
  ignored,
  names: [...image, ...text(''), ['text_projection', 'text.projection', 'same'], ...logits],
};

/** open_clip's `CustomTextCLIP`, as TULIP and CLIP-IN have it. */
export const openClipCustomText: Naming = {
  title: "open_clip's CustomTextCLIP",
  library: 'open-clip',
  ignored,
  names: [...image, ...text('text.'), ['text.text_projection', 'text.projection', 'same'], ...logits],
};

/** open_clip's `CustomTextCLIP` with an image tower of timm, as SigLIP has it. */
export const openClipSiglip: Naming = {
  title: "open_clip's CustomTextCLIP with timm's SigLIP tower",
  library: 'open-clip',
  ignored,
  names: [
    ...timmImage,
    ...text('text.'),
    ['text.text_projection.weight', 'text.projection', 'transposed'],
    ['text.text_projection.bias', 'text.projectionBias', 'same'],
    ...logits,
  ],
};
