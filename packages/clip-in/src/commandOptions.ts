/** What the commands are given by the command line, and what the command line needs of them. */
import type { Device } from '@clipin/tensor';
import type { Config, ConfigInput } from './config';

/** What every command gets. The device is started, printed, and stopped afterwards by the command line. */
export interface CommandOptions {
  /** File and options of the command line, put together and checked. */
  readonly config: Config;
  readonly device: Device;
  /** Aborted by Ctrl-C: save and return soon. A second Ctrl-C ends the process at once. */
  readonly signal: AbortSignal;
}

/** Options of `clip-in train` and `clip-in demo`. */
export interface RunOptions extends CommandOptions {
  /** Go on from the latest checkpoint in `config.out`. */
  readonly resume: boolean;
}

/** Options of `clip-in eval`. The model is that of `config.start`. */
export interface EvalOptions extends CommandOptions {
  /** A file for the figures, besides the table. */
  readonly json?: string;
}

/** The commands behind the command line. */
export interface Commands {
  /** What `clip-in demo` starts from; options change it. */
  readonly demoSettings: ConfigInput;
  runTrain(options: RunOptions): Promise<void>;
  runEval(options: EvalOptions): Promise<void>;
  runDemo(options: RunOptions): Promise<void>;
}
