/** A training step of pre-norm transformer blocks: exact GELU, MLP × 4, mean squared error, gradient descent. */
import type { Block, Values } from '../library';
import { constant, uniform } from '../random';
import { linear } from './mlp-step';
import type { WorkOf } from './work';

/** Sizes of a transformer. */
export interface BlockSizes {
  readonly batch: number;
  readonly tokens: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
}

/** The sizes that libraries are compared on. */
export const blockSizes: BlockSizes = { batch: 8, tokens: 64, width: 128, depth: 1, heads: 4 };

/** First values of a block. */
export function block(seed: number, width: number): Block<Values> {
  const norm = () => ({ gain: constant([width], 1), bias: constant([width], 0) });
  return {
    ln1: norm(),
    attention: {
      query: linear(seed, width, width),
      key: linear(seed + 1, width, width),
      value: linear(seed + 2, width, width),
      out: linear(seed + 3, width, width),
    },
    ln2: norm(),
    mlp: { up: linear(seed + 4, width, 4 * width), down: linear(seed + 5, 4 * width, width) },
  };
}

/** Operations of the products of a step: those of the linear maps and of attention, forward and twice backward. */
export const blockOperations = ({ batch, tokens, width, depth }: BlockSizes): number =>
  3 * depth * (2 * batch * tokens * 12 * width ** 2 + 4 * batch * tokens ** 2 * width);

/** The work. */
export const blockStep = (sizes: BlockSizes = blockSizes): WorkOf<'blockStep'> => {
  const { batch, tokens, width, depth, heads } = sizes;
  return {
    name: `transformer block training step, ${batch}×${tokens}×${width}${depth === 1 ? '' : `, depth ${depth}`}`,
    kind: 'blockStep',
    unit: 'ms',
    oneThread: sizes === blockSizes,
    problem: () => ({
      params: Array.from({ length: depth }, (_, i) => block(1 + 10 * i, width)),
      input: uniform(7, [batch, tokens, width]),
      target: uniform(8, [batch, tokens, width]),
      learningRate: 0.05,
      heads,
    }),
  };
};
