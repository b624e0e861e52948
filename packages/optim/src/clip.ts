/** Norms of trees, and clipping by them. */
import { full, leaves, mapTree, type Tensor } from '@clipin/tensor';
import type { FixedState, GradientTransformation } from './transformation';

/** `√Σ x²` over all elements of all tensors of a tree: a scalar. */
export function globalNorm(tree: unknown): Tensor {
  const squares = leaves(tree).map(({ tensor }) => tensor.square().sum());
  const [first, ...rest] = squares;
  if (!first) throw new RangeError('globalNorm: the tree holds no tensors');
  return rest.reduce((sum, square) => sum.add(square), first).sqrt();
}

/**
 * Scales all updates by one factor so that their global norm is at most `limit` (Pascanu et al. 2013, algorithm 1).
 * Updates within the limit stay as they are; a NaN anywhere makes all of them NaN.
 */
export function clipByGlobalNorm(limit: number): GradientTransformation<FixedState<undefined>> {
  if (!(limit > 0)) throw new RangeError(`clipByGlobalNorm: the limit is ${limit}; wants more than 0`);
  return {
    init: () => undefined,
    update(updates, state) {
      const norm = globalNorm(updates);
      const factor = full([], limit, { device: norm.device }).div(norm.maximum(limit));
      return [mapTree((update) => update.mul(factor), updates), state];
    },
  };
}
