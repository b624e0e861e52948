/** `clip-in train`: runs the recipe from settings, tells how it goes, and writes the report. */
import { join } from 'node:path';
import { listSettings } from '../config';
import { formatDuration, type Progress, startProgress } from '../progress';
import { type RecipeEvents, runRecipe } from '../recipe';
import { recipeReport } from '../report/recipeReport';
import { writeReport } from '../report/report';
import { figuresTable } from '../table';
import {
  type AddCommand,
  addSettingsOptions,
  type RunOptions,
  type SettingsFlags,
  withSettings,
} from './shared';

const SETTINGS_HELP = `
Settings of a configuration file, and of --set (with their defaults):
${listSettings()}

A configuration file is JSON with the same names:
  { "seed": 1, "training": { "steps": 500, "loss": "negclip" } }`;

/** `clip-in train`. */
export const trainCommand =
  (run: (given: RunOptions) => Promise<void> = runTrain): AddCommand =>
  (program) => {
    const command = program
      .command('train')
      .description(
        'distil a rotary text tower, then train with short captions, long captions and edited pictures',
      )
      .option('--resume', 'go on from the latest checkpoint of the output directory')
      .option('--start <checkpoint>', 'model to start from; default: random weights')
      .action((flags: SettingsFlags & { readonly resume?: true }) =>
        withSettings(flags, {}, (given) => run({ ...given, resume: flags.resume === true })),
      );
    addSettingsOptions(command, { out: true, config: true }).addHelpText('after', SETTINGS_HELP);
  };

/** Runs the recipe, for `clip-in train` and `clip-in demo`. */
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
