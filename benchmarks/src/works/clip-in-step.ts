/** One training step of the demo of `clip-in`: its model, its settings, and a batch of its world. */

import { createBatches } from '@clipin/data';
import { destroyDevice, init, randomKey } from '@clipin/tensor';
import { configurations, dualEncoder, openWorld, parseConfig, treeToRecord, withRotaryText } from 'clip-in';
import { demoSettings } from '../../../packages/clip-in/src/commands/demo';
import type { ClipInProblem, Ids, Values } from '../library';
import type { WorkOf } from './work';

const config = parseConfig(demoSettings);
const { triplets, edits, steps, hardNegativeWeight } = config.training;

/** The work. Runs are training steps on one batch, the first ones of the warm-up. */
export const clipInStep = (): WorkOf<'clipInStep'> => ({
  name: `CLIP-IN demo step, ${triplets} triplets and ${edits} edits`,
  kind: 'clipInStep',
  unit: 'ms',
  comparedRuns: 5,
  problem,
});

async function problem(): Promise<ClipInProblem> {
  const { shortLength, longLength, hands, seed } = config.data;
  const { learningRate, warmup, weightDecay, betas, epsilon, clipNorm } = config.training;
  if (clipNorm === null) throw new Error('the demo clips its gradients; this step does too');
  const model = withRotaryText(configurations['small-world'], longLength); // what the demo's checkpoint holds
  return {
    params: await firstParams(model),
    batch: batchOf({ hands, seed: seed ?? 0, shortLength, longLength }),
    heads: { image: model.vision.heads, text: model.text.heads },
    patchSize: model.vision.patchSize,
    contextLength: longLength,
    hardNegativeWeight,
    optimizer: { steps, warmup, learningRate, weightDecay, betas, epsilon, clipNorm },
  };
}

async function firstParams(model: Parameters<typeof dualEncoder>[0]): Promise<Record<string, Values>> {
  const device = await init({ device: 'wasm', threads: 1 });
  const record = await treeToRecord(dualEncoder(model).init(randomKey(0)));
  destroyDevice(device);
  return Object.fromEntries(
    Object.entries(record).map(([path, { data, shape }]) => [path, { shape, data: Float32Array.from(data) }]),
  );
}

function batchOf({
  hands,
  ...options
}: {
  hands: Parameters<typeof openWorld>[0];
  seed: number;
  shortLength: number;
  longLength: number;
}): ClipInProblem['batch'] {
  const { canvas, shortLength, longLength } = { canvas: config.data.canvas, ...options };
  const batches = createBatches({ ...openWorld(hands), hands, split: 'train', triplets, edits, ...options });
  const { triplets: ours, edits: pairs } = batches.at(0);
  const pictures = (data: Float32Array): Values => ({
    shape: [data.length / (canvas * canvas * 3), canvas, canvas, 3],
    data,
  });
  const texts = (data: Int32Array, length: number): Ids => ({ shape: [data.length / length, length], data });
  return {
    images: pictures(ours.images),
    short: texts(ours.short, shortLength),
    long: texts(ours.long, longLength),
    sourceImages: pictures(pairs.sourceImages),
    targetImages: pictures(pairs.targetImages),
    sourceText: texts(pairs.sourceText, shortLength),
    targetText: texts(pairs.targetText, shortLength),
  };
}
