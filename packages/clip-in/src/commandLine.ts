/** The command line: commands, their options and their help. What the commands do is in `commands.ts`. */
import { destroyDevice, init } from '@clipin/tensor';
import { Command, Option } from 'commander';
import { version } from '../package.json';
import type { CommandOptions, Commands } from './commandOptions';
import { type Config, type ConfigInput, listSettings, loadConfig } from './config';

/** Options that all commands share, as commander gives them. */
interface Flags {
  readonly config?: string;
  readonly set: readonly string[];
  readonly out?: string;
  readonly start?: string;
  readonly device?: string;
  readonly threads?: string;
  readonly seed?: string;
  readonly resume?: true;
  readonly json?: string;
}

const SETTINGS_HELP = `
Settings of a configuration file, and of --set (with their defaults):
${listSettings()}

A configuration file is JSON with the same names:
  { "seed": 1, "training": { "steps": 500, "loss": "negclip" } }`;

const EXAMPLES = `
Examples:
  clip-in demo                                    see it learn, in a few minutes on any machine
  clip-in train --config run.json --out runs/a    train with your own settings
  clip-in train --config run.json --out runs/a --resume
  clip-in train --set training.loss=negclip --set training.longCaptions=false
  clip-in eval runs/a/model --set evaluation.split=validation

Ctrl-C saves a checkpoint and ends; --resume goes on from it with the same numbers.
Environment: CLIPIN_DEVICE=webgpu|wasm chooses the device; CLIPIN_BLAS=off does without an installed BLAS on wasm;
DEBUG=1 prints where an error came from.`;

/** Builds the command line around the commands. */
export function commandLine(commands: Commands): Command {
  const program = new Command('clip-in')
    .description(
      'Trains and measures CLIP-IN: fine-grained vision-language models from edited pictures and long captions.',
    )
    .version(version)
    .showHelpAfterError('Add --help to see what there is.')
    .addHelpText('after', EXAMPLES);

  const train = program
    .command('train')
    .description(
      'distil a rotary text tower, then train with short captions, long captions and edited pictures',
    )
    .option('--resume', 'go on from the latest checkpoint of the output directory')
    .option('--start <checkpoint>', 'model to start from; default: random weights')
    .action((flags: Flags) =>
      run(flags, {}, (given) => commands.runTrain({ ...given, resume: flags.resume === true })),
    );
  const evaluate = program
    .command('eval')
    .description('measure a model: edited pairs per visual pattern, retrieval, zero-shot classification')
    .argument('<checkpoint>', 'the model: a checkpoint, or a directory of them, of which the latest counts')
    .option('--json <file>', 'write the figures to a file too')
    .action((start: string, flags: Flags) =>
      run({ ...flags, start }, {}, (given) =>
        commands.runEval({ ...given, ...(flags.json !== undefined && { json: flags.json }) }),
      ),
    );
  const demo = program
    .command('demo')
    .description('train a small CLIP-IN from the pretrained model of this package, and write a report')
    .option('--resume', 'go on from the latest checkpoint of the output directory')
    .action((flags: Flags) =>
      run(flags, commands.demoSettings, (given) =>
        commands.runDemo({ ...given, resume: flags.resume === true }),
      ),
    );

  for (const command of [train, evaluate, demo]) {
    if (command !== evaluate)
      command.option('--out <directory>', 'for checkpoints, event files, metrics.json and the report');
    if (command !== demo) command.option('--config <file>', 'settings, as JSON');
    command
      .addOption(
        new Option('--set <name=value>', 'change one setting; may be given again')
          .default([], 'none')
          .argParser(collect),
      )
      .option('--device <name>', 'webgpu or wasm; default: a GPU if there is one, else wasm')
      .option('--threads <number>', 'threads of the wasm device; default: one for each core')
      .option('--seed <number>', 'of the random weights');
  }
  train.addHelpText('after', SETTINGS_HELP);
  return program;
}

/** Puts the settings together, starts the device, runs a command, and stops the device. */
async function run(
  flags: Flags,
  base: ConfigInput,
  command: (given: CommandOptions) => Promise<void>,
): Promise<void> {
  const config = await loadConfig(flags.config ?? base, { overrides: overridesOf(flags) });
  const interrupted = new AbortController();
  const release = onInterrupt(interrupted);
  const device = await init(deviceOptions(config));
  try {
    console.log(`device: ${device.description}`);
    await command({ config, device, signal: interrupted.signal });
  } finally {
    release();
    destroyDevice(device);
  }
  if (interrupted.signal.aborted) process.exitCode = 130;
}

/** An option such as `--out runs/a` is short for `--set out="runs/a"`, and counts more than `--set`. */
function overridesOf({ set, out, start, device, threads, seed }: Flags): string[] {
  const texts = Object.entries({ out, start, device }).map(([name, value]) => [
    name,
    value && JSON.stringify(value),
  ]);
  const given = [...texts, ...Object.entries({ threads, seed })].filter(([, value]) => value !== undefined);
  return [...set, ...given.map(([name, value]) => `${name}=${value}`)];
}

const deviceOptions = ({ device, threads }: Config): Parameters<typeof init>[0] => ({
  ...(device !== 'auto' && { device }),
  ...(threads !== null && { threads }),
});

/** Ctrl-C (or a polite kill) aborts once; the second time it ends the process. */
function onInterrupt(controller: AbortController): () => void {
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    console.error('\nstopping after this step; Ctrl-C again ends at once');
    controller.abort();
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  return () => void process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
}

const collect = (value: string, earlier: readonly string[]): string[] => [...earlier, value];
