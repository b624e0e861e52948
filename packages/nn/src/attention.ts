/** Multi-head self-attention. The product itself is `attention` of `@clipin/tensor`. */
import { arange, attention, type Tensor } from '@clipin/tensor';
import { checkDivides, checkInput, checkSizes } from './check';
import { type Initializer, lecunNormal } from './initializers';
import { initEach, type Layer, layer } from './layer';
import { type LinearParams, linear } from './linear';
import { type RotaryTables, rotate, tablesAt } from './rotary';

/** Parameters of `multiHeadAttention`: four maps `[width, width]`. Head `h` owns columns `h·dim … (h + 1)·dim − 1`. */
export interface AttentionParams {
  readonly query: LinearParams;
  readonly key: LinearParams;
  readonly value: LinearParams;
  readonly out: LinearParams;
}

/** Options of `multiHeadAttention`. */
export interface MultiHeadAttentionOptions {
  readonly width: number;
  /** Divides the width. */
  readonly heads: number;
  /** Token `i` sees tokens `0…i` only. Default: false. */
  readonly causal?: boolean;
  /** Biases of the four maps. Default: true. */
  readonly bias?: boolean;
  /** First values of query, key and value, and of the output. Default: `lecunNormal`. */
  readonly init?: { readonly input: Initializer; readonly output: Initializer };
}

/** What attention takes beside its tokens. */
export interface AttentionContext {
  /** bool, broadcasts to `[batch, heads, tokens, tokens]`; false hides the key from the query. See `keyMask`. */
  readonly mask?: Tensor;
  /** Rotary positions of queries and keys. Default: none. */
  readonly rotary?: RotaryTables;
  /**
   * Positions of the tokens whose features are wanted, i32 or u32 `[batch, queries]`. The others are still looked at, as
   * keys and values. Default: all tokens, in order.
   */
  readonly queries?: Tensor;
}

/**
 * Multi-head self-attention (Vaswani et al. 2017, 3.2.2): `[batch, tokens, width]` → the same, or `[batch, queries, width]`
 * where the context names queries.
 */
export function multiHeadAttention({
  width,
  heads,
  causal = false,
  bias = true,
  init = { input: lecunNormal, output: lecunNormal },
}: MultiHeadAttentionOptions): Layer<AttentionParams, [x: Tensor, context?: AttentionContext], Tensor> {
  checkSizes('multiHeadAttention', { width, heads });
  checkDivides('multiHeadAttention', ['width', width], ['heads', heads]);
  const input = linear(width, width, { bias, init: init.input });
  const output = linear(width, width, { bias, init: init.output });
  return layer({
    init: (key): AttentionParams => initEach(key, { query: input, key: input, value: input, out: output }),
    apply(params, x: Tensor, { mask, rotary, queries }: AttentionContext = {}) {
      checkInput('multiHeadAttention', x, ['batch', 'tokens', width]);
      const [batch, tokens] = x.shape as readonly [number, number, number];
      const inHeads = (map: LinearParams, from: Tensor) =>
        input.apply(map, from).reshape([batch, from.shape[1] as number, heads, width / heads]);
      const place = (y: Tensor, tables?: RotaryTables) => (tables ? rotate(y, tables) : y);
      const hidden = queries ? maskOfQueries(queries, tokens, causal, mask) : mask;
      const { result } = attention(
        place(inHeads(params.query, tokensAt(x, queries)), rotary && tablesAt(rotary, queries)),
        place(inHeads(params.key, x), rotary),
        inHeads(params.value, x),
        { causal: causal && !queries, ...(hidden && { mask: hidden }) },
      );
      return output.apply(params.out, result.reshape([batch, result.shape[1] as number, width]));
    },
  });
}

/** The tokens at positions `[batch, queries]`, or all: `[batch, tokens, width]` → `[batch, queries, width]`. */
export function tokensAt(x: Tensor, queries?: Tensor): Tensor {
  if (!queries) return x;
  checkInput('attention queries', queries, [x.shape[0] as number, 'queries'], ['i32', 'u32']);
  return x.gather(queries, { batchDims: 1 });
}

/** Which keys the queries at these positions see: bool, broadcasts to `[batch, heads, queries, tokens]`. */
function maskOfQueries(queries: Tensor, tokens: number, causal: boolean, mask?: Tensor): Tensor | undefined {
  const positions = queries.cast('i32').expandDims(1).expandDims(3); // [batch, 1, queries, 1]
  const before = causal ? arange(tokens, { device: queries.device }).lessEqual(positions) : undefined;
  const given = mask && (mask.shape.at(-2) ?? 1) > 1 ? rowsOfMask(mask, queries) : mask;
  return before && given ? before.and(given) : (before ?? given);
}

/** The rows of a mask `[…, tokens, tokens]` that belong to the queries: `[batch, heads, queries, tokens]`. */
function rowsOfMask(mask: Tensor, queries: Tensor): Tensor {
  const [batch, heads, tokens] = [
    queries.shape[0] as number,
    mask.shape.at(-3) ?? 1,
    mask.shape.at(-1) as number,
  ];
  const byToken = mask.expand([batch, heads, tokens, tokens]).transpose([0, 2, 1, 3]);
  return byToken.gather(queries, { batchDims: 1 }).transpose([0, 2, 1, 3]);
}

/** A mask for attention from which keys are real: bool `[batch, tokens]` → `[batch, 1, 1, tokens]`. */
export function keyMask(present: Tensor): Tensor {
  checkInput('keyMask', present, ['batch', 'tokens'], ['bool']);
  const [batch, tokens] = present.shape as readonly [number, number];
  return present.reshape([batch, 1, 1, tokens]);
}
