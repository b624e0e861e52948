/** Attention, `softmax(q kᵀ / √dim) v`, forward alone and with its gradient. */
import { uniform } from '../random';
import type { WorkOf } from './work';

type Size = readonly [batch: number, tokens: number, heads: number, dim: number];

const problem = (size: Size) => ({
  query: uniform(1, size),
  key: uniform(2, size),
  value: uniform(3, size),
});
/** Of one of the products of queries, keys, values and their gradients. */
const productOperations = ([batch, tokens, heads, dim]: Size) => 2 * batch * heads * tokens ** 2 * dim;

/** Two products. */
export const attention = (size: Size): WorkOf<'attention'> => ({
  name: `attention ${size.join('×')}`,
  kind: 'attention',
  unit: 'GFLOP/s',
  amount: 2 * productOperations(size),
  comparedRuns: 2,
  problem: () => problem(size),
});

/** Two products forward, four backward; that a library computes some of them again is not counted. */
export const attentionGradient = (size: Size): WorkOf<'attentionGradient'> => ({
  name: `attention and gradient ${size.join('×')}`,
  kind: 'attentionGradient',
  unit: 'GFLOP/s',
  amount: 6 * productOperations(size),
  comparedRuns: 2,
  problem: () => ({ ...problem(size), gradient: uniform(4, size) }),
});
