/** The dual encoder: an image tower, a text tower, and a learned logit scale. */
import {
  activations,
  type Initializer,
  initEach,
  type Layer,
  l2Normalize,
  layer,
  type PackedTexts,
  type TextTransformerParams,
  textTransformer,
  type VisionTransformer,
  type VisionTransformerParams,
  visionTransformer,
} from '@clipin/nn';
import { full, type Key, type Tensor } from '@clipin/tensor';
import type { ModelConfig, TextConfig, VisionConfig } from './configurations';

/** Parameters of the dual encoder. */
export interface DualEncoderParams {
  readonly image: VisionTransformerParams;
  readonly text: TextTransformerParams;
  /** Logarithm of the factor on cosines, one over the temperature; a scalar. */
  readonly logitScale: Tensor;
  /** Added to scaled cosines; a scalar. Only where the configuration has it. */
  readonly logitBias?: Tensor;
}

/** The logit scale of an untrained model: `ln(1/0.07)` (Wu et al. 2018; CLIP). */
export const initialLogitScale = Math.log(1 / 0.07);

/** The largest logit scale that training allows: `ln 100`, as in CLIP. */
export const maxLogitScale = Math.log(100);

/** The logit scale and bias of an untrained model for the sigmoid loss: `ln 10` and −10 (Zhai et al. 2023, 3.2). */
export const initialSigmoid = { logitScale: Math.log(10), logitBias: -10 } as const;

/** An image tower whose outputs have unit length. */
export type ImageTower = VisionTransformer;
/** A text tower whose outputs have unit length. */
export type TextTower = Layer<TextTransformerParams, [texts: Tensor | PackedTexts], Tensor>;

/** A dual encoder: the towers as layers whose outputs have unit length, and `init` for all of it. */
export interface DualEncoder {
  readonly config: ModelConfig;
  /** f32 `[batch, imageSize, imageSize, 3]`, or images in patches → unit rows `[batch, embedding]`. */
  readonly image: ImageTower;
  /** ids `[batch, tokens]`, or packed texts → unit rows `[batch, embedding]`. */
  readonly text: TextTower;
  init(key: Key): DualEncoderParams;
}

/** Options of towers made for training from scratch. */
export interface DualEncoderOptions {
  /** First values of the image positions. Default: CLIP's small noise. */
  readonly positionInit?: Initializer;
}

/** The dual encoder of a configuration. */
export function dualEncoder(config: ModelConfig, options: DualEncoderOptions = {}): DualEncoder {
  const image = imageTower(config.vision, config.embedding, options);
  const text = textTower(config.text, config.embedding);
  const scalar = (value: number) => ({ init: ({ device }: Key) => full([], value, { device }) });
  const start = config.logitBias ? initialSigmoid : { logitScale: initialLogitScale };
  const layers = {
    image,
    text,
    logitScale: scalar(start.logitScale),
    ...(config.logitBias && { logitBias: scalar(initialSigmoid.logitBias) }),
  };
  return { config, image, text, init: (key) => initEach(key, layers) };
}

/**
 * The logits of a model: `exp(logitScale) · cosine + logitBias` of every image with every text.
 *
 * @param images - unit rows `[images, embedding]`
 * @param texts - unit rows `[texts, embedding]`
 * @returns `[images, texts]`
 */
export function logits(
  { logitScale, logitBias }: Pick<DualEncoderParams, 'logitScale' | 'logitBias'>,
  images: Tensor,
  texts: Tensor,
): Tensor {
  const scaled = images.matmul(texts.transpose()).mul(logitScale.exp());
  return logitBias ? scaled.add(logitBias) : scaled;
}

/** The image tower of a configuration. */
export function imageTower(
  config: VisionConfig,
  outputs: number,
  { positionInit }: DualEncoderOptions = {},
): ImageTower {
  const activation = activations[config.activation];
  const tower = visionTransformer({ ...config, activation, outputs, ...(positionInit && { positionInit }) });
  return {
    ...unitLength(tower),
    features(params, images) {
      const { embedding, patches, attention } = tower.features(params, images);
      return { embedding: l2Normalize(embedding), patches: l2Normalize(patches), attention };
    },
  };
}

/** The text tower of a configuration. */
export function textTower(config: TextConfig, outputs: number): TextTower {
  return unitLength(textTransformer({ ...config, activation: activations[config.activation], outputs }));
}

const unitLength = <Params, X>(tower: Layer<Params, [x: X], Tensor>): Layer<Params, [x: X], Tensor> =>
  layer({
    init: (key) => tower.init(key),
    apply: (params, x: X) => l2Normalize(tower.apply(params, x)),
  });
