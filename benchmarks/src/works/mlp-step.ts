/** A training step of a perceptron for digits: 784-256-10, ReLU, cross-entropy, gradient descent, 256 pictures. */
import type { Linear, Values } from '../library';
import { constant, oneHot, uniform } from '../random';
import type { WorkOf } from './work';

const [batch, inputs, hidden, classes] = [256, 784, 256, 10];

/** First values of a linear map, uniform with variance `1/inputs`. */
export const linear = (seed: number, inputs: number, outputs: number): Linear<Values> => ({
  weight: uniform(seed, [inputs, outputs], Math.sqrt(3 / inputs)),
  bias: constant([outputs], 0),
});

/** The work. */
export const mlpStep = (): WorkOf<'mlpStep'> => ({
  name: `MLP ${inputs}-${hidden}-${classes} training step, batch ${batch}`,
  kind: 'mlpStep',
  unit: 'ms',
  oneThread: true,
  problem: () => ({
    params: { up: linear(1, inputs, hidden), down: linear(2, hidden, classes) },
    input: uniform(3, [batch, inputs]),
    target: oneHot(4, batch, classes),
    learningRate: 0.05,
  }),
});
