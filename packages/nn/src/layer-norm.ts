/** Normalization of vectors. */
import { ones, type Tensor, zeros } from '@clipin/tensor';
import { checkInput, checkSizes } from './check';
import { type Layer, layer } from './layer';

/** Parameters of `layerNorm`, both `[width]`. */
export interface LayerNormParams {
  readonly gain: Tensor;
  readonly bias: Tensor;
}

/** Options of `layerNorm`. */
export interface LayerNormOptions {
  /** Added to the variance. Default: 1e-5. */
  readonly epsilon?: number;
}

/** `y = (x − mean) / √(variance + ε) · gain + bias` over the last axis (Ba et al. 2016): `[..., width]` → `[..., width]`. */
export function layerNorm(
  width: number,
  { epsilon = 1e-5 }: LayerNormOptions = {},
): Layer<LayerNormParams, [x: Tensor], Tensor> {
  checkSizes('layerNorm', { width });
  return layer({
    init: ({ device }): LayerNormParams => ({
      gain: ones([width], { device }),
      bias: zeros([width], { device }),
    }),
    apply({ gain, bias }, x: Tensor) {
      checkInput('layerNorm', x, ['...', width]);
      const centered = x.sub(x.mean(-1, { keepDims: true }));
      const deviation = centered.square().mean(-1, { keepDims: true }).add(epsilon).sqrt();
      return centered.div(deviation).mul(gain).add(bias);
    },
  });
}

/** `x / ‖x‖` along an axis (default: the last); a vector of zeros stays one. */
export function l2Normalize(x: Tensor, axis = -1): Tensor {
  const squared = x.square().sum(axis, { keepDims: true });
  return x.div(squared.maximum(1e-24).sqrt());
}
