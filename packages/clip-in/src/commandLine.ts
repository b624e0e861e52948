/** The command line around the commands: name, version, and the help of the whole. The commands are in `commands/`. */
import { Command } from 'commander';
import { version } from '../package.json';
import type { AddCommand } from './commands/shared';

const EXAMPLES = `
Examples:
  clip-in demo                                    see it learn, in a few minutes on any machine
  clip-in train --config run.json --out runs/a    train with your own settings
  clip-in train --config run.json --out runs/a --resume
  clip-in train --set training.loss=negclip --set training.longCaptions=false
  clip-in eval runs/a/model --set evaluation.split=validation
  clip-in index photos --model openai/clip-vit-base-patch32
  clip-in search "a red bow tie on a black cat" --html found.html

Ctrl-C saves a checkpoint and ends; --resume goes on from it with the same numbers.
Environment: CLIPIN_DEVICE=webgpu|wasm chooses the device; CLIPIN_BLAS=off does without an installed BLAS on wasm;
DEBUG=1 prints where an error came from.`;

/** Builds the command line around the commands. */
export function commandLine(commands: readonly AddCommand[]): Command {
  const program = new Command('clip-in')
    .description(
      'Trains and measures CLIP-IN: fine-grained vision-language models from edited pictures and long captions.',
    )
    .version(version)
    .showHelpAfterError('Add --help to see what there is.')
    .addHelpText('after', EXAMPLES);
  for (const add of commands) add(program);
  return program;
}
