/**
 * `config.json` of Hugging Face's `transformers`, to and from our configuration. Files hold only what differs from the
 * library's defaults, so the defaults stand here.
 */
import type { ActivationName } from '@clipin/nn';
import { z } from 'zod';
import { type Json, toJson } from '../checkpoint';
import type { ModelConfig, TextConfig, TowerConfig, VisionConfig } from '../configurations';
import { parseAs } from './json-file';

const WHAT = 'the configuration of a model';

/** Names of activations in `hidden_act`; the first of two is written. */
const ACTIVATIONS = {
  quick_gelu: 'quickGelu',
  gelu: 'gelu',
  gelu_pytorch_tanh: 'geluTanh',
  gelu_new: 'geluTanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
} as const satisfies Record<string, ActivationName>;

const activation = z.enum(Object.keys(ACTIVATIONS) as [keyof typeof ACTIVATIONS]);
const size = z.int().min(1);

/** A tower with the defaults that a kind of model has for it. */
const tower = (defaults: Sizes) =>
  z.object({
    hidden_size: size.default(defaults.width),
    intermediate_size: size.default(defaults.hidden),
    num_hidden_layers: size.default(12),
    num_attention_heads: size.default(defaults.heads),
    hidden_act: activation.default(defaults.act),
    layer_norm_eps: z.number().positive().default(defaults.epsilon),
  });

interface Sizes {
  readonly width: number;
  readonly hidden: number;
  readonly heads: number;
  readonly act: keyof typeof ACTIVATIONS;
  readonly epsilon: number;
}

const clipSizes = { act: 'quick_gelu', epsilon: 1e-5 } as const;
const siglipSizes = { width: 768, hidden: 3072, heads: 12, act: 'gelu_pytorch_tanh', epsilon: 1e-6 } as const;
const channels = z.literal(3).default(3);

const clip = z.object({
  projection_dim: size.default(512),
  text_config: tower({ ...clipSizes, width: 512, hidden: 2048, heads: 8 })
    .extend({ vocab_size: size.default(49408), max_position_embeddings: size.default(77) })
    .prefault({}),
  vision_config: tower({ ...clipSizes, width: 768, hidden: 3072, heads: 12 })
    .extend({ num_channels: channels, image_size: size.default(224), patch_size: size.default(32) })
    .prefault({}),
});

const siglipText = tower(siglipSizes)
  .extend({
    vocab_size: size.default(32000),
    max_position_embeddings: size.default(64),
    projection_size: size.nullish(),
  })
  .prefault({});

const siglip = z.object({
  text_config: siglipText,
  vision_config: tower(siglipSizes)
    .extend({
      num_channels: channels,
      image_size: size.default(224),
      patch_size: size.default(16),
      vision_use_head: z.literal(true).default(true),
    })
    .prefault({}),
});

const naflex = z.object({
  text_config: siglipText,
  vision_config: tower(siglipSizes)
    .extend({
      num_channels: channels,
      num_patches: size
        .refine((count) => Number.isInteger(Math.sqrt(count)), 'must be a square')
        .default(256),
      patch_size: size.default(16),
    })
    .prefault({}),
});

/** What says of which model a `config.json` is. */
const anyModel = z.object({ model_type: z.string() });

/**
 * Our configuration of a `config.json`.
 *
 * @param file - for the error
 * @throws Error naming the file and what in it does not fit, or the kinds of models that can be read
 */
export function fromHuggingFace(json: unknown, file: string): ModelConfig {
  const { model_type: type } = parseAs(anyModel, json, file, WHAT);
  switch (type) {
    case 'clip':
      return fromClip(parseAs(clip, withOldDictionaries(json), file, WHAT));
    case 'siglip':
      return fromSiglip(parseAs(siglip, json, file, WHAT));
    case 'siglip2':
      return fromNaflex(parseAs(naflex, json, file, WHAT));
    default:
      throw new Error(`${file}: model_type is "${type}"; can be read: clip, siglip, siglip2`);
  }
}

/** Files of before 2023 repeat the parts under `…_config_dict`, which then holds. */
function withOldDictionaries(json: unknown): unknown {
  const config = json as Record<string, unknown>;
  return {
    ...config,
    text_config: config.text_config_dict ?? config.text_config ?? {},
    vision_config: config.vision_config_dict ?? config.vision_config ?? {},
  };
}

type Tower = z.output<ReturnType<typeof tower>>;

/** Only what differs from our defaults, so that a published model equals the configuration of its name. */
const towerOf = (theirs: Tower): TowerConfig => ({
  width: theirs.hidden_size,
  depth: theirs.num_hidden_layers,
  heads: theirs.num_attention_heads,
  ...(theirs.intermediate_size !== 4 * theirs.hidden_size && { mlpHidden: theirs.intermediate_size }),
  activation: ACTIVATIONS[theirs.hidden_act],
  ...(theirs.layer_norm_eps !== 1e-5 && { epsilon: theirs.layer_norm_eps }),
});

const textOf = (theirs: Tower & { vocab_size: number; max_position_embeddings: number }): TextConfig => ({
  vocabulary: theirs.vocab_size,
  contextLength: theirs.max_position_embeddings,
  ...towerOf(theirs),
  positions: 'absolute',
});

const fromClip = ({ projection_dim, text_config, vision_config }: z.output<typeof clip>): ModelConfig => ({
  embedding: projection_dim,
  vision: {
    imageSize: vision_config.image_size,
    patchSize: vision_config.patch_size,
    ...towerOf(vision_config),
    pool: 'class',
  },
  text: textOf(text_config),
});

const fromSiglip = (config: z.output<typeof siglip>): ModelConfig =>
  siglipOf(config.text_config, {
    imageSize: config.vision_config.image_size,
    patchSize: config.vision_config.patch_size,
    ...towerOf(config.vision_config),
  });

const fromNaflex = (config: z.output<typeof naflex>): ModelConfig =>
  siglipOf(config.text_config, {
    imageSize: Math.sqrt(config.vision_config.num_patches) * config.vision_config.patch_size,
    patchSize: config.vision_config.patch_size,
    naflex: true,
    ...towerOf(config.vision_config),
  });

const siglipOf = (text: z.output<typeof siglipText>, vision: Omit<VisionConfig, 'pool'>): ModelConfig => ({
  embedding: text.projection_size ?? text.hidden_size,
  vision: { ...vision, pool: 'attention', patchBias: true, lnPre: false, projection: false },
  text: { ...textOf(text), causal: false, pool: 'last', projectionBias: true },
  logitBias: true,
});

/** Ids that `config.json` names. */
export interface SpecialIds {
  readonly start?: number;
  readonly end: number;
  readonly pad: number;
}

/**
 * The `config.json` of a model.
 *
 * @throws Error saying what of the model `transformers` has no word for
 */
export function toHuggingFace(config: ModelConfig, ids: SpecialIds): Json {
  const { vision, text } = config;
  const family = familyOf(config);
  const eos = {
    eos_token_id: ids.end,
    pad_token_id: ids.pad,
    ...(ids.start !== undefined && { bos_token_id: ids.start }),
  };
  const theirText = {
    ...theirTower(text),
    vocab_size: text.vocabulary,
    max_position_embeddings: text.contextLength,
    ...eos,
  };
  const grid = vision.naflex
    ? { num_patches: (vision.imageSize / vision.patchSize) ** 2 }
    : { image_size: vision.imageSize };
  const theirVision = { ...theirTower(vision), ...grid, patch_size: vision.patchSize, num_channels: 3 };
  if (family === 'clip') {
    return toJson({
      architectures: ['CLIPModel'],
      model_type: 'clip',
      projection_dim: config.embedding,
      text_config: { model_type: 'clip_text_model', projection_dim: config.embedding, ...theirText },
      vision_config: { model_type: 'clip_vision_model', projection_dim: config.embedding, ...theirVision },
      torch_dtype: 'float32',
    });
  }
  const type = family === 'naflex' ? 'siglip2' : 'siglip';
  return toJson({
    architectures: [family === 'naflex' ? 'Siglip2Model' : 'SiglipModel'],
    model_type: type,
    text_config: { model_type: `${type}_text_model`, projection_size: config.embedding, ...theirText },
    vision_config: { model_type: `${type}_vision_model`, ...theirVision },
    torch_dtype: 'float32',
  });
}

const theirTower = ({
  width,
  depth,
  heads,
  mlpHidden = 4 * width,
  activation,
  epsilon = 1e-5,
}: TowerConfig) => ({
  hidden_size: width,
  intermediate_size: mlpHidden,
  num_hidden_layers: depth,
  num_attention_heads: heads,
  hidden_act: (Object.keys(ACTIVATIONS) as (keyof typeof ACTIVATIONS)[]).find(
    (name) => ACTIVATIONS[name] === activation,
  ),
  layer_norm_eps: epsilon,
});

/** Which of their models a configuration is. */
export type Family = 'clip' | 'siglip' | 'naflex';

/**
 * Which of Hugging Face's models has the form of a configuration.
 *
 * @throws Error saying what of it none of them has
 */
export function familyOf({ vision, text, logitBias = false, embedding }: ModelConfig): Family {
  const form = {
    'image pool': vision.pool,
    'patch bias': vision.patchBias ?? false,
    'norm before the blocks': vision.lnPre ?? true,
    'image projection': vision.projection ?? true,
    'text positions': text.positions,
    'causal text': text.causal ?? true,
    'text pool': text.pool ?? 'end',
    'bias of the text projection': text.projectionBias ?? false,
    'logit bias': logitBias,
  };
  const wanted = vision.pool === 'attention' ? SIGLIP_FORM : CLIP_FORM;
  const differing = (Object.keys(form) as (keyof typeof form)[]).filter(
    (part) => form[part] !== wanted[part],
  );
  if (differing.length > 0) {
    const parts = differing.map((part) => `${part}: ${form[part]}, not ${wanted[part]}`);
    throw new Error(`Hugging Face's library has no such model: ${parts.join('; ')}`);
  }
  if (wanted === CLIP_FORM) return 'clip';
  if (vision.width !== embedding) {
    throw new Error(
      `Hugging Face's SigLIP has embeddings of the image tower's width, ${vision.width}, not ${embedding}`,
    );
  }
  return vision.naflex ? 'naflex' : 'siglip';
}

const CLIP_FORM = {
  'image pool': 'class',
  'patch bias': false,
  'norm before the blocks': true,
  'image projection': true,
  'text positions': 'absolute',
  'causal text': true,
  'text pool': 'end',
  'bias of the text projection': false,
  'logit bias': false,
} as const;

const SIGLIP_FORM = {
  'image pool': 'attention',
  'patch bias': true,
  'norm before the blocks': false,
  'image projection': false,
  'text positions': 'absolute',
  'causal text': false,
  'text pool': 'last',
  'bias of the text projection': true,
  'logit bias': true,
} as const;
