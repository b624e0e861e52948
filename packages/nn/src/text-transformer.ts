/** The text tower of CLIP (Radford et al. 2021), with its learned positions or with CLIP-IN's rotary ones. */
import { argMax, type Key, Tensor } from '@clipin/tensor';
import { checkInput, checkSizes } from './check';
import { scaledNormal } from './initializers';
import { initEach, type Layer, layer } from './layer';
import { type LayerNormParams, layerNorm } from './layer-norm';
import { type EmbeddingParams, embedding } from './linear';
import {
  type BlockParams,
  type TransformerContext,
  type TransformerOptions,
  transformer,
} from './transformer';

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
 * Several texts in each row, one after another, so that little of a batch is padding. They do not see each other, and each
 * counts its positions from 0. All are i32 or u32.
 */
export interface PackedTexts {
  /** `[rows, tokens]` */
  readonly ids: Tensor;
  /** `[rows, tokens]`: the place of each token in its text. */
  readonly positions: Tensor;
  /** `[rows, tokens]`: a number for each text of a row, the same for all its tokens; another for padding. */
  readonly texts: Tensor;
  /** `[rows, perRow]`: places in the row of the end tokens. */
  readonly ends: Tensor;
  /** `[count]`: which of the `rows · perRow` end tokens belongs to each text. */
  readonly slots: Tensor;
}

/**
 * Token embeddings, causal blocks, `lnFinal` and projection of the first token with the largest id, which is the end token:
 * ids `[batch, tokens]` → `[batch, outputs]`, not normalized. What follows the end token has no effect. Packed texts give the
 * same, `[count, outputs]`.
 */
export function textTransformer(
  options: TextTransformerOptions,
): Layer<TextTransformerParams, [texts: Tensor | PackedTexts], Tensor> {
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
    apply(params, texts: Tensor | PackedTexts) {
      const packed = texts instanceof Tensor ? undefined : texts;
      const ids = texts instanceof Tensor ? texts : texts.ids;
      checkInput('textTransformer', ids, ['batch', 'tokens'], ['i32', 'u32']);
      const length = ids.shape[1] as number;
      if (length < 1 || length > contextLength) {
        throw new RangeError(
          `textTransformer: sequences of ${length} tokens; wants 1 to ${contextLength} (contextLength)`,
        );
      }
      const embedded = tokens.apply(params.tokens, ids);
      const places =
        params.positions &&
        (packed ? params.positions.gather(packed.positions) : params.positions.slice([0, length]));
      const features = blocks.apply(
        params.blocks,
        places ? embedded.add(places) : embedded,
        packed ? packedContext(packed) : { queries: argMax(ids).expandDims(1) },
      );
      return lnFinal.apply(params.lnFinal, features.reshape([-1, width])).matmul(params.projection);
    },
  });
}

/** Tokens of one text see each other, and the end tokens are wanted. */
const packedContext = ({ texts, positions, ends, slots }: PackedTexts): TransformerContext => ({
  mask: texts.expandDims(2).equal(texts.expandDims(1)).expandDims(1),
  positions,
  queries: ends,
  slots,
});
