/** What the commands of the command line do. */
import type { EvalOptions, RunOptions } from './commandOptions';
import type { ConfigInput } from './config';
import { smallWorldCheckpoint } from './pretrained';
import { runRecipe } from './recipe';

/** Settings of `clip-in demo`. */
export const demoSettings: ConfigInput = { out: 'runs/demo', start: smallWorldCheckpoint };

/** `clip-in train`. */
export async function runTrain({ config, resume, signal }: RunOptions): Promise<void> {
  await runRecipe(config, { resume, signal });
}

/** `clip-in eval`. */
export async function runEval({ config }: EvalOptions): Promise<void> {
  throw new Error(`eval of ${config.start} is not there yet`);
}

/** `clip-in demo`. */
export const runDemo = runTrain;
