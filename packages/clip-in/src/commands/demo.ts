/** `clip-in demo`: a recipe of minutes, from the pretrained model of this package. */
import type { ConfigInput } from '../config';
import { smallWorldCheckpoint } from '../pretrained';
import {
  type AddCommand,
  addSettingsOptions,
  type RunOptions,
  type SettingsFlags,
  withSettings,
} from './shared';
import { runTrain } from './train';

/** Settings of `clip-in demo`: minutes on two cores. */
export const demoSettings: ConfigInput = {
  out: 'runs/demo',
  start: smallWorldCheckpoint,
  data: { shortLength: 24, longLength: 56 },
  distillation: { steps: 150, batch: 64 },
  training: { steps: 360, triplets: 48, edits: 48, hardNegativeWeight: 0.25, warmup: 30 },
};

/** `clip-in demo`; `--set` and the like change its settings. */
export const demoCommand =
  (run: (given: RunOptions) => Promise<void> = runTrain, settings = demoSettings): AddCommand =>
  (program) => {
    const command = program
      .command('demo')
      .description('train a small CLIP-IN from the pretrained model of this package, and write a report')
      .option('--resume', 'go on from the latest checkpoint of the output directory')
      .action((flags: SettingsFlags & { readonly resume?: true }) =>
        withSettings(flags, settings, (given) => run({ ...given, resume: flags.resume === true })),
      );
    addSettingsOptions(command, { out: true, config: false });
  };
