/** A learned probe that asks all tokens: the pooling of SigLIP ("MAP", Zhai et al. 2022). */
import type { Tensor } from '@clipin/tensor';
import { gelu } from './activations';
import { type AttentionContext, type AttentionParams, multiHeadAttention } from './attention';
import { checkInput } from './check';
import { scaledNormal, xavierUniform } from './initializers';
import { initEach, type Layer } from './layer';
import { type LayerNormParams, layerNorm } from './layer-norm';
import { type MlpParams, mlp } from './mlp';
import type { TransformerOptions } from './transformer';

/** Parameters of `attentionPool`. */
export interface AttentionPoolParams {
  /** `[width]` */
  readonly probe: Tensor;
  readonly attention: AttentionParams;
  readonly ln: LayerNormParams;
  readonly mlp: MlpParams;
}

/** Options of `attentionPool`. */
export type AttentionPoolOptions = Omit<TransformerOptions, 'depth'>;

/** What the pool takes beside its tokens. */
export type AttentionPoolContext = Pick<AttentionContext, 'mask'>;

/** The pool as a layer, and where it looks. */
export interface AttentionPool
  extends Layer<AttentionPoolParams, [x: Tensor, context?: AttentionPoolContext], Tensor> {
  /** How much the probe looks at each token: `[batch, heads, tokens]`; over the tokens they add up to 1. */
  weights(params: AttentionPoolParams, x: Tensor, context?: AttentionPoolContext): Tensor;
}

/** `y = attention(probe; x); y + mlp(ln(y))`: `[batch, tokens, width]` → `[batch, width]`. */
export function attentionPool({
  width,
  heads,
  mlpHidden = 4 * width,
  activation = gelu,
  epsilon = 1e-5,
}: AttentionPoolOptions): AttentionPool {
  const init = { input: xavierUniform, output: xavierUniform };
  const layers = {
    probe: { init: (key: Parameters<typeof xavierUniform>[0]) => scaledNormal(width ** -0.5)(key, [width]) },
    attention: multiHeadAttention({ width, heads, init }),
    ln: layerNorm(width, { epsilon }),
    mlp: mlp({
      inputs: width,
      hidden: mlpHidden,
      activation,
      init: { up: xavierUniform, down: xavierUniform },
    }),
  };
  const asking = (
    { probe }: AttentionPoolParams,
    x: Tensor,
    { mask }: AttentionPoolContext,
  ): AttentionContext => {
    checkInput('attentionPool', x, ['batch', 'tokens', width]);
    return { probes: probe.expand([x.shape[0] as number, 1, width]), ...(mask && { mask }) };
  };
  return {
    init: (key): AttentionPoolParams => initEach(key, layers),
    apply(params, x: Tensor, context: AttentionPoolContext = {}) {
      const attended = layers.attention.apply(params.attention, x, asking(params, x, context)).squeeze(1);
      return attended.add(layers.mlp.apply(params.mlp, layers.ln.apply(params.ln, attended)));
    },
    weights: (params: AttentionPoolParams, x: Tensor, context: AttentionPoolContext = {}) =>
      layers.attention.weights(params.attention, x, asking(params, x, context)).squeeze(2),
  };
}
