/**
 * CLIP-IN's two stages by hand, from the pieces: distil a rotary text tower, then train with short captions, long captions
 * and symmetric hard negatives. `clip-in train` does the same from a configuration, with checkpoints and a report.
 *
 *     npm run example examples/train-clip-in.ts -- --distil 60 --steps 60
 */
import { parseArgs } from 'node:util';
import { TRAINING_HANDS, UNSEEN_HAND } from '@clipin/data';
import { init } from '@clipin/tensor';
import {
  captionBatches,
  distillation,
  dualEncoder,
  encodersOf,
  evaluationSets,
  fineTuning,
  loadModel,
  measure,
  openWorld,
  runStage,
  smallWorldCheckpoint,
  trainBatches,
  withRotaryText,
} from 'clip-in';

const { values } = parseArgs({
  options: { distil: { type: 'string', default: '60' }, steps: { type: 'string', default: '60' } },
});
console.log((await init()).description);

// A plain CLIP that knows pictures and short captions, and the world that it was trained in.
const teacher = await loadModel(smallWorldCheckpoint);
const world = openWorld([...TRAINING_HANDS, UNSEEN_HAND]);
const { imageSize: canvas } = teacher.model.config.vision;
const { contextLength: shortLength } = teacher.model.config.text;
const sets = evaluationSets({ hand: UNSEEN_HAND, split: 'test', pairsPerKind: 10, gallery: 100 });
const before = await measure(encodersOf(teacher.model)(teacher.params), sets, world, canvas);

// Stage 1: the same text tower with rotary positions learns to embed as the old one does.
const student = dualEncoder(withRotaryText(teacher.model.config, 56));
const optimizer = {
  learningRate: 1e-3,
  warmup: 10,
  weightDecay: 0.1,
  betas: [0.9, 0.98],
  epsilon: 1e-6,
  clipNorm: 1,
} as const;
const captions = { ...world, seed: 0, split: 'train', batch: 64, length: shortLength } as const;
const first = { ...optimizer, steps: Number(values.distil) };
const texts = (from: number) => captionBatches(captions, from);
const distilled = await runStage(distillation(teacher.model, student, teacher.params.text, first, texts));

// Stage 2: L_short + L_long + w · L_HN on mixed batches.
const params = { ...teacher.params, text: { ...distilled.state.params, tokens: teacher.params.text.tokens } };
const loss = { loss: 'clip-in', longCaptions: true, hardNegativeWeight: 0.5 } as const;
const second = { ...optimizer, steps: Number(values.steps) };
const data = {
  ...world,
  seed: 0,
  split: 'train',
  triplets: 32,
  edits: 32,
  canvas,
  shortLength,
  longLength: 56,
} as const;
const batches = (from: number) => trainBatches(data, from, second.steps);
const tuned = await runStage(fineTuning(student, params, loss, second, batches), {
  onStep(step, { loss: total, short, long, edits }) {
    if (step % 10 === 0) console.log(`step ${step}  loss ${total.toFixed(3)}`, { short, long, edits });
  },
});

const after = await measure(encodersOf(student)(tuned.state.params), sets, world, canvas);
console.log(`pair accuracy ${before.pairAccuracy.toFixed(1)} → ${after.pairAccuracy.toFixed(1)} percent`);
console.log(
  `long captions R@1 ${before.retrieval.long.textToImage[1]} → ${after.retrieval.long.textToImage[1]} percent`,
);
