/**
 * Learns a handful of edits of each kind by heart. A kind that cannot even be memorized points at a fault in the data or
 * the model; one that can is only slow to learn.
 *
 *     npm run example examples/overfit.ts -- --edits 4 --steps 300
 */
import { parseArgs } from 'node:util';
import { createRenderer, EDIT_KIND_NAMES, encodeTexts, renderScenes, testPairs } from '@clipin/data';
import { sinCosPositions } from '@clipin/nn';
import { init, randomKey, tensor, zeros } from '@clipin/tensor';
import {
  configurations,
  dualEncoder,
  encodersOf,
  evaluationSets,
  fineTuning,
  measure,
  openWorld,
  runStage,
  type TrainBatch,
  withRotaryText,
} from 'clip-in';

const { values } = parseArgs({
  options: {
    edits: { type: 'string', default: '4' },
    steps: { type: 'string', default: '300' },
    rate: { type: 'string', default: '1e-3' },
    kinds: { type: 'string', default: EDIT_KIND_NAMES.join(',') },
  },
});
const [perKind, steps] = [Number(values.edits), Number(values.steps)];
const kinds = EDIT_KIND_NAMES.filter((kind) => values.kinds.split(',').includes(kind));
const hand = 'openmoji';
console.log((await init()).description);

const world = openWorld([hand]);
const config = withRotaryText(configurations['small-world'], 24);
const model = dualEncoder(config, { positionInit: sinCosPositions(0.5) });
const canvas = config.vision.imageSize;
const pairs = testPairs({ hand, split: 'train', perKind, kinds });
const renderer = createRenderer(world.art, { canvas });
const pictures = (side: 'source' | 'target') =>
  tensor(
    renderScenes(
      renderer,
      pairs.map((pair) => pair[side]),
      hand,
    ),
    [pairs.length, canvas, canvas, 3],
  );
const captions = (side: 'sourceCaption' | 'targetCaption') =>
  tensor(
    encodeTexts(
      world.tokenizer,
      pairs.map((pair) => pair[side]),
      24,
    ),
    [pairs.length, 24],
  );
// Made anew for each step, which takes the memory of its batch.
const nothing = () => ({
  images: zeros([0, canvas, canvas, 3]),
  short: zeros([0, 24], { dtype: 'i32' }),
  long: zeros([0, 24], { dtype: 'i32' }),
});

async function* sameBatch(): AsyncGenerator<TrainBatch> {
  for (;;) {
    yield {
      ...nothing(),
      sourceImages: pictures('source'),
      targetImages: pictures('target'),
      sourceText: captions('sourceCaption'),
      targetText: captions('targetCaption'),
    };
  }
}

const settings = {
  steps,
  learningRate: Number(values.rate),
  warmup: 20,
  weightDecay: 0,
  betas: [0.9, 0.98],
  epsilon: 1e-6,
  clipNorm: 1,
} as const;
const loss = { loss: 'clip-in', longCaptions: false, hardNegativeWeight: 0.25 } as const;
const stage = fineTuning(model, model.init(randomKey(0)), loss, settings, sameBatch);
const { state } = await runStage(stage, {
  onStep(step, metrics) {
    if (step % 20 === 0) console.log(`step ${step}  loss ${metrics.loss.toFixed(4)}`);
  },
});
const sets = { ...evaluationSets({ hand, split: 'train', pairsPerKind: 1, gallery: 8 }), pairs };
const { perKind: learned } = await measure(encodersOf(model)(state.params), sets, world, canvas);
console.table(learned);
