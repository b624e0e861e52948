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
}

/** The logit scale of an untrained model: `ln(1/0.07)` (Wu et al. 2018; CLIP). */
export const initialLogitScale = Math.log(1 / 0.07);

/** The largest logit scale that training allows: `ln 100`, as in CLIP. */
export const maxLogitScale = Math.log(100);

/** A dual encoder: the towers as layers whose outputs have unit length, and `init` for all of it. */
export interface DualEncoder {
  readonly config: ModelConfig;
  /** f32 `[batch, imageSize, imageSize, 3]` → unit rows `[batch, embedding]`. */
  readonly image: Layer<VisionTransformerParams, [images: Tensor], Tensor>;
  /** ids `[batch, tokens]`, or packed texts → unit rows `[batch, embedding]`. */
  readonly text: Layer<TextTransformerParams, [texts: Tensor | PackedTexts], Tensor>;
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
  const logitScale = { init: (key: Key) => full([], initialLogitScale, { device: key.device }) };
  return { config, image, text, init: (key) => initEach(key, { image, text, logitScale }) };
}

/** The image tower of a configuration. */
export function imageTower(
  config: VisionConfig,
  outputs: number,
  { positionInit }: DualEncoderOptions = {},
): Layer<VisionTransformerParams, [images: Tensor], Tensor> {
  const activation = activations[config.activation];
  return unitLength(
    visionTransformer({ ...config, activation, outputs, ...(positionInit && { positionInit }) }),
  );
}

/** The text tower of a configuration. */
export function textTower(
  config: TextConfig,
  outputs: number,
): Layer<TextTransformerParams, [texts: Tensor | PackedTexts], Tensor> {
  return unitLength(textTransformer({ ...config, activation: activations[config.activation], outputs }));
}

const unitLength = <Params, X>(tower: Layer<Params, [x: X], Tensor>): Layer<Params, [x: X], Tensor> =>
  layer({
    init: (key) => tower.init(key),
    apply: (params, x: X) => l2Normalize(tower.apply(params, x)),
  });
