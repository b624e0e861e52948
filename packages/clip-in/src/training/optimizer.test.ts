/** What a whole training step takes: the memory plan of the demo's model. Nothing is computed. */
import { createReferenceDevice } from '@clipin/kernel';
import { countParameters } from '@clipin/nn';
import { evaluate, mapTree, randomKey, setDefaultDevice, type Tensor, zeros } from '@clipin/tensor';
import { expect, it } from 'vitest';
import { configurations, withRotaryText } from '../configurations';
import { dualEncoder } from '../model';
import { trainer } from './optimizer';
import { clipInLoss } from './stages';
import type { TrainBatch } from './world';

it('a step of CLIP-IN needs at most 15 percent more memory than is alive at once', async () => {
  setDefaultDevice(createReferenceDevice());
  const model = dualEncoder(withRotaryText(configurations['small-world'], 56));
  const params = evaluate(mapTree(({ shape }: Tensor) => zeros(shape), model.init(randomKey(0))));
  const objective = clipInLoss(model, { loss: 'clip-in', longCaptions: true, hardNegativeWeight: 1 });
  const settings = {
    ...{ steps: 9, learningRate: 1e-3, warmup: 1, weightDecay: 0.1, epsilon: 1e-6, clipNorm: 1 },
    betas: [0.9, 0.98] as const,
  };
  const { initial, step } = trainer(params, objective, settings);
  const pictures = () => zeros([16, 48, 48, 3]);
  const texts = (length: number) => zeros([16, length], { dtype: 'i32' });
  const batch: TrainBatch = {
    ...{ images: pictures(), sourceImages: pictures(), targetImages: pictures() },
    ...{ short: texts(24), sourceText: texts(24), targetText: texts(24), long: texts(56) },
  };
  const { plannedBytes, leastBytes } = await step.warmup(initial, batch);
  const state = 3 * 4 * countParameters(params); // parameters and the two averages of AdamW
  expect(leastBytes).toBeGreaterThan(state); // gradients and activations
  expect(state + plannedBytes).toBeLessThan(1.15 * (state + leastBytes));
});
