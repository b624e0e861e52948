/**
 * Models by name: the sizes and forms of what others have published (OpenAI's CLIP, LAION's and DFN's by open_clip, SigLIP and
 * SigLIP 2, Long-CLIP, TULIP, CLIP-IN), and the small one of the emoji world. Plain data.
 */
import type { ActivationName } from '@clipin/nn';
import { readsPadding, shortLengthOf } from './text-lengths';

/** What both towers have. */
export interface TowerConfig {
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Hidden width of the perceptrons. Default: four times the width. */
  readonly mlpHidden?: number;
  readonly activation: ActivationName;
  /** Of the norms. Default: 1e-5. */
  readonly epsilon?: number;
}

/** The image tower; see `VisionTransformerOptions` of `@clipin/nn`. */
export interface VisionConfig extends TowerConfig {
  /** Side of the square images in pixels. */
  readonly imageSize: number;
  readonly patchSize: number;
  readonly pool: 'class' | 'mean' | 'attention';
  /** Default: false. */
  readonly patchBias?: boolean;
  /** Default: true. */
  readonly lnPre?: boolean;
  /** Default: true. */
  readonly projection?: boolean;
  /**
   * The published model takes images of any shape as patches (SigLIP 2 NaFlex); `imageSize` is then that of the grid of learned
   * positions. It says how images are prepared and what the weights are called; the tower is the same. Default: false.
   */
  readonly naflex?: boolean;
}

/** The text tower; see `TextTransformerOptions` of `@clipin/nn`. */
export interface TextConfig extends TowerConfig {
  readonly vocabulary: number;
  /** The most tokens of a text. */
  readonly contextLength: number;
  /**
   * Of towers that read padding (SigLIP's): texts that fit are padded to this length and longer ones to `contextLength`.
   * Default: all to `contextLength`.
   */
  readonly shortLength?: number;
  readonly positions: 'absolute' | 'stretched' | 'rotary';
  /** Default: 10000. */
  readonly rotaryBase?: number;
  /** Default: true. */
  readonly causal?: boolean;
  /** Default: `end`. */
  readonly pool?: 'end' | 'last';
  /** Default: false. */
  readonly projectionBias?: boolean;
}

/** A dual encoder. */
export interface ModelConfig {
  /** Width of the common embedding. */
  readonly embedding: number;
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  /** A learned bias of the logits, for the sigmoid loss (SigLIP). Default: false. */
  readonly logitBias?: boolean;
}

/** What OpenAI's family and open_clip's `CLIP` say of a model. Left out: heads of 64, perceptrons of four times the width. */
interface Sizes {
  readonly embedding: number;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly vision: {
    readonly width: number;
    readonly depth: number;
    readonly headWidth?: number;
    readonly mlpHidden?: number;
  };
  readonly text: { readonly width: number; readonly depth?: number };
}

/** CLIP: 77 tokens of a vocabulary of 49,408. */
const clip = (
  { embedding, imageSize, patchSize, vision, text }: Sizes,
  activation: ActivationName,
): ModelConfig => {
  const { headWidth = 64, ...size } = vision;
  return {
    embedding,
    vision: { imageSize, patchSize, ...size, heads: size.width / headWidth, activation, pool: 'class' },
    text: {
      vocabulary: 49408,
      contextLength: 77,
      width: text.width,
      depth: text.depth ?? 12,
      heads: text.width / 64,
      activation,
      positions: 'absolute',
    },
  };
};

const b32 = {
  embedding: 512,
  imageSize: 224,
  patchSize: 32,
  vision: { width: 768, depth: 12 },
  text: { width: 512 },
};
const b16 = { ...b32, patchSize: 16 };
const l14 = {
  embedding: 768,
  imageSize: 224,
  patchSize: 14,
  vision: { width: 1024, depth: 24 },
  text: { width: 768 },
};
const h14 = {
  embedding: 1024,
  imageSize: 224,
  patchSize: 14,
  vision: { width: 1280, depth: 32, headWidth: 80 },
  text: { width: 1024, depth: 24 },
};
const bigG14 = {
  embedding: 1280,
  imageSize: 224,
  patchSize: 14,
  vision: { width: 1664, depth: 48, headWidth: 104, mlpHidden: 8192 },
  text: { width: 1280, depth: 32 },
};

/** SigLIP: both towers of one size. */
const siglip = (
  size: Pick<TowerConfig, 'width' | 'depth' | 'heads' | 'mlpHidden'>,
  vision: Pick<VisionConfig, 'imageSize' | 'patchSize' | 'naflex'>,
  text: Pick<TextConfig, 'vocabulary' | 'contextLength'>,
): ModelConfig => {
  const tower = { ...size, activation: 'geluTanh', epsilon: 1e-6 } as const;
  return {
    embedding: size.width,
    vision: { ...vision, ...tower, pool: 'attention', patchBias: true, lnPre: false, projection: false },
    text: { ...text, ...tower, positions: 'absolute', causal: false, pool: 'last', projectionBias: true },
    logitBias: true,
  };
};

const siglipB = { width: 768, depth: 12, heads: 12 };
const so400m = { width: 1152, depth: 27, heads: 16, mlpHidden: 4304 };
const english = { vocabulary: 32000, contextLength: 64 };
/** Gemma's tokens, of SigLIP 2. */
const multilingual = { vocabulary: 256000, contextLength: 64 };

/** Long-CLIP: the two tables of stretched positions. */
const withStretchedText = (config: ModelConfig): ModelConfig => ({
  ...config,
  text: { ...config.text, positions: 'stretched', contextLength: 248 },
});

const smallWorld: ModelConfig = {
  embedding: 128,
  vision: { imageSize: 48, patchSize: 8, width: 96, depth: 4, heads: 3, activation: 'gelu', pool: 'class' },
  text: {
    vocabulary: 512,
    contextLength: 28,
    width: 96,
    depth: 3,
    heads: 3,
    activation: 'gelu',
    positions: 'absolute',
  },
};

/**
 * The same model with the text tower of CLIP-IN: rotary positions, longer texts, and the plain GELU of the released code.
 *
 * How CLIP-IN made the tower of SigLIP 2 rotary is not published, and no such checkpoint is to be matched. So all but the positions
 * stays as the tower was trained: it sees both ways, reads padding, takes its last token and keeps its activation; what
 * fitted before is padded to the same length as before (`shortLength`), and only longer texts to `contextLength`. The bias of
 * the logits goes, as the released code drops it: the losses are softmaxes, which do not see it.
 *
 * @param contextLength - the most tokens of a long caption. Default: 248, as in Long-CLIP and TULIP
 */
export function withRotaryText(
  { logitBias: _, text, ...config }: ModelConfig,
  contextLength = 248,
): ModelConfig {
  const { shortLength: __, ...tower } = { ...text, positions: 'rotary', contextLength } as const;
  if (!readsPadding(text)) return { ...config, text: { ...tower, activation: 'gelu' } };
  const shortLength = shortLengthOf(text);
  return { ...config, text: { ...tower, ...(shortLength < contextLength && { shortLength }) } };
}

/**
 * The models that can be asked for by name. OpenAI's and DFN's weights are of QuickGELU, LAION's of plain GELU; SigLIP's are of
 * the tanh approximation, as Hugging Face's `SiglipModel` has it.
 */
export const configurations = {
  'small-world': smallWorld,
  'ViT-B/32': clip(b32, 'quickGelu'),
  'ViT-B/16': clip(b16, 'quickGelu'),
  'ViT-L/14': clip(l14, 'quickGelu'),
  'ViT-L/14@336': clip({ ...l14, imageSize: 336 }, 'quickGelu'),
  'LAION-ViT-B/32': clip(b32, 'gelu'),
  'LAION-ViT-B/16': clip(b16, 'gelu'),
  'LAION-ViT-L/14': clip(l14, 'gelu'),
  'LAION-ViT-H/14': clip(h14, 'gelu'),
  'LAION-ViT-bigG/14': clip(bigG14, 'gelu'),
  'DFN-ViT-H/14': clip(h14, 'quickGelu'),
  'DFN-ViT-H/14@378': clip({ ...h14, imageSize: 378 }, 'quickGelu'),
  'SigLIP-B/16': siglip(siglipB, { imageSize: 224, patchSize: 16 }, english),
  'SigLIP-So400m/14': siglip(so400m, { imageSize: 224, patchSize: 14 }, { ...english, contextLength: 16 }),
  'SigLIP-So400m/14@384': siglip(so400m, { imageSize: 384, patchSize: 14 }, english),
  'SigLIP2-B/16': siglip(siglipB, { imageSize: 224, patchSize: 16 }, multilingual),
  'SigLIP2-So400m/14': siglip(so400m, { imageSize: 224, patchSize: 14 }, multilingual),
  'SigLIP2-So400m/14@384': siglip(so400m, { imageSize: 384, patchSize: 14 }, multilingual),
  'SigLIP2-So400m/16@384': siglip(so400m, { imageSize: 384, patchSize: 16 }, multilingual),
  'SigLIP2-B/16-NaFlex': siglip(siglipB, { imageSize: 256, patchSize: 16, naflex: true }, multilingual),
  'SigLIP2-So400m/16-NaFlex': siglip(so400m, { imageSize: 256, patchSize: 16, naflex: true }, multilingual),
  'Long-CLIP-B/16': withStretchedText(clip(b16, 'quickGelu')),
  'Long-CLIP-L/14': withStretchedText(clip(l14, 'quickGelu')),
  'TULIP-B/16': withRotaryText(clip(b16, 'quickGelu')),
  'TULIP-L/14': withRotaryText(clip(l14, 'quickGelu')),
  'CLIP-IN-L/14@336': withRotaryText(clip({ ...l14, imageSize: 336 }, 'quickGelu')),
} as const satisfies Record<string, ModelConfig>;

/** Name of a model. */
export type ModelName = keyof typeof configurations;
