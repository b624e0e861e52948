/** `clip-in eval`: the figures of a model, as a table and as JSON. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suiteList, suites, suitesNamed } from '../benchmarks/suites';
import type { Config } from '../config';
import { encodersOf } from '../evaluation/encoders';
import { evaluationSets, type Measurement, measure } from '../evaluation/measure';
import { loadModel, tokenizerOf } from '../pretrained';
import { figuresTable } from '../table';
import { openWorld } from '../training/world';
import { MODEL_HELP } from '../use/load-model';
import { type EvalSuitesOptions, runEvalSuites } from './eval-suites';
import {
  type AddCommand,
  addSettingsOptions,
  type CommandOptions,
  checkFolderOf,
  type SettingsFlags,
  withDevice,
  withSettings,
} from './shared';

/** Options of `clip-in eval`. The model is that of `config.start`. */
export interface EvalOptions extends CommandOptions {
  /** A file for the figures, besides the table. */
  readonly json?: string;
}

interface Flags extends SettingsFlags {
  readonly json?: string;
  readonly suite?: string;
  readonly data?: string;
  readonly cache?: string;
}

const HELP = `
Without --suite the model is measured in the small world, whose pictures are drawn. With --suite it is measured on published
benchmarks, which you have downloaded; the model is then ${MODEL_HELP}.
Suites: ${suites.map(({ name }) => name).join(', ')}.
--suite help says which files each of them expects.

Examples:
  clip-in eval runs/a/model --set evaluation.split=validation
  clip-in eval openai/clip-vit-base-patch32 --suite mmvp-vlm,sugarcrepe --data benchmarks --out runs/eval
Embeddings are kept, so that a run that was stopped, or killed, goes on where it was when it is started again.`;

/** `clip-in eval`: the small world, or with `--suite` published benchmarks. */
export const evalCommand =
  (
    run: (given: EvalOptions) => Promise<void> = runEval,
    runSuites: (given: EvalSuitesOptions) => Promise<void> = runEvalSuites,
  ): AddCommand =>
  (program) => {
    const command = program
      .command('eval')
      .description('measure a model: in the small world, or on published benchmarks')
      .argument('[model]', 'a checkpoint, or a directory of them, of which the latest counts; or as below')
      .option('--json <file>', 'write the figures of the small world to a file too')
      .option('--suite <names>', 'published benchmarks, with commas between them; help lists them')
      .option(
        '--data <directory>',
        'holds a directory for each suite, of its name; or is that of the one suite',
      )
      .option(
        '--out <directory>',
        'for results.json, results.md and report.html of the suites; default: runs/eval',
      )
      .option('--cache <directory>', 'for the embeddings; default: embeddings, in the one of --out')
      .action(async (model: string | undefined, flags: Flags) => {
        if (flags.suite === 'help') return console.log(suiteList());
        if (model === undefined) throw new Error('eval: name the model, as clip-in eval MODEL');
        if (flags.suite !== undefined) return evaluateSuites(model, flags, runSuites);
        refuse(flags, ['data', 'out', 'cache'], 'needs --suite');
        const { json } = flags;
        await withSettings({ ...flags, start: model }, {}, (given) =>
          run({ ...given, ...(json !== undefined && { json }) }),
        );
      });
    addSettingsOptions(command, { out: false, config: true }).addHelpText('after', HELP);
  };

async function evaluateSuites(
  model: string,
  flags: Flags,
  run: (given: EvalSuitesOptions) => Promise<void>,
): Promise<void> {
  refuse(flags, ['json', 'config', 'set', 'seed'], 'belongs to the small world, not to --suite');
  const { suite = '', data, out = 'runs/eval', cache = join(out, 'embeddings') } = flags;
  const names = suite.split(',').map((name) => name.trim());
  // Before the device is started.
  suitesNamed(names);
  if (data === undefined) throw new Error('eval: --suite needs --data, the directory of the benchmarks');
  await withDevice(flags, (started) => run({ ...started, model, suites: names, data, out, cache }));
}

function refuse(flags: Flags, names: readonly (keyof Flags)[], why: string): void {
  const given = names.find((name) => flags[name] !== undefined && String(flags[name]) !== '');
  if (given !== undefined) throw new Error(`eval: --${given} ${why}`);
}

/** Measures the model of `config.start`, prints the table, and writes the file of figures. */
export async function runEval({ config, device, json }: EvalOptions): Promise<void> {
  if (json !== undefined) await checkFolderOf('--json', json);
  const figures = await measureModel(config);
  const { similarities: _, ...kept } = figures.measurement;
  console.log(`\n${figuresTable({ [config.evaluation.hand]: figures.measurement }, figures.sets)}`);
  if (json === undefined) return;
  await writeFile(json, `${JSON.stringify({ device: device.description, ...kept }, undefined, 2)}\n`);
  console.log(`\nfigures  ${json}`);
}

async function measureModel({ start, evaluation }: Config) {
  if (start === null) throw new Error('eval: name the checkpoint of a model');
  const { model, params, vocabulary, preprocess } = await loadModel(start);
  const world = openWorld([evaluation.hand], await tokenizerOf(vocabulary), preprocess);
  const sets = evaluationSets(evaluation);
  const measurement: Measurement = await measure(
    encodersOf(model)(params),
    sets,
    world,
    model.config.vision.imageSize,
  );
  return { measurement, sets };
}
