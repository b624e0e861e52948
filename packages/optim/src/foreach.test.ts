/** An update of many small tensors in one kernel is, to the bit, that of each tensor by itself. */
import { init, jit, leaves, type Tensor, tensor } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { adamW, applyUpdates, type GradientTransformation, isMatrix, type StateKind, sgd } from './index';

beforeAll(async () => {
  await init({ device: 'wasm' });
});

const shapes = fc.array(fc.constantFrom([1], [2], [3], [4], [5], [7, 3], [64], [65], [33, 64]), {
  minLength: 2,
  maxLength: 24,
});

const random = (seed: number, shape: readonly number[], count: number): Tensor => {
  const length = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length }, (_, i) => Math.sin(seed * 12.9898 + i * 78.233 + count * 0.71)),
    shape,
  );
};

/** Parameters after three steps from the tree's tensors, and the kernels of a step. */
async function train<K extends StateKind>(
  rule: GradientTransformation<K>,
  params: readonly Tensor[],
  numbers: readonly number[],
): Promise<{ readonly bits: number[][]; readonly kernels: number }> {
  type State = ReturnType<typeof rule.init<readonly Tensor[]>>;
  const step = jit(
    (p: readonly Tensor[], state: State, gradients: readonly Tensor[]) => {
      const [updates, next] = rule.update(gradients, state, p);
      return { p: applyUpdates(p, updates), state: next };
    },
    { donate: [0, 1] },
  );
  let now = { p: params, state: rule.init(params) };
  const gradients = (count: number) =>
    params.map(({ shape }, i) => random(numbers[i] as number, shape, count));
  const { kernels } = await step.warmup(now.p, now.state, gradients(0));
  for (let count = 0; count < 3; count++) now = step(now.p, now.state, gradients(count));
  const bits = await Promise.all(
    leaves(now.p).map(async ({ tensor: x }) => [...new Uint32Array((await x.data()).buffer)]),
  );
  return { bits, kernels };
}

const rules = {
  adamW: () => adamW({ learningRate: 1e-2, weightDecay: 0.1, mask: isMatrix }),
  sgd: () => sgd({ learningRate: 1e-2 }),
};

it.each(['adamW', 'sgd'] as const)('%s', async (name) => {
  await checkProperty(
    fc.asyncProperty(shapes, async (all) => {
      const params = () => all.map((shape, i) => random(i + 100, shape, 0));
      const rule: GradientTransformation<StateKind> = rules[name]();
      const together = await train(rule, params(), [...all.keys()]);
      const alone = await Promise.all(params().map((parameter, i) => train(rule, [parameter], [i])));
      expect(together.bits).toEqual(alone.flatMap(({ bits }) => bits));
      expect(together.kernels).toBeLessThanOrEqual(8);
    }),
    { numRuns: 15 },
  );
});
