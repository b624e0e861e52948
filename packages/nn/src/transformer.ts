/** Pre-norm transformer: a list of equal blocks. What goes in and comes out of it is the towers' business. */
import type { Tensor } from '@clipin/tensor';
import { splitKey } from '@clipin/tensor';
import { type Activation, gelu } from './activations';
import { type AttentionContext, type AttentionParams, multiHeadAttention, tokensAt } from './attention';
import { checkDivides, checkInput, checkSizes } from './check';
import { scaledNormal } from './initializers';
import { initEach, type Layer, layer } from './layer';
import { type LayerNormParams, layerNorm } from './layer-norm';
import { type MlpParams, mlp } from './mlp';
import { type RotaryOptions, rotaryTables, tablesAt } from './rotary';

/** Parameters of one block. */
export interface BlockParams {
  readonly ln1: LayerNormParams;
  readonly attention: AttentionParams;
  readonly ln2: LayerNormParams;
  readonly mlp: MlpParams;
}

/** Options of a transformer's size and form. */
export interface TransformerOptions {
  readonly width: number;
  /** Number of blocks. */
  readonly depth: number;
  /** Divides the width. */
  readonly heads: number;
  /** Hidden width of the perceptrons. Default: four times the width. */
  readonly mlpHidden?: number;
  /** Default: `gelu`. OpenAI's CLIP uses `quickGelu`. */
  readonly activation?: Activation;
  /** Of the norms. Default: 1e-5. SigLIP uses 1e-6. */
  readonly epsilon?: number;
}

/** Options of `transformer`. */
export interface TransformerStackOptions extends TransformerOptions {
  /** Token `i` sees tokens `0…i` only. Default: false. */
  readonly causal?: boolean;
  /** Rotary positions on queries and keys of every block. Default: false; true means base 10000. */
  readonly rotary?: boolean | Pick<RotaryOptions, 'base'>;
}

/** What a block takes beside its tokens. */
export interface BlockContext extends AttentionContext {
  /**
   * Which of the `batch · queries` tokens are computed after attention, i32 or u32 `[count]`, where queries are named: some
   * may only fill up rows. Default: all.
   */
  readonly slots?: Tensor;
}

/** What a transformer takes beside its tokens. */
export interface TransformerContext extends Pick<BlockContext, 'mask' | 'queries' | 'slots'> {
  /** Rotary positions, i32 or u32 `[batch, tokens]`, less than `tokens`. Default: 0, 1, 2, … in every row. */
  readonly positions?: Tensor;
}

/** A block as a layer, and how its attention looks. */
export interface TransformerBlock extends Layer<BlockParams, [x: Tensor, context?: BlockContext], Tensor> {
  /** How much each query looks at each token: `[batch, heads, queries, tokens]`. */
  attentionWeights(params: BlockParams, x: Tensor, context?: AttentionContext): Tensor;
}

/**
 * `x ← x + attention(ln₁(x)); x ← x + mlp(ln₂(x))`: `[batch, tokens, width]` → the same, or `[batch, queries, width]` where
 * the context names queries, or `[count, width]` where it names slots. First values as in OpenAI's CLIP: what writes to the
 * residual stream is scaled by `1/√(2 depth)`.
 */
export function transformerBlock({
  width,
  depth,
  heads,
  mlpHidden = 4 * width,
  activation = gelu,
  epsilon = 1e-5,
  causal = false,
}: Omit<TransformerStackOptions, 'rotary'>): TransformerBlock {
  const input = scaledNormal(width ** -0.5);
  const output = scaledNormal((2 * width * depth) ** -0.5);
  const layers = {
    ln1: layerNorm(width, { epsilon }),
    attention: multiHeadAttention({ width, heads, causal, init: { input, output } }),
    ln2: layerNorm(width, { epsilon }),
    mlp: mlp({
      inputs: width,
      hidden: mlpHidden,
      activation,
      init: { up: scaledNormal((2 * width) ** -0.5), down: output },
    }),
  };
  return {
    init: (key): BlockParams => initEach(key, layers),
    apply(params, x: Tensor, { slots, ...context }: BlockContext = {}) {
      const queries = tokensAt(x, context.queries).add(
        layers.attention.apply(params.attention, layers.ln1.apply(params.ln1, x), context),
      );
      const attended = slots ? queries.reshape([-1, width]).gather(slots) : queries;
      return attended.add(layers.mlp.apply(params.mlp, layers.ln2.apply(params.ln2, attended)));
    },
    attentionWeights: (params: BlockParams, x: Tensor, context: AttentionContext = {}) =>
      layers.attention.weights(params.attention, layers.ln1.apply(params.ln1, x), context),
  };
}

/**
 * `depth` blocks one after another: `[batch, tokens, width]` → the same. Its parameters are the list of the blocks'. Where
 * the context names queries the last block computes nothing for other tokens: `[batch, queries, width]`; where it names slots
 * too, `[count, width]`.
 */
export function transformer(
  options: TransformerStackOptions,
): Layer<readonly BlockParams[], [x: Tensor, context?: TransformerContext], Tensor> {
  const { width, depth, heads, rotary = false } = options;
  checkSizes('transformer', { width, depth, heads });
  checkDivides('transformer', ['width', width], ['heads', heads]);
  const block = transformerBlock(options);
  const turn = rotary === true ? {} : rotary || undefined;
  return layer({
    init: (key): readonly BlockParams[] => splitKey(key, depth).map((own) => block.init(own)),
    apply(params, x: Tensor, { mask, queries, slots, positions }: TransformerContext = {}) {
      checkInput('transformer', x, ['batch', 'tokens', width]);
      const context = {
        ...(mask && { mask }),
        ...(turn && {
          rotary: tablesAt(rotaryTables(x.shape[1] as number, width / heads, x.device, turn), positions),
        }),
      };
      const inner = params.slice(0, -1).reduce((y, own) => block.apply(own, y, context), x);
      const last = queries ? { ...context, queries, ...(slots && { slots }) } : context;
      return params.slice(-1).reduce((y, own) => block.apply(own, y, last), inner);
    },
  });
}
