/** Attention's derivative written with ordinary operations: what is differentiated when a second derivative is asked for. */
import { type AttentionOptions, arange, softmax, type Tensor, where } from '@clipin/tensor';

/** `[batch, tokens, heads, dim]` → `[batch, heads, tokens, dim]`, and back. */
const swapHeads = (x: Tensor): Tensor => x.swapAxes(1, 2);

function hidden(
  queries: number,
  keys: number,
  { causal, mask }: AttentionOptions,
  { device }: Tensor,
): Tensor | undefined {
  const later = causal ? arange(queries, { device }).expandDims(1).less(arange(keys, { device })) : undefined;
  const masked = mask?.not();
  return later && masked ? later.or(masked) : (later ?? masked);
}

/**
 * Gradients of query, key and value of `softmax(scale · query keyᵀ) value`.
 *
 * @param args - query, key, value and the gradient of the result, each `[batch, tokens, heads, dim]`
 */
export function attentionBackwardInParts(
  args: readonly [Tensor, Tensor, Tensor, Tensor],
  options: AttentionOptions,
): Tensor[] {
  const [query, key, value, gradient] = args.map(swapHeads) as [Tensor, Tensor, Tensor, Tensor];
  const scale = options.scale ?? 1 / Math.sqrt(query.shape[3] as number);
  const scores = query.matmul(key.swapAxes(2, 3)).mul(scale);
  const hide = hidden(query.shape[2] as number, key.shape[2] as number, options, query);
  // A large negative number instead of −∞: rows that see nothing must not become NaN; their weights are zeroed below.
  const weights = hide ? where(hide, 0, softmax(where(hide, -1e30, scores))) : softmax(scores);
  const gradWeights = gradient.matmul(value.swapAxes(2, 3));
  const delta = gradWeights.mul(weights).sum(-1, { keepDims: true });
  const gradScores = weights.mul(gradWeights.sub(delta)).mul(scale);
  return [
    gradScores.matmul(key),
    gradScores.swapAxes(2, 3).matmul(query),
    weights.swapAxes(2, 3).matmul(gradient),
  ].map(swapHeads);
}
