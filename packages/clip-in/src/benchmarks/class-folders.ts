/** Pictures in a folder for each class, whatever the folders are called: synsets, numbers, or names of classes. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { type LabelledImage, type Skipped, SuiteError } from './suite';

/** The folder of a class. */
export interface ClassFolder {
  readonly name: string;
  readonly path: string;
}

const PICTURES = ['.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff'];

/** The folders in a folder, by name; numbers by their value, since "10" comes before "2" among names. */
export async function foldersIn(directory: string): Promise<readonly ClassFolder[]> {
  const names = await directoriesOf(directory);
  const numbers = names.every(isNumber);
  const sorted = numbers ? names.sort((a, b) => Number(a) - Number(b)) : names.sort();
  return sorted.map((name) => ({ name, path: join(directory, name) }));
}

/** The first of several places below a directory that has folders of classes, and those. */
export async function findClassFolders(
  directory: string,
  places: readonly string[],
): Promise<readonly ClassFolder[] | undefined> {
  for (const place of places) {
    const path = join(directory, place);
    if (!existsSync(path)) continue;
    const folders = (await foldersIn(path)).filter(({ name }) => !places.includes(name));
    if (folders.length > 1) return folders;
  }
  return undefined;
}

/** Whether a folder is called a number. */
export const isNumber = (name: string): boolean => /^\d+$/.test(name);

/** A name of a class without what folders do to it: `001.Black_footed_Albatross` is Black footed Albatross. */
export const nameOfFolder = (folder: string): string =>
  folder
    .replace(/^\d+\.(?=\D)/, '')
    .replaceAll('_', ' ')
    .trim();

/** Names that mean the same class. */
export const comparable = (name: string): string =>
  nameOfFolder(name)
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

/** The pictures of folders, folder by folder; other files are passed over. */
export async function* picturesOf(
  folders: readonly (ClassFolder & { readonly label: number })[],
): AsyncGenerator<LabelledImage | Skipped> {
  for (const { path, label } of folders) {
    const names = await readdir(path);
    for (const name of names.sort()) {
      if (PICTURES.includes(extname(name).toLowerCase())) yield { image: join(path, name), label };
    }
  }
}

/**
 * The lines of a text file that are not empty, without byte order mark and carriage returns; undefined if there is no such file.
 */
export async function linesOf(path: string): Promise<readonly string[] | undefined> {
  if (!existsSync(path)) return undefined;
  const lines = (await readFile(path, 'utf8')).replace(/^\uFEFF/, '').split(/\r?\n/);
  const kept = lines.map((line) => line.trim()).filter((line) => line !== '');
  if (kept.length === 0) throw new SuiteError(`${path} is empty`);
  return kept;
}

async function directoriesOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  return entries
    .filter((entry) => !entry.name.startsWith('.') && (entry.isDirectory() || entry.isSymbolicLink()))
    .map(({ name }) => name);
}
