/** A training step of a pre-norm transformer block: 8 × 64 tokens of width 128, 4 heads, MLP × 4, gradient descent. */
import { constant, uniform } from '../random';
import { linear } from './mlp-step';
import type { Work } from './work';

const [batch, tokens, width, heads, hidden] = [8, 64, 128, 4, 512];

/** The work. */
export function blockStep(): Work {
  const norm = () => ({ gain: constant([width], 1), bias: constant([width], 0) });
  const problem = {
    params: {
      ln1: norm(),
      attention: {
        query: linear(1, width, width),
        key: linear(2, width, width),
        value: linear(3, width, width),
        out: linear(4, width, width),
      },
      ln2: norm(),
      mlp: { up: linear(5, width, hidden), down: linear(6, hidden, width) },
    },
    input: uniform(7, [batch, tokens, width]),
    target: uniform(8, [batch, tokens, width]),
    learningRate: 0.05,
    heads,
  };
  return {
    name: `transformer block training step, ${batch}×${tokens}×${width}`,
    unit: 'ms',
    prepare: (library) => library.blockStep(problem),
  };
}
