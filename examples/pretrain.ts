/**
 * Trains the plain CLIP from which the demo starts: pictures of scenes and short captions, no edits, no long captions.
 *
 *     npm run example examples/pretrain.ts -- --steps 6000 --out runs/pretrain
 *
 * Goes on where it was stopped. The log (`log.jsonl`) has the loss, and every so often what the model can do on the
 * validation split, drawn by a training hand and by the unseen one.
 */
import { appendFile, mkdir } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { TRAINING_HANDS, UNSEEN_HAND } from '@clipin/data';
import { countParameters, sinCosPositions } from '@clipin/nn';
import { init, randomKey } from '@clipin/tensor';
import {
  configurations,
  dualEncoder,
  encodersOf,
  evaluationSets,
  measure,
  openWorld,
  pretraining,
  runStage,
  saveModel,
  trainBatches,
  worldTokenizer,
} from 'clip-in';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '6000' },
    batch: { type: 'string', default: '128' },
    rate: { type: 'string', default: '1e-3' },
    seed: { type: 'string', default: '0' },
    measure: { type: 'string', default: '500' },
    out: { type: 'string', default: 'runs/pretrain' },
  },
});
const settings = {
  steps: Number(values.steps),
  learningRate: Number(values.rate),
  warmup: Math.min(200, Number(values.steps)),
  weightDecay: 0.1,
  betas: [0.9, 0.98] as const,
  epsilon: 1e-6,
  clipNorm: 1,
};
const device = await init();
const tokenizer = worldTokenizer();
const world = openWorld([...TRAINING_HANDS, UNSEEN_HAND], tokenizer);
const config = {
  ...configurations['small-world'],
  text: { ...configurations['small-world'].text, vocabulary: world.tokenizer.size },
};
const { imageSize: canvas } = config.vision;
const { contextLength: shortLength } = config.text;
const model = dualEncoder(config, { positionInit: sinCosPositions(0.5) });
const params = model.init(randomKey(Number(values.seed)));
console.log(`${device.description}; ${countParameters(params).toLocaleString('en')} parameters`);

const batch = { triplets: Number(values.batch), edits: 0, canvas, shortLength };
const data = {
  ...world,
  hands: TRAINING_HANDS,
  seed: Number(values.seed),
  split: 'train',
  ...batch,
} as const;
const stage = pretraining(model, params, settings, (from) => trainBatches(data, from, settings.steps));
const sets = (['openmoji', UNSEEN_HAND] as const).map((hand) =>
  evaluationSets({ hand, split: 'validation', pairsPerKind: 25, gallery: 200 }),
);

await mkdir(values.out, { recursive: true });
const log = (entry: object) => appendFile(`${values.out}/log.jsonl`, `${JSON.stringify(entry)}\n`);
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
const started = Date.now();
const between = Number(values.measure);

const encode = encodersOf(model);

async function report(step: number, current: typeof params): Promise<void> {
  for (const set of sets) {
    const figures = await measure(encode(current), set, world, canvas);
    const { pairAccuracy, perKind, retrieval, classification } = figures;
    console.log(
      `step ${step}  ${set.hand}: pairs ${pairAccuracy.toFixed(1)}, R@1 ${retrieval.short.textToImage[1]}`,
    );
    await log({ step, hand: set.hand, pairAccuracy, perKind, retrieval: retrieval.short, classification });
  }
}

const { state, done, finished } = await runStage(stage, {
  directory: values.out,
  saveEvery: between,
  resume: true,
  config: { model: config, settings, data: { ...batch, seed: data.seed } },
  signal: stop.signal,
  async onStep(step, metrics, { params: current }) {
    if (step % 20 === 0) {
      const seconds = (Date.now() - started) / 1000;
      console.log(`step ${step}  loss ${metrics.loss.toFixed(3)}  ${seconds.toFixed(0)} s`);
      await log({ step, seconds, ...metrics });
    }
    if (step % between === 0) await report(step, current);
  },
});
if (finished) {
  const trained = { model, params: state.params, vocabulary: tokenizer.toJSON() };
  await saveModel(`${values.out}/model`, trained, { step: done, settings: { ...settings, ...batch } });
  console.log(`saved ${values.out}/model`);
}
