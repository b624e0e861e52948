/**
 * The text tower of CLIP (Radford et al. 2021), of SigLIP (Zhai et al. 2023), of Long-CLIP (Zhang et al. 2024), and the rotary
 * one of TULIP and CLIP-IN. They differ in positions, mask and pooling; the options name that.
 */
import { argMax, concatenate, full, type Key, Tensor, zeros } from '@clipin/tensor';
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
  /** `[contextLength, width]`; only where positions are absolute or stretched. */
  readonly positions?: Tensor;
  /** `[contextLength, width]`; only where positions are stretched: those from 20 on. */
  readonly stretchedPositions?: Tensor;
  readonly blocks: readonly BlockParams[];
  readonly lnFinal: LayerNormParams;
  /** `[width, outputs]` */
  readonly projection: Tensor;
  /** `[outputs]`; only where the projection has a bias. */
  readonly projectionBias?: Tensor;
}

/** How many of the first positions Long-CLIP leaves as CLIP learned them. */
export const keptPositions = 20;

/** Options of `textTransformer`. The defaults are CLIP's. */
export interface TextTransformerOptions extends TransformerOptions {
  /** Number of token ids. */
  readonly vocabulary: number;
  /** Most tokens of a sequence, start and end token included. */
  readonly contextLength: number;
  /**
   * Of towers that read padding: a second length of sequences, to which texts that fit are padded. Default: none, so that all
   * have `contextLength` tokens.
   */
  readonly shortLength?: number;
  /** Width of the embedding. */
  readonly outputs: number;
  /**
   * A learned vector for each position; the same in Long-CLIP's two tables, of which one gives the first 20 positions, which
   * Long-CLIP does not train further, and the other the rest; or rotation of queries and keys. Default: `absolute`.
   */
  readonly positions?: 'absolute' | 'stretched' | 'rotary';
  /** Base of rotary positions. Default: 10000. See `ntkBase` for a longer context than the tower was trained for. */
  readonly rotaryBase?: number;
  /** A token sees itself and those before it only. SigLIP's see all. Default: true. */
  readonly causal?: boolean;
  /**
   * Which token stands for the text: the end token, whose id is the largest of every sequence, or the last of
   * `contextLength`, which may be padding (SigLIP). Default: `end`.
   */
  readonly pool?: 'end' | 'last';
  /** A bias of the projection. SigLIP has one. Default: false. */
  readonly projectionBias?: boolean;
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
 * Token embeddings, blocks, pool, `lnFinal` and projection: ids `[batch, tokens]` → `[batch, outputs]`, not normalized.
 *
 * With the pool `end` and causal blocks what follows the end token has no effect, so that shorter sequences cost less and give
 * the same; packed texts too give the same, `[count, outputs]`. In all other towers padding takes part: they want sequences of
 * just `contextLength` tokens, or `shortLength` if it is given, and refuse others.
 */
export function textTransformer(
  options: TextTransformerOptions,
): Layer<TextTransformerParams, [texts: Tensor | PackedTexts], Tensor> {
  const { vocabulary, contextLength, width, outputs, epsilon = 1e-5 } = options;
  const { positions = 'absolute', rotaryBase = 10000, causal = true, pool = 'end' } = options;
  checkSizes('textTransformer', { vocabulary, contextLength, width, outputs });
  const ignoresPadding = causal && pool === 'end';
  const { shortLength = contextLength } = options;
  checkSizes('textTransformer', { shortLength });
  if (shortLength > contextLength || (ignoresPadding && shortLength !== contextLength)) {
    throw new RangeError(
      `textTransformer: shortLength ${shortLength} with ${contextLength} tokens (contextLength)` +
        (ignoresPadding ? '; a tower that does not read padding takes all lengths' : '; wants fewer'),
    );
  }
  const tokens = embedding(vocabulary, width);
  const blocks = transformer({ ...options, causal, rotary: positions === 'rotary' && { base: rotaryBase } });
  const lnFinal = layerNorm(width, { epsilon });
  const table = { init: (key: Key) => scaledNormal(0.01)(key, [contextLength, width]) };
  const layers = {
    tokens,
    ...(positions !== 'rotary' && { positions: table }),
    ...(positions === 'stretched' && { stretchedPositions: table }),
    blocks,
    lnFinal,
    projection: { init: (key: Key) => scaledNormal(width ** -0.5)(key, [width, outputs]) },
    ...(options.projectionBias && {
      projectionBias: { init: ({ device }: Key) => zeros([outputs], { device }) },
    }),
  };

  const two = shortLength < contextLength ? `${shortLength} (shortLength) or ` : '';
  const others = ignoresPadding ? '1 to ' : two;

  function check(ids: Tensor, packed: boolean): void {
    checkInput('textTransformer', ids, ['batch', 'tokens'], ['i32', 'u32']);
    const length = ids.shape[1] as number;
    const fits = ignoresPadding
      ? length >= 1 && length <= contextLength
      : length === shortLength || length === contextLength;
    if (!fits) {
      throw new RangeError(
        `textTransformer: sequences of ${length} tokens; wants ${others}${contextLength} (contextLength)` +
          (ignoresPadding ? '' : ', since this tower reads the padding too'),
      );
    }
    if (packed && !ignoresPadding) {
      throw new RangeError(
        'textTransformer: packed texts have no padding, and this tower reads it; wants ids',
      );
    }
  }

  /** Which token of each sequence is wanted, `[batch, 1]`. */
  const wanted = (ids: Tensor): Tensor => {
    if (pool === 'end') return argMax(ids).expandDims(1);
    const [batch, length] = ids.shape as readonly [number, number];
    return full([batch, 1], length - 1, { dtype: 'i32', device: ids.device });
  };

  return layer({
    init: (key): TextTransformerParams => initEach(key, layers),
    apply(params, texts: Tensor | PackedTexts) {
      const packed = texts instanceof Tensor ? undefined : texts;
      const ids = texts instanceof Tensor ? texts : texts.ids;
      check(ids, packed !== undefined);
      const embedded = tokens.apply(params.tokens, ids);
      const learned = learnedPositions(params);
      const places =
        learned && (packed ? learned.gather(packed.positions) : learned.slice([0, ids.shape[1] as number]));
      const features = blocks.apply(
        params.blocks,
        places ? embedded.add(places) : embedded,
        packed ? packedContext(packed) : { queries: wanted(ids) },
      );
      const projected = lnFinal
        .apply(params.lnFinal, features.reshape([-1, width]))
        .matmul(params.projection);
      return params.projectionBias ? projected.add(params.projectionBias) : projected;
    },
  });
}

/** One table `[contextLength, width]` of the learned positions. */
function learnedPositions({ positions, stretchedPositions }: TextTransformerParams): Tensor | undefined {
  if (!positions || !stretchedPositions) return positions;
  return concatenate([positions.slice([0, keptPositions]), stretchedPositions.slice([keptPositions])]);
}

/** Tokens of one text see each other, and the end tokens are wanted. */
const packedContext = ({ texts, positions, ends, slots }: PackedTexts): TransformerContext => ({
  mask: texts.expandDims(2).equal(texts.expandDims(1)).expandDims(1),
  positions,
  queries: ends,
  slots,
});
