/**
 * Files that appear whole or not at all: each is written beside its place and renamed into it when all of them are on the
 * disk. A full disk or a killed process leaves at most files that begin with `.saving-`, which the next attempt removes.
 */
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../thrown';

const TEMPORARY = '.saving-';

/** Writes a file at the path that it is given, and flushes it to the disk. */
export type WriteFile = (path: string) => Promise<unknown>;

/**
 * Writes the files of a folder, which is made if need be; other files of it stay.
 *
 * @param files - by name; they are renamed in this order, so that what makes a folder complete is best last
 * @throws Error naming the folder, with the cause; no file is then half written
 */
export async function writeFiles(folder: string, files: ReadonlyMap<string, WriteFile>): Promise<void> {
  const temporary = (name: string) => join(folder, `${TEMPORARY}${name}`);
  try {
    await mkdir(folder, { recursive: true });
    await removeLeftovers(folder);
    for (const [name, write] of files) await write(temporary(name));
    for (const name of files.keys()) await rename(temporary(name), join(folder, name));
  } catch (cause) {
    await removeLeftovers(folder).catch(() => undefined);
    const message = messageOf(cause);
    throw new Error(`saving ${join(folder, [...files.keys()].at(-1) ?? '')} failed: ${message}`, { cause });
  }
}

/** A file of text. */
export const textFile =
  (text: string): WriteFile =>
  async (path) => {
    const handle = await open(path, 'w');
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
  };

/** A file of JSON. */
export const jsonFile = (value: unknown): WriteFile => textFile(`${JSON.stringify(value, undefined, 2)}\n`);

async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(TEMPORARY)) await rm(join(folder, name), { recursive: true, force: true });
  }
}
