/** `open_clip_config.json` of open_clip's folders, to and from our configuration. */
import type { ActivationName } from '@clipin/nn';
import { z } from 'zod';
import { type Json, toJson } from '../checkpoint';
import type { ModelConfig, TextConfig, VisionConfig } from '../configurations';
import { modelConfigSchema } from '../pretrained';
import { parseAs } from './json-file';
import { siglipVision, type Trunk, trunkNamed, trunkOf } from './timm-trunks';

const WHAT = "open_clip's configuration of a model";
const size = z.int().min(1);
const ratio = z.number().positive().default(4);

/** What other open_clip models have and ours do not: only the values that switch it off are taken. */
const off = z.union([z.null(), z.literal(false), z.literal(0)]).optional();

const vit = z.strictObject({
  layers: size.default(12),
  width: size.default(768),
  head_width: size.default(64),
  mlp_ratio: ratio,
  patch_size: size.default(16),
  image_size: size.default(224),
  pool_type: z.literal('tok').optional(),
  no_ln_pre: off,
  ls_init_value: off,
  patch_dropout: z.unknown().optional(),
  attentional_pool: off,
  final_ln_after_pool: off,
  output_tokens: off,
});

const timm = z.object({
  timm_model_name: z.string(),
  image_size: size.default(224),
  timm_pool: z.literal('map'),
  timm_proj: z.enum(['none', '']),
});

const text = z.strictObject({
  context_length: size.default(77),
  vocab_size: size.default(49408),
  width: size.default(512),
  heads: size.default(8),
  layers: size.default(12),
  mlp_ratio: ratio,
  no_causal_mask: z.boolean().default(false),
  proj_bias: z.boolean().default(false),
  pool_type: z.enum(['argmax', 'last']).default('argmax'),
  norm_kwargs: z.strictObject({ eps: z.number().positive().optional() }).prefault({}),
  act_kwargs: z.strictObject({ approximate: z.enum(['none', 'tanh']).optional() }).prefault({}),
  /** Not open_clip's: Long-CLIP's two tables of positions, and the rotary ones of TULIP and CLIP-IN. */
  stretched: z.boolean().default(false),
  rope: z.boolean().default(false),
  rope_base: z.number().positive().optional(),
  hf_tokenizer_name: z.unknown().optional(),
  hf_tokenizer_revision: z.unknown().optional(),
  tokenizer_kwargs: z.unknown().optional(),
  ls_init_value: off,
  embed_cls: off,
  no_causal: off,
  output_tokens: off,
});

const model = <Vision extends z.ZodType>(vision_cfg: Vision) =>
  z.object({
    model_cfg: z.object({
      embed_dim: size,
      quick_gelu: z.boolean().default(false),
      init_logit_bias: z.number().nullish(),
      vision_cfg,
      text_cfg: text,
    }),
  });
const vitModel = model(vit);
const timmModel = model(timm);

/**
 * Other programs do not look at `clip_in_config`: the configuration itself, since open_clip's words do not tell all of them
 * apart. Files that this package did not write have none.
 */
const exact = z.object({ clip_in_config: modelConfigSchema });

/** What says which of the schemas is to be asked, so that errors are of that one. */
const kind = z.object({
  clip_in_config: z.unknown().optional(),
  model_cfg: z
    .object({ vision_cfg: z.object({ timm_model_name: z.unknown().optional() }).optional() })
    .optional(),
});

/**
 * Our configuration of an `open_clip_config.json`.
 *
 * @param trunk - sizes of timm's tower as the tensors say, for names that are not known here
 * @throws Error naming the file and what in it does not fit or is of another kind of model
 */
export function fromOpenClip(
  json: unknown,
  file: string,
  trunk: () => Omit<Trunk, 'heads' | 'activation'>,
): ModelConfig {
  const { clip_in_config, model_cfg } = parseAs(kind, json, file, WHAT);
  if (clip_in_config !== undefined) return parseAs(exact, json, file, WHAT).clip_in_config;
  if (model_cfg?.vision_cfg?.timm_model_name === undefined) {
    const { model_cfg: config } = parseAs(vitModel, json, file, WHAT);
    const activation = config.quick_gelu ? 'quickGelu' : 'gelu';
    return assemble(config, vitOf(config.vision_cfg, activation), textOf(config.text_cfg, activation));
  }
  const { model_cfg: config } = parseAs(timmModel, json, file, WHAT);
  const ourText = textOf(config.text_cfg, 'gelu');
  const { timm_model_name: name, image_size: imageSize } = config.vision_cfg;
  // Both towers of a SigLIP are of one form.
  const form = trunkNamed(name) ?? { ...trunk(), heads: ourText.heads, activation: ourText.activation };
  return assemble(config, siglipVision(imageSize, form), ourText);
}

const assemble = (
  { embed_dim, init_logit_bias: bias }: { embed_dim: number; init_logit_bias?: number | null | undefined },
  vision: VisionConfig,
  ourText: TextConfig,
): ModelConfig => ({
  embedding: embed_dim,
  vision,
  text: ourText,
  ...(bias !== undefined && bias !== null && { logitBias: true }),
});

function vitOf(theirs: z.output<typeof vit>, activation: ActivationName): VisionConfig {
  const { width, mlp_ratio } = theirs;
  const hidden = Math.trunc(width * mlp_ratio);
  return {
    imageSize: theirs.image_size,
    patchSize: theirs.patch_size,
    width,
    depth: theirs.layers,
    ...(hidden !== 4 * width && { mlpHidden: hidden }),
    heads: Math.trunc(width / theirs.head_width),
    activation,
    pool: 'class',
  };
}

function textOf(theirs: z.output<typeof text>, activation: ActivationName): TextConfig {
  const { width, mlp_ratio, norm_kwargs, act_kwargs } = theirs;
  const hidden = Math.trunc(width * mlp_ratio);
  const { eps = 1e-5 } = norm_kwargs;
  return {
    vocabulary: theirs.vocab_size,
    contextLength: theirs.context_length,
    width,
    depth: theirs.layers,
    heads: theirs.heads,
    ...(hidden !== 4 * width && { mlpHidden: hidden }),
    activation: textActivation(theirs, act_kwargs.approximate, activation),
    ...(eps !== 1e-5 && { epsilon: eps }),
    positions: theirs.rope ? 'rotary' : theirs.stretched ? 'stretched' : 'absolute',
    ...(theirs.rope_base !== undefined && { rotaryBase: theirs.rope_base }),
    ...(theirs.no_causal_mask && { causal: false }),
    ...(theirs.pool_type === 'last' && { pool: 'last' as const }),
    ...(theirs.proj_bias && { projectionBias: true }),
  };
}

/** The published rotary towers have plain GELU, whatever the image tower has. */
function textActivation(
  { rope }: { rope: boolean },
  approximate: string | undefined,
  other: ActivationName,
): ActivationName {
  if (approximate === 'tanh') return 'geluTanh';
  return rope ? 'gelu' : other;
}

/**
 * The `model_cfg` of a model. open_clip builds rotary and stretched text towers from no configuration, so theirs it refuses.
 *
 * @throws Error saying what of the model open_clip has no word for
 */
export function toOpenClip({ embedding, vision, text, logitBias }: ModelConfig): Json {
  if (vision.naflex) throw new Error('open_clip has other towers and names for NaFlex');
  const isSiglip = vision.pool === 'attention';
  const quick = vision.activation === 'quickGelu';
  const plainText =
    text.positions === 'rotary' || text.activation === 'geluTanh' || text.activation === vision.activation;
  if (vision.pool === 'mean' || !(quick || vision.activation === 'gelu' || isSiglip) || !plainText) {
    throw new Error(
      `open_clip has no model with image pool ${vision.pool}, image activation ${vision.activation} and text activation ${text.activation}`,
    );
  }
  return toJson({
    embed_dim: embedding,
    ...(quick && { quick_gelu: true }),
    ...(logitBias && { init_logit_bias: -10 }),
    ...((isSiglip || text.positions === 'rotary') && { custom_text: true }),
    vision_cfg: isSiglip
      ? {
          image_size: vision.imageSize,
          timm_model_name: trunkOf(vision),
          timm_model_pretrained: false,
          timm_pool: 'map',
          timm_proj: 'none',
        }
      : {
          image_size: vision.imageSize,
          layers: vision.depth,
          width: vision.width,
          head_width: vision.width / vision.heads,
          ...ratioOf(vision),
          patch_size: vision.patchSize,
        },
    text_cfg: theirText(text),
  });
}

const theirText = (text: TextConfig) => ({
  context_length: text.contextLength,
  vocab_size: text.vocabulary,
  width: text.width,
  heads: text.heads,
  layers: text.depth,
  ...ratioOf(text),
  ...(text.causal === false && { no_causal_mask: true }),
  ...(text.pool === 'last' && { pool_type: 'last' }),
  ...(text.projectionBias && { proj_bias: true }),
  ...(text.epsilon !== undefined && { norm_kwargs: { eps: text.epsilon } }),
  ...(text.activation === 'geluTanh' && { act_kwargs: { approximate: 'tanh' } }),
  ...(text.positions === 'stretched' && { stretched: true }),
  ...(text.positions === 'rotary' && { rope: true }),
  ...(text.rotaryBase !== undefined && { rope_base: text.rotaryBase }),
});

/** Four digits suffice for the whole number that it becomes, as in open_clip's own files; they are rounded up. */
const ratioOf = ({ width, mlpHidden }: TextConfig | VisionConfig) =>
  mlpHidden !== undefined && { mlp_ratio: Math.ceil((mlpHidden / width) * 1e4) / 1e4 };
