/**
 * What the commands share: options of the device and of the settings, the start and the stop of the device, and Ctrl-C. Each
 * command has a file of its own beside this one; `index.ts` lists them.
 */

import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Device, destroyDevice, init, startDevice } from '@clipin/tensor';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Config, type ConfigInput, loadConfig } from '../config';

/** Adds a command, with its options, help and action, to the program. */
export type AddCommand = (program: Command) => void;

/** What every command gets. The device is started before, printed, and stopped afterwards. */
export interface Started {
  readonly device: Device;
  /** Aborted by Ctrl-C: save and return soon. A second Ctrl-C ends the process at once. */
  readonly signal: AbortSignal;
  /** Starts one more such device, for a model that is too large for one; it is printed, and stopped afterwards. */
  readonly another: () => Promise<Device>;
}

/** What a command with settings gets. */
export interface CommandOptions extends Started {
  /** File and options of the command line, put together and checked. */
  readonly config: Config;
}

/** Options of `clip-in train` and `clip-in demo`. */
export interface RunOptions extends CommandOptions {
  /** Go on from the latest checkpoint in `config.out`. */
  readonly resume: boolean;
}

/** Values of {@link addDeviceOptions}, as commander gives them. */
export interface DeviceFlags {
  readonly device?: string;
  readonly threads?: string;
}

/** Values of {@link addSettingsOptions}, and of options that are short for a setting, as commander gives them. */
export interface SettingsFlags extends DeviceFlags {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly out?: string;
  readonly start?: string;
  readonly seed?: string;
}

/** Adds `--device` and `--threads`. */
export const addDeviceOptions = (command: Command): Command =>
  command
    .option('--device <name>', 'webgpu or wasm; default: a GPU if there is one, else wasm')
    .option('--threads <number>', 'threads of the wasm device; default: one for each core');

/** Adds the options of a command with settings: those of the device, `--set` and `--seed`, and what else is asked for. */
export function addSettingsOptions(
  command: Command,
  { out, config }: { readonly out: boolean; readonly config: boolean },
): Command {
  if (out) command.option('--out <directory>', 'for checkpoints, event files, metrics.json and the report');
  if (config) command.option('--config <file>', 'settings, as JSON');
  command.addOption(
    new Option('--set <name=value>', 'change one setting; may be given again')
      .default([], 'none')
      .argParser(collect),
  );
  return addDeviceOptions(command).option('--seed <number>', 'of the random weights');
}

/** Parser of an option that may be given again. */
export const collect = (value: string, earlier: readonly string[] = []): string[] => [...earlier, value];

/** Parser of an option that counts something. */
export const wholeNumber =
  (option: string) =>
  (value: string): number => {
    if (!/^[1-9]\d*$/.test(value))
      throw new InvalidArgumentError(`${option} needs a whole number from 1 up.`);
    return Number(value);
  };

/** Checks that a file can be written, before time is spent on what will be in it. */
export async function checkFolderOf(option: string, file: string): Promise<void> {
  const folder = dirname(file);
  try {
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new Error(`${option} ${file}: cannot write into the folder ${folder}; make it first`, { cause });
  }
}

/** Starts the device, runs a command, and stops the device. */
export async function withDevice(
  flags: DeviceFlags,
  command: (started: Started) => Promise<void>,
): Promise<void> {
  const config = await loadConfig({}, { overrides: overridesOf(flags) });
  // Results go to standard output, which may be piped.
  await start(config, command, console.error);
}

/** Puts the settings together, starts the device, runs a command, and stops the device. */
export async function withSettings(
  flags: SettingsFlags,
  base: ConfigInput,
  command: (given: CommandOptions) => Promise<void>,
): Promise<void> {
  const config = await loadConfig(flags.config ?? base, { overrides: overridesOf(flags) });
  await start(config, (started) => command({ config, ...started }), console.log);
}

async function start(
  { device: name, threads }: Config,
  command: (started: Started) => Promise<void>,
  announce: (line: string) => void,
): Promise<void> {
  const interrupted = new AbortController();
  const release = onInterrupt(interrupted);
  const options = { ...(name !== 'auto' && { device: name }), ...(threads !== null && { threads }) };
  const device = await init(options);
  const devices = [device];
  const another = async (): Promise<Device> => {
    const more = await startDevice(options);
    devices.push(more);
    announce(`device for the text tower: ${more.description}`);
    return more;
  };
  try {
    announce(`device: ${device.description}`);
    await command({ device, signal: interrupted.signal, another });
  } catch (error) {
    // A command that has nothing to keep ends with what it was aborted by.
    if (!interrupted.signal.aborted || error !== interrupted.signal.reason) throw error;
  } finally {
    release();
    for (const started of devices) destroyDevice(started);
  }
  if (interrupted.signal.aborted) process.exitCode = 130;
}

/** An option such as `--out runs/a` is short for `--set out="runs/a"`, and counts more than `--set`. */
function overridesOf({ set = [], out, start, device, threads, seed }: SettingsFlags): string[] {
  const texts = Object.entries({ out, start, device }).map(([name, value]) => [
    name,
    value && JSON.stringify(value),
  ]);
  const given = [...texts, ...Object.entries({ threads, seed })].filter(([, value]) => value !== undefined);
  return [...set, ...given.map(([name, value]) => `${name}=${value}`)];
}

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
