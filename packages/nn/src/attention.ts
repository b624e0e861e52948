/** Multi-head self-attention. The product itself is `attention` of `@clipin/tensor`. */
import { arange, attention, softmax, type Tensor, where } from '@clipin/tensor';
import { checkDivides, checkInput, checkSizes } from './check';
import { type Initializer, lecunNormal } from './initializers';
import { initEach, type Layer } from './layer';
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
  /** Other tokens `[batch, probes, width]` that ask instead, and see all of `x`: cross-attention. Default: none. */
  readonly probes?: Tensor;
}

/** Attention as a layer, and how it spreads its looks. */
export interface MultiHeadAttention
  extends Layer<AttentionParams, [x: Tensor, context?: AttentionContext], Tensor> {
  /** How much each query looks at each token: `[batch, heads, queries, tokens]`; over the tokens they add up to 1. */
  weights(params: AttentionParams, x: Tensor, context?: AttentionContext): Tensor;
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
}: MultiHeadAttentionOptions): MultiHeadAttention {
  checkSizes('multiHeadAttention', { width, heads });
  checkDivides('multiHeadAttention', ['width', width], ['heads', heads]);
  const input = linear(width, width, { bias, init: init.input });
  const output = linear(width, width, { bias, init: init.output });
  const inHeads = (map: LinearParams, from: Tensor) => {
    const [batch, tokens] = from.shape as readonly [number, number, number];
    return input.apply(map, from).reshape([batch, tokens, heads, width / heads]);
  };
  const place = (y: Tensor, tables?: RotaryTables) => (tables ? rotate(y, tables) : y);
  /** Queries and keys `[batch, tokens, heads, dim]`. */
  const asked = (params: AttentionParams, x: Tensor, { rotary, queries, probes }: AttentionContext) => {
    checkInput('multiHeadAttention', x, ['batch', 'tokens', width]);
    if (probes) checkInput('multiHeadAttention probes', probes, [x.shape[0] as number, 'probes', width]);
    return {
      query: probes
        ? inHeads(params.query, probes)
        : place(inHeads(params.query, tokensAt(x, queries)), rotary && tablesAt(rotary, queries)),
      key: place(inHeads(params.key, x), rotary),
    };
  };
  return {
    init: (key): AttentionParams => initEach(key, { query: input, key: input, value: input, out: output }),
    apply(params, x: Tensor, context: AttentionContext = {}) {
      const { query, key } = asked(params, x, context);
      const { mask, queries, probes } = context;
      const hidden = queries ? maskOfQueries(queries, x.shape[1] as number, causal, mask) : mask;
      const { result } = attention(query, key, inHeads(params.value, x), {
        causal: causal && !queries && !probes,
        ...(hidden && { mask: hidden }),
      });
      const [batch, asking] = result.shape as readonly [number, number, number, number];
      return output.apply(params.out, result.reshape([batch, asking, width]));
    },
    weights(params: AttentionParams, x: Tensor, context: AttentionContext = {}) {
      const { query, key } = asked(params, x, context);
      const { mask, probes } = context;
      const [batch, tokens] = x.shape as readonly [number, number, number];
      const everywhere = () => arange(tokens, { dtype: 'i32', device: x.device }).expand([batch, tokens]);
      const seen = probes ? mask : maskOfQueries(context.queries ?? everywhere(), tokens, causal, mask);
      const scores = query
        .transpose([0, 2, 1, 3])
        .matmul(key.transpose([0, 2, 3, 1]))
        .mul((width / heads) ** -0.5);
      return softmax(seen ? where(seen, scores, Number.NEGATIVE_INFINITY) : scores, -1);
    },
  };
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
