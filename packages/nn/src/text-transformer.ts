/** The text tower of CLIP (Radford et al. 2021), with its learned positions or with CLIP-IN's rotary ones. */
import { argMax, type Key, type Tensor } from '@clipin/tensor';
import { checkInput, checkSizes } from './check';
import { scaledNormal } from './initializers';
import { initEach, type Layer, layer } from './layer';
import { type LayerNormParams, layerNorm } from './layer-norm';
import { type EmbeddingParams, embedding } from './linear';
import { type BlockParams, type TransformerOptions, transformer } from './transformer';

/** Parameters of `textTransformer`. */
export interface TextTransformerParams {
  /** `[vocabulary, width]` */
  readonly tokens: EmbeddingParams;
  /** `[contextLength, width]`; only where positions are absolute. */
  readonly positions?: Tensor;
  readonly blocks: readonly BlockParams[];
  readonly lnFinal: LayerNormParams;
  /** `[width, outputs]` */
  readonly projection: Tensor;
}

/** Options of `textTransformer`. */
export interface TextTransformerOptions extends TransformerOptions {
  /** Number of token ids. The end token's is the largest in every sequence. */
  readonly vocabulary: number;
  /** Most tokens of a sequence, start and end token included. Shorter ones cost less and give the same embedding. */
  readonly contextLength: number;
  /** Width of the embedding. */
  readonly outputs: number;
  /** A learned vector for each position, or rotation of queries and keys. Default: `absolute`. */
  readonly positions?: 'absolute' | 'rotary';
}

/**
 * Token embeddings, causal blocks, `lnFinal` and projection of the first token with the largest id, which is the end token:
 * ids `[batch, tokens]` → `[batch, outputs]`, not normalized. What follows the end token has no effect.
 */
export function textTransformer(
  options: TextTransformerOptions,
): Layer<TextTransformerParams, [ids: Tensor], Tensor> {
  const { vocabulary, contextLength, width, outputs, positions = 'absolute' } = options;
  checkSizes('textTransformer', { vocabulary, contextLength, width, outputs });
  const tokens = embedding(vocabulary, width);
  const blocks = transformer({ ...options, causal: true, rotary: positions === 'rotary' });
  const lnFinal = layerNorm(width);
  const layers = {
    tokens,
    ...(positions === 'absolute' && {
      positions: { init: (key: Key) => scaledNormal(0.01)(key, [contextLength, width]) },
    }),
    blocks,
    lnFinal,
    projection: { init: (key: Key) => scaledNormal(width ** -0.5)(key, [width, outputs]) },
  };
  return layer({
    init: (key): TextTransformerParams => initEach(key, layers),
    apply(params, ids: Tensor) {
      checkInput('textTransformer', ids, ['batch', 'tokens'], ['i32', 'u32']);
      const length = ids.shape[1] as number;
      if (length < 1 || length > contextLength) {
        throw new RangeError(
          `textTransformer: sequences of ${length} tokens; wants 1 to ${contextLength} (contextLength)`,
        );
      }
      const embedded = tokens.apply(params.tokens, ids);
      const placed = params.positions ? embedded.add(params.positions.slice([0, length])) : embedded;
      const endToken = argMax(ids).expandDims(1); // [batch, 1]
      const pooled = blocks.apply(params.blocks, placed, { queries: endToken }).squeeze(1);
      return lnFinal.apply(params.lnFinal, pooled).matmul(params.projection);
    },
  });
}
