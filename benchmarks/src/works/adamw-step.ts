/** A step of AdamW on as many tensors as a CLIP of two twelve-layer towers has, most of them small. */
import type { Values } from '../library';
import { uniform } from '../random';
import type { WorkOf } from './work';

/** Shapes of one block of this width: norms, four maps with biases, the perceptron's two. */
const blockShapes = (width: number): number[][] => [
  ...[[width], [width], [width], [width]],
  ...new Array<number[][]>(4).fill([[width, width], [width]]).flat(),
  ...[[width, 4 * width], [4 * width], [4 * width, width], [width]],
];

/** Twenty blocks and a table: 321 tensors for `blocks` of 20. */
export function adamWStep(width: number, blocks: number): WorkOf<'adamW'> {
  const shapes = [[512, width], ...new Array<number[][]>(blocks).fill(blockShapes(width)).flat()];
  const elements = shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const all = (seed: number, scale: number): Values[] =>
    shapes.map((shape, i) => uniform(seed + i, shape, scale));
  return {
    name: `AdamW, ${shapes.length} tensors, ${(elements / 1e6).toFixed(1)} million elements`,
    kind: 'adamW',
    unit: 'GB/s',
    amount: 4 * 7 * elements, // parameter, mean and variance are read and written, the gradient is read
    problem: () => ({
      params: all(1, 1),
      gradients: all(1000, 0.1),
      settings: { learningRate: 1e-3, weightDecay: 0.1, betas: [0.9, 0.98], epsilon: 1e-6 },
    }),
  };
}
