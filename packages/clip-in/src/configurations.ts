/**
 * Models by name: OpenAI's CLIP in four sizes (Radford et al. 2021, table 20), with absolute positions as published or with
 * the rotary text tower of CLIP-IN, and the small one of the emoji world. Plain data.
 */
import type { ActivationName } from '@clipin/nn';

/** The image tower. */
export interface VisionConfig {
  /** Side of the square images in pixels. */
  readonly imageSize: number;
  readonly patchSize: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly activation: ActivationName;
  readonly pool: 'class' | 'mean';
}

/** The text tower. */
export interface TextConfig {
  readonly vocabulary: number;
  /** The most tokens of a text. */
  readonly contextLength: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly activation: ActivationName;
  readonly positions: 'absolute' | 'rotary';
}

/** A dual encoder. */
export interface ModelConfig {
  /** Width of the common embedding. */
  readonly embedding: number;
  readonly vision: VisionConfig;
  readonly text: TextConfig;
}

interface Sizes {
  readonly embedding: number;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly vision: { readonly width: number; readonly depth: number };
  readonly textWidth: number;
}

/** OpenAI's family: heads of 64, 12 text layers, 77 tokens of a vocabulary of 49,408. */
const openai = ({ embedding, imageSize, patchSize, vision, textWidth }: Sizes): ModelConfig => ({
  embedding,
  vision: {
    imageSize,
    patchSize,
    ...vision,
    heads: vision.width / 64,
    activation: 'quickGelu',
    pool: 'class',
  },
  text: {
    vocabulary: 49408,
    contextLength: 77,
    width: textWidth,
    depth: 12,
    heads: textWidth / 64,
    activation: 'quickGelu',
    positions: 'absolute',
  },
});

const base = { embedding: 512, imageSize: 224, vision: { width: 768, depth: 12 }, textWidth: 512 };
const large = { embedding: 768, patchSize: 14, vision: { width: 1024, depth: 24 }, textWidth: 768 };

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

/** The models that can be asked for by name. */
export const configurations = {
  'small-world': smallWorld,
  'ViT-B/32': openai({ ...base, patchSize: 32 }),
  'ViT-B/16': openai({ ...base, patchSize: 16 }),
  'ViT-L/14': openai({ ...large, imageSize: 224 }),
  'ViT-L/14@336': openai({ ...large, imageSize: 336 }),
} as const satisfies Record<string, ModelConfig>;

/** Name of a model. */
export type ModelName = keyof typeof configurations;

/**
 * The same model with the text tower of CLIP-IN: rotary positions, longer texts, and the plain GELU of the released code.
 *
 * @param contextLength - the most tokens of a long caption. Default: 248, as in Long-CLIP and TULIP
 */
export const withRotaryText = (config: ModelConfig, contextLength = 248): ModelConfig => ({
  ...config,
  text: { ...config.text, positions: 'rotary', activation: 'gelu', contextLength },
});
