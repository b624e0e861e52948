/** `clip-in eval`: the figures of a model, as a table and as JSON. */
import { access, constants, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config } from '../config';
import { encodersOf } from '../evaluation/encoders';
import { evaluationSets, type Measurement, measure } from '../evaluation/measure';
import { loadModel, tokenizerOf } from '../pretrained';
import { figuresTable } from '../table';
import { openWorld } from '../training/world';
import {
  type AddCommand,
  addSettingsOptions,
  type CommandOptions,
  type SettingsFlags,
  withSettings,
} from './shared';

/** Options of `clip-in eval`. The model is that of `config.start`. */
export interface EvalOptions extends CommandOptions {
  /** A file for the figures, besides the table. */
  readonly json?: string;
}

/** `clip-in eval`. */
export const evalCommand =
  (run: (given: EvalOptions) => Promise<void> = runEval): AddCommand =>
  (program) => {
    const command = program
      .command('eval')
      .description('measure a model: edited pairs per visual pattern, retrieval, zero-shot classification')
      .argument('<checkpoint>', 'the model: a checkpoint, or a directory of them, of which the latest counts')
      .option('--json <file>', 'write the figures to a file too')
      .action((start: string, flags: SettingsFlags & { readonly json?: string }) =>
        withSettings({ ...flags, start }, {}, (given) =>
          run({ ...given, ...(flags.json !== undefined && { json: flags.json }) }),
        ),
      );
    addSettingsOptions(command, { out: false, config: true });
  };

/** Measures the model of `config.start`, prints the table, and writes the file of figures. */
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
  const { model, params, vocabulary } = await loadModel(start);
  const world = openWorld([evaluation.hand], tokenizerOf(vocabulary));
  const sets = evaluationSets(evaluation);
  const measurement: Measurement = await measure(
    encodersOf(model)(params),
    sets,
    world,
    model.config.vision.imageSize,
  );
  return { measurement, sets };
}
