/**
 * Checkpoints on disk. One is a directory with `tensors.safetensors` and a readable `checkpoint.json`; it is written
 * under a temporary name, flushed and renamed into place, and only then does the file `latest` beside it name it. So a
 * process killed at any moment leaves the previous checkpoint whole. What the tensors are is the caller's business.
 *
 *     runs/demo/checkpoints/latest                             step-000200
 *     runs/demo/checkpoints/step-000200/tensors.safetensors
 *     runs/demo/checkpoints/step-000200/checkpoint.json
 */
import { copyFile, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { messageOf } from './thrown';
import {
  readSafetensors,
  type TensorRecord,
  type WrittenFile,
  writeSafetensors,
} from './weights/safetensors';

/** A value that JSON can hold. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** A configuration as the plain data that goes into a file. */
export const toJson = (value: object): Json => JSON.parse(JSON.stringify(value)) as Json;

/** What a checkpoint says of itself beside its tensors. */
export interface CheckpointInfo {
  /** Steps done. */
  readonly step: number;
  /** The configuration of the run. */
  readonly config: Json;
  /** Last measured figures. A number that is not finite is written as null. */
  readonly metrics: Json;
  /** What else a run needs to go on, such as the stage and the place in the data. */
  readonly state?: Json;
}

/** Tensors and what is said of them. */
export interface Checkpoint {
  readonly tensors: TensorRecord;
  readonly info: CheckpointInfo;
}

/** Options of {@link saveCheckpoint}. */
export interface SaveOptions {
  /** How many checkpoints of the directory to keep, the new one included. Default: all of them. */
  readonly keep?: number;
  /** Files to copy into the checkpoint, under their own names. Default: none. */
  readonly files?: readonly string[];
}

const FORMAT = 'clip-in checkpoint';
const TENSORS_FILE = 'tensors.safetensors';
const INFO_FILE = 'checkpoint.json';
const LATEST = 'latest';
const TEMPORARY = '.saving-';
const PREVIOUS = '.previous';

/**
 * Saves a checkpoint as `directory/name` and makes it the latest. One of that name is replaced. Older ones beyond `keep`
 * are deleted, and so is what killed processes left. One process at a time may save into a directory.
 *
 * @returns the path of the checkpoint
 * @throws Error naming the path, with the cause, when it cannot be written; the previous one is then still the latest
 */
export async function saveCheckpoint(
  directory: string,
  name: string,
  checkpoint: Checkpoint,
  { keep = Infinity, files = [] }: SaveOptions = {},
): Promise<string> {
  if (!/^[A-Za-z0-9][\w-]*$/.test(name)) {
    throw new RangeError(
      `saveCheckpoint: the name "${name}" needs letters, digits, - and _, a letter or digit first`,
    );
  }
  if (!(keep >= 1)) throw new RangeError(`saveCheckpoint: keep must be 1 or more, got ${keep}`);
  const path = join(directory, name);
  const temporary = join(directory, `${TEMPORARY}${name}-${process.pid}`);
  try {
    await mkdir(directory, { recursive: true });
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
    const written = await writeSafetensors(join(temporary, TENSORS_FILE), checkpoint.tensors);
    for (const file of files) await copyFlushed(file, join(temporary, basename(file)));
    await writeFlushed(join(temporary, INFO_FILE), describe(checkpoint, written));
    await flushDirectory(temporary);
    await moveIntoPlace(temporary, path);
    await flushDirectory(directory);
    await pointTo(directory, name);
    await prune(directory, name, keep);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw new Error(`saving the checkpoint ${path} failed: ${messageOf(cause)}`, { cause });
  }
  return path;
}

/**
 * Loads a checkpoint and checks it.
 *
 * @param path - a checkpoint, or a directory of checkpoints, of which the latest is taken
 * @throws Error naming the path and what is wrong: not there, cut short, changed, of another format
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint & { readonly path: string }> {
  const found = (await isFile(join(path, INFO_FILE))) ? path : await latestCheckpoint(path);
  if (found === undefined) {
    throw new Error(
      `there is no checkpoint at ${path}: it has neither a file ${INFO_FILE} nor a file ${LATEST} that names one`,
    );
  }
  const { info, written, names } = parseDescription(
    await readFile(join(found, INFO_FILE), 'utf8'),
    join(found, INFO_FILE),
  );
  const file = join(found, TENSORS_FILE);
  if (!(await isFile(file))) throw new Error(`${file} is missing`);
  const tensors = await readSafetensors(file, written);
  const missing = names.filter((name) => !(name in tensors));
  const extra = Object.keys(tensors).filter((name) => !names.includes(name));
  if (missing.length > 0 || extra.length > 0) {
    throw new Error(
      `${file} does not belong to its ${INFO_FILE}: missing ${missing.join(', ') || 'none'}; extra ${extra.join(', ') || 'none'}`,
    );
  }
  return { path: found, tensors, info };
}

/** The path of the latest whole checkpoint of a directory; undefined if there is none. */
export async function latestCheckpoint(directory: string): Promise<string | undefined> {
  const pointer = join(directory, LATEST);
  if (!(await isFile(pointer))) return undefined;
  const name = (await readFile(pointer, 'utf8')).trim();
  // A process killed between two renames leaves the replaced checkpoint under its second name.
  for (const candidate of [join(directory, name), join(directory, name + PREVIOUS)]) {
    if (name !== '' && (await isFile(join(candidate, INFO_FILE)))) return candidate;
  }
  throw new Error(`${pointer} names "${name}", which is not there`);
}

function describe({ tensors, info }: Checkpoint, written: WrittenFile): string {
  const entries = Object.entries(tensors);
  const summary = entries
    .map(([name, { dtype, shape }]) => [name, `${dtype} [${shape.join(', ')}]`] as const)
    .sort();
  const description = {
    format: FORMAT,
    version: 1,
    step: info.step,
    metrics: info.metrics,
    ...(info.state !== undefined && { state: info.state }),
    config: info.config,
    file: { name: TENSORS_FILE, ...written },
    elements: entries.reduce((sum, [, { data }]) => sum + data.length, 0),
    tensors: Object.fromEntries(summary),
  };
  return `${JSON.stringify(description, undefined, 2)}\n`;
}

function parseDescription(
  text: string,
  file: string,
): { info: CheckpointInfo; written: WrittenFile; names: string[] } {
  let read: Record<string, Json>;
  try {
    read = JSON.parse(text) as Record<string, Json>;
  } catch (cause) {
    throw new Error(`${file}: not JSON (${messageOf(cause)}); it was cut short or changed`, { cause });
  }
  const { format, version, step, config = null, metrics = null, state, file: stored, tensors } = read ?? {};
  if (format !== FORMAT || version !== 1) {
    throw new Error(
      `${file}: is not a "${FORMAT}" of version 1, but ${JSON.stringify(format)} of version ${JSON.stringify(version)}`,
    );
  }
  const { bytes, sha256 } = (stored ?? {}) as Record<string, Json>;
  if (typeof step !== 'number' || typeof bytes !== 'number' || typeof sha256 !== 'string' || !tensors) {
    throw new Error(`${file}: needs a number "step", "file" with "bytes" and "sha256", and "tensors"`);
  }
  const info = { step, config, metrics, ...(state !== undefined && { state }) };
  return { info, written: { bytes, sha256 }, names: Object.keys(tensors) };
}

/** At every moment either `path` or, for an instant of replacing, `path.previous` is a whole checkpoint. */
async function moveIntoPlace(temporary: string, path: string): Promise<void> {
  const previous = path + PREVIOUS;
  if (await isFile(join(path, INFO_FILE))) {
    await rm(previous, { recursive: true, force: true });
    await rename(path, previous);
  } else {
    await rm(path, { recursive: true, force: true });
  }
  await rename(temporary, path);
}

async function pointTo(directory: string, name: string): Promise<void> {
  const temporary = join(directory, `${TEMPORARY}${LATEST}-${process.pid}`);
  await writeFlushed(temporary, `${name}\n`);
  await rename(temporary, join(directory, LATEST));
  await flushDirectory(directory);
}

/** Deletes all but the newest checkpoints, and what killed processes left. */
async function prune(directory: string, current: string, keep: number): Promise<void> {
  const checkpoints: { path: string; time: number }[] = [];
  for (const entry of await readdir(directory)) {
    const path = join(directory, entry);
    if (entry.startsWith(TEMPORARY) && !entry.endsWith(`-${process.pid}`))
      await rm(path, { recursive: true, force: true });
    if (entry === current + PREVIOUS) await rm(path, { recursive: true, force: true });
    else if (entry !== current && (await isFile(join(path, INFO_FILE)))) {
      checkpoints.push({ path, time: (await stat(join(path, INFO_FILE))).mtimeMs });
    }
  }
  checkpoints.sort((a, b) => b.time - a.time);
  for (const { path } of checkpoints.slice(keep - 1)) await rm(path, { recursive: true, force: true });
}

async function writeFlushed(file: string, text: string): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function copyFlushed(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  const handle = await open(to, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes renames within a directory last through a power cut. Windows cannot open directories, and needs no such call. */
async function flushDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
