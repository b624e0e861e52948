/** Scaled dot-product attention as one fused routine, and the routine of its derivative. */
import { dtypes, formatShape, type Shape } from '@clipin/kernel';
import type { Routine } from './node';
import { Tensor, widened } from './tensor';

/** Options of attention. */
export interface AttentionOptions {
  /** Factor on the scores. Default: `1/√dim`. */
  readonly scale?: number;
  /** Query `i` sees keys `0…i` only. Default: false. */
  readonly causal?: boolean;
  /** bool, broadcasts to `[batch, heads, queries, keys]`; false hides the key. */
  readonly mask?: Tensor;
}

function check(query: Tensor, key: Tensor, value: Tensor): void {
  const [batch, , heads, dim] = query.shape;
  const [keyBatch, keys, keyHeads, keyDim] = key.shape;
  const fits =
    [query, key, value].every(({ rank, dtype }) => rank === 4 && dtypes[dtype].kind === 'float') &&
    batch === keyBatch &&
    heads === keyHeads &&
    dim === keyDim &&
    formatShape(value.shape) === formatShape([batch, keys, heads, dim] as Shape);
  if (!fits) {
    throw new RangeError(
      `attention: query ${String(query)}, key ${String(key)}, value ${String(value)}; ` +
        'wants f32 or f16 [batch, queries, heads, dim] and twice [batch, keys, heads, dim]',
    );
  }
}

/** What is computed with; of a tensor that is given twice, one copy. */
function eachWidened(given: readonly Tensor[]): Tensor[] {
  const wide = new Map([...new Set(given)].map((x) => [x, widened(x)]));
  return given.map((x) => wide.get(x) as Tensor);
}

function settle(query: Tensor, key: Tensor, { scale, causal = false, mask }: AttentionOptions) {
  const [batch, queries, heads, dim] = query.shape as readonly [number, number, number, number];
  const keys = key.shape[1] as number;
  if (mask && mask.dtype !== 'bool') throw new TypeError(`attention: the mask is ${mask.dtype}, wants bool`);
  return {
    sizes: { scale: scale ?? 1 / Math.sqrt(dim), causal, masked: mask !== undefined },
    masks: mask ? [mask.expand([batch, heads, queries, keys])] : [],
    logSumExpShape: [batch, heads, queries],
  };
}

/**
 * `softmax(scale · query keyᵀ) value` (Vaswani et al. 2017, eq. 1), masked.
 *
 * @param query - `[batch, queries, heads, dim]`
 * @param key - `[batch, keys, heads, dim]`
 * @param value - `[batch, keys, heads, dim]`
 * @returns the result `[batch, queries, heads, dim]` and the logarithm of the softmax's denominator
 *   `[batch, heads, queries]`; a query that sees no key gives 0 and −∞
 */
export function attention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: AttentionOptions = {},
): { readonly result: Tensor; readonly logSumExp: Tensor } {
  check(query, key, value);
  const { sizes, masks, logSumExpShape } = settle(query, key, options);
  const routine: Routine = { kind: 'attention', ...sizes };
  const [result, logSumExp] = Tensor.recordCall(
    routine,
    [...eachWidened([query, key, value]), ...masks],
    [
      { shape: query.shape, dtype: 'f32' },
      { shape: logSumExpShape, dtype: 'f32' },
    ],
  ) as [Tensor, Tensor];
  return { result, logSumExp };
}

/** What the derivative of attention needs of the forward pass. */
export interface AttentionSaved {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
  readonly result: Tensor;
  readonly logSumExp: Tensor;
}

/** Gradients of attention's query, key and value, from that of its result. */
export function attentionBackward(
  saved: AttentionSaved,
  gradient: Tensor,
  options: AttentionOptions = {},
): [Tensor, Tensor, Tensor] {
  const { query, key, value, result, logSumExp } = saved;
  const { sizes, masks } = settle(query, key, options);
  const routine: Routine = { kind: 'attentionBackward', ...sizes };
  const inputs = [...eachWidened([query, key, value]), result, logSumExp, gradient, ...masks];
  const shapes = [query, key, value].map(({ shape }) => ({ shape, dtype: 'f32' as const }));
  return Tensor.recordCall(routine, inputs, shapes) as [Tensor, Tensor, Tensor];
}
