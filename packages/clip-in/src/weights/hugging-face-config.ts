/**
 * `config.json` of Hugging Face's `transformers`, to and from our configuration. Files hold only what differs from the
 * library's defaults, so the defaults stand here.
 */
import type { ActivationName } from '@clipin/nn';
import { z } from 'zod';
import type { ModelConfig } from '../configurations';
import { parseAs } from './json-file';

const WHAT = 'the configuration of a model';

const size = z.int().min(1);

/** Names of activations in `hidden_act`. */
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

const clipText = z.object({
  vocab_size: size.default(49408),
  hidden_size: size.default(512),
  intermediate_size: size.default(2048),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(8),
  max_position_embeddings: size.default(77),
  hidden_act: activation.default('quick_gelu'),
  layer_norm_eps: z.number().default(1e-5),
});

const clipVision = z.object({
  hidden_size: size.default(768),
  intermediate_size: size.default(3072),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(12),
  num_channels: z.literal(3).default(3),
  image_size: size.default(224),
  patch_size: size.default(32),
  hidden_act: activation.default('quick_gelu'),
  layer_norm_eps: z.number().default(1e-5),
});

const clip = z.object({
  model_type: z.literal('clip'),
  projection_dim: size.default(512),
  text_config: clipText.prefault({}),
  vision_config: clipVision.prefault({}),
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
  if (type === 'clip') return fromClip(parseAs(clip, withOldDictionaries(json), file, WHAT));
  throw new Error(`${file}: model_type is "${type}"; can be read: clip`);
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

function fromClip({
  projection_dim,
  text_config: text,
  vision_config: vision,
}: z.output<typeof clip>): ModelConfig {
  return {
    embedding: projection_dim,
    vision: {
      imageSize: vision.image_size,
      patchSize: vision.patch_size,
      width: vision.hidden_size,
      depth: vision.num_hidden_layers,
      heads: vision.num_attention_heads,
      activation: ACTIVATIONS[vision.hidden_act],
      pool: 'class',
    },
    text: {
      vocabulary: text.vocab_size,
      contextLength: text.max_position_embeddings,
      width: text.hidden_size,
      depth: text.num_hidden_layers,
      heads: text.num_attention_heads,
      activation: ACTIVATIONS[text.hidden_act],
      positions: 'absolute',
    },
  };
}
