/** Multi-head self-attention. The product itself is `attention` of `@clipin/tensor`. */
import { attention, type Tensor } from '@clipin/tensor';
import { checkDivides, checkInput, checkSizes } from './check';
import { type Initializer, lecunNormal } from './initializers';
import { initEach, type Layer, layer } from './layer';
import { type LinearParams, linear } from './linear';
import { type RotaryTables, rotate } from './rotary';

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
  /** bool, broadcasts to `[batch, heads, queries, keys]`; false hides the key. See `keyMask`. */
  readonly mask?: Tensor;
  /** Rotary positions of queries and keys. Default: none. */
  readonly rotary?: RotaryTables;
}

/** Multi-head self-attention (Vaswani et al. 2017, 3.2.2): `[batch, tokens, width]` → `[batch, tokens, width]`. */
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
    apply(params, x: Tensor, { mask, rotary }: AttentionContext = {}) {
      checkInput('multiHeadAttention', x, ['batch', 'tokens', width]);
      const [batch, tokens] = x.shape as readonly [number, number, number];
      const inHeads = (map: LinearParams) =>
        input.apply(map, x).reshape([batch, tokens, heads, width / heads]);
      const place = (y: Tensor) => (rotary ? rotate(y, rotary) : y);
      const { result } = attention(
        place(inHeads(params.query)),
        place(inHeads(params.key)),
        inHeads(params.value),
        {
          causal,
          ...(mask && { mask }),
        },
      );
      return output.apply(params.out, result.reshape([batch, tokens, width]));
    },
  });
}

/** A mask for attention from which keys are real: bool `[batch, tokens]` → `[batch, 1, 1, tokens]`. */
export function keyMask(present: Tensor): Tensor {
  checkInput('keyMask', present, ['batch', 'tokens'], ['bool']);
  const [batch, tokens] = present.shape as readonly [number, number];
  return present.reshape([batch, 1, 1, tokens]);
}
