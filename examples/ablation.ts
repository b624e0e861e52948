/**
 * Which part of CLIP-IN does what: four losses of the edits, each with and without long captions, three seeds each, from
 * one distilled model, on equal steps and equal images. The best of a run's checkpoints is chosen on the validation
 * split; what is reported is its figures on the test split. Everything is drawn by the unseen hand.
 *
 *     npm run example examples/ablation.ts -- --steps 120 --seeds 0,1,2
 *
 * A loss of several cross-entropies counts as their mean, so that all four weigh the same beside the short captions.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { TRAINING_HANDS, UNSEEN_HAND } from '@clipin/data';
import { evaluate, init, mapTree } from '@clipin/tensor';
import {
  captionBatches,
  type DualEncoderParams,
  distillation,
  dualEncoder,
  encodersOf,
  evaluationSets,
  fineTuning,
  type LossName,
  loadModel,
  type Measurement,
  measure,
  openWorld,
  runStage,
  smallWorldCheckpoint,
  trainBatches,
  withRotaryText,
} from 'clip-in';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '120' },
    seeds: { type: 'string', default: '0,1,2' },
    triplets: { type: 'string', default: '32' },
    edits: { type: 'string', default: '32' },
    pairs: { type: 'string', default: '40' },
    rate: { type: 'string', default: '1e-3' },
    out: { type: 'string', default: 'runs/ablation' },
  },
});
const [steps, triplets, edits] = [Number(values.steps), Number(values.triplets), Number(values.edits)];
const seeds = values.seeds.split(',').map(Number);
/** One over the number of cross-entropies that each loss adds up (`clip` is their mean already). */
const weights: Record<LossName, number> = { clip: 1, negclip: 1 / 2, tripletclip: 1 / 4, 'clip-in': 1 / 8 };

const device = await init();
const teacher = await loadModel(smallWorldCheckpoint);
const world = openWorld([...TRAINING_HANDS, UNSEEN_HAND]);
const { imageSize: canvas } = teacher.model.config.vision;
const { contextLength: shortLength } = teacher.model.config.text;
const [validation, test] = (['validation', 'test'] as const).map((split) =>
  evaluationSets({ hand: UNSEEN_HAND, split, pairsPerKind: Number(values.pairs), gallery: 200 }),
) as [ReturnType<typeof evaluationSets>, ReturnType<typeof evaluationSets>];
const optimizer = {
  learningRate: Number(values.rate),
  warmup: 10,
  weightDecay: 0.1,
  betas: [0.9, 0.98],
  epsilon: 1e-6,
  clipNorm: 1,
} as const;

const student = dualEncoder(withRotaryText(teacher.model.config, 56));
const encode = encodersOf(student);
const copy = (params: DualEncoderParams) => evaluate(mapTree((x) => x.add(0), params));
const start = await distilled();
console.log(
  `${device.description}; ${steps} steps of ${triplets + 2 * edits} images, seeds ${seeds.join(', ')}`,
);

/** Stage 1, once for all runs. */
async function distilled(): Promise<DualEncoderParams> {
  const captions = { ...world, seed: 0, split: 'train', batch: 64, length: shortLength } as const;
  const texts = (from: number) => captionBatches(captions, from);
  const settings = { ...optimizer, steps: 150 };
  const { state } = await runStage(
    distillation(teacher.model, student, teacher.params.text, settings, texts),
  );
  return { ...teacher.params, text: { ...state.params, tokens: teacher.params.text.tokens } };
}

interface Run {
  readonly loss: LossName;
  readonly longCaptions: boolean;
  readonly seed: number;
  readonly chosenStep: number;
  readonly test: Omit<Measurement, 'similarities'>;
}

async function train(loss: LossName, longCaptions: boolean, seed: number): Promise<Run> {
  // NegCLIP looks at source images only: twice as many edits make as many images.
  const count = loss === 'negclip' ? 2 * edits : edits;
  const data = {
    ...world,
    seed: seed + 1,
    split: 'train',
    triplets,
    edits: count,
    canvas,
    shortLength,
    longLength: 56,
  } as const;
  const objective = { loss, longCaptions, hardNegativeWeight: weights[loss] };
  const batches = (from: number) => trainBatches(data, from, steps);
  let best = { step: 0, accuracy: -1, params: start };
  await runStage(fineTuning(student, copy(start), objective, { ...optimizer, steps }, batches), {
    async onStep(step, _, { params }) {
      if (step % Math.ceil(steps / 4) !== 0 && step !== steps) return;
      const { pairAccuracy } = await measure(encode(params), validation, world, canvas);
      if (pairAccuracy > best.accuracy) best = { step, accuracy: pairAccuracy, params: copy(params) };
    },
  });
  const { similarities: _, ...figures } = await measure(encode(best.params), test, world, canvas);
  return { loss, longCaptions, seed, chosenStep: best.step, test: figures };
}

const runs: Run[] = [];
for (const seed of seeds) {
  for (const loss of Object.keys(weights) as LossName[]) {
    for (const longCaptions of [false, true]) {
      const run = await train(loss, longCaptions, seed);
      runs.push(run);
      const { pairAccuracy, retrieval } = run.test;
      console.log(
        `seed ${seed}  ${loss.padEnd(11)} ${longCaptions ? 'long' : '    '}  pairs ${pairAccuracy.toFixed(1)}  ` +
          `R@1 short ${retrieval.short.textToImage[1]}  long ${retrieval.long.textToImage[1]}`,
      );
    }
  }
}

const figures: readonly [name: string, of: (figures: Run['test']) => number][] = [
  ['pair accuracy', ({ pairAccuracy }) => pairAccuracy],
  ['both directions', ({ bothDirections }) => bothDirections],
  ['R@1 short', ({ retrieval }) => retrieval.short.textToImage[1] ?? 0],
  ['R@1 long', ({ retrieval }) => retrieval.long.textToImage[1] ?? 0],
  ['zero-shot', ({ classification }) => classification],
];

/** Mean and standard deviation over seeds. */
function spread(numbers: readonly number[]): string {
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, numbers.length - 1);
  return `${mean.toFixed(1)} ± ${Math.sqrt(variance).toFixed(1)}`;
}

const { similarities: _, ...startFigures } = await measure(encode(start), test, world, canvas);
const variants = [...new Map(runs.map((run) => [`${run.loss} ${run.longCaptions}`, run])).values()];
const rows = [
  ['(distilled start)', '', ...figures.map(([, of]) => of(startFigures).toFixed(1))],
  ...variants.map(({ loss, longCaptions }) => {
    const own = runs.filter((run) => run.loss === loss && run.longCaptions === longCaptions);
    return [
      loss,
      longCaptions ? 'yes' : 'no',
      ...figures.map(([, of]) => spread(own.map((run) => of(run.test)))),
    ];
  }),
];
const heads = ['loss of edits', 'long captions', ...figures.map(([name]) => name)];
const table = [heads, heads.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
await mkdir(values.out, { recursive: true });
await writeFile(
  `${values.out}/runs.json`,
  `${JSON.stringify({ device: device.description, ...values, runs }, undefined, 1)}\n`,
);
await writeFile(`${values.out}/table.md`, `${table}\n`);
console.log(
  `\n${table}\n\nmean ± standard deviation over ${seeds.length} seeds; ${values.out}/runs.json has all figures`,
);
