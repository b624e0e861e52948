/** What the commands of the command line do: run the recipe or a measurement, and tell how it goes. */
import { access, constants, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { EvalOptions, RunOptions } from './commandOptions';
import type { Config, ConfigInput } from './config';
import { encodersOf } from './evaluation/encoders';
import { evaluationSets, type Measurement, measure } from './evaluation/measure';
import { loadModel, smallWorldCheckpoint } from './pretrained';
import { formatDuration, type Progress, startProgress } from './progress';
import { type RecipeEvents, runRecipe } from './recipe';
import { recipeReport } from './report/recipeReport';
import { writeReport } from './report/report';
import { figuresTable } from './table';
import { openWorld } from './training/world';

/** Settings of `clip-in demo`: minutes on two cores. */
export const demoSettings: ConfigInput = {
  out: 'runs/demo',
  start: smallWorldCheckpoint,
  data: { shortLength: 24, longLength: 56 },
  distillation: { steps: 150, batch: 64 },
  training: { steps: 360, triplets: 48, edits: 48, hardNegativeWeight: 0.25, warmup: 30 },
};

/** `clip-in train` and `clip-in demo`. */
export async function runTrain({ config, device, resume, signal }: RunOptions): Promise<void> {
  const started = performance.now();
  const { events, close } = showing();
  const run = await runRecipe(config, { resume, signal, events }).finally(close);
  const { after } = run;
  if (!after) {
    console.log(`stopped; the checkpoint is saved in ${config.out}, and --resume goes on from it`);
    return;
  }
  const seconds = (performance.now() - started) / 1000;
  const files = await writeReport(
    config.out,
    recipeReport(config, { ...run, after }, { device: device.description, seconds }),
  );
  console.log(`\n${figuresTable({ before: run.before, after }, run.sets)}\n`);
  console.log(`model    ${join(config.out, 'model')}\nreport   ${files.html}\nfigures  ${files.metrics}`);
  console.log(`done in ${formatDuration(seconds)} on ${device.description}`);
}

/** `clip-in demo`. */
export const runDemo = runTrain;

/** `clip-in eval`. */
export async function runEval({ config, device, json }: EvalOptions): Promise<void> {
  if (json !== undefined) await checkFolder(json);
  const figures = await measureModel(config);
  const { similarities: _, ...kept } = figures.measurement;
  console.log(`\n${figuresTable({ [config.evaluation.hand]: figures.measurement }, figures.sets)}`);
  if (json === undefined) return;
  await writeFile(json, `${JSON.stringify({ device: device.description, ...kept }, undefined, 2)}\n`);
  console.log(`\nfigures  ${json}`);
}

/** Before time is spent. */
async function checkFolder(file: string): Promise<void> {
  const folder = dirname(file);
  try {
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new Error(`--json ${file}: cannot write into the folder ${folder}; make it first`, { cause });
  }
}

async function measureModel({ start, evaluation }: Config) {
  if (start === null) throw new Error('eval: name the checkpoint of a model');
  const { model, params } = await loadModel(start);
  const world = openWorld([evaluation.hand]);
  const sets = evaluationSets(evaluation);
  const measurement: Measurement = await measure(
    encodersOf(model)(params),
    sets,
    world,
    model.config.vision.imageSize,
  );
  return { measurement, sets };
}

const titles: Readonly<Record<string, string>> = {
  distil: 'stage 1, distillation',
  'clip-in': 'stage 2, CLIP-IN',
};

/** Shows the recipe's events as a progress bar and a line for each measurement. */
function showing(): { events: RecipeEvents; close: () => void } {
  let progress: Progress | undefined;
  let examples = 0;
  const close = () => {
    progress?.stop();
    progress = undefined;
  };
  const events: RecipeEvents = {
    stage(name, { done, steps, examples: perStep }) {
      close();
      examples = perStep;
      progress = startProgress({ title: titles[name] ?? name, total: steps, done });
    },
    step(_, done, { loss }) {
      progress?.update(done, { loss, examples });
    },
    measured(when, step, { pairAccuracy, retrieval }) {
      const line =
        `${when === 'during' ? `after ${step} steps` : when}: pair accuracy ${pairAccuracy.toFixed(1)} %, ` +
        `long captions find their picture ${(retrieval.long.textToImage[1] ?? 0).toFixed(1)} %`;
      if (when === 'during' && progress) progress.log(line);
      else {
        close();
        console.log(line);
      }
    },
  };
  return { events, close };
}
