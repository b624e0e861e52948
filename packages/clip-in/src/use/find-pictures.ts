/** Picture files below a folder. Whether they are pictures indeed is seen when they are decoded. */
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { codeOf } from '../thrown';

/** Endings of the names of picture files. */
export const PICTURE_ENDINGS = ['.jpg', '.jpeg', '.png', '.webp', '.gif', '.avif', '.tif', '.tiff'] as const;

/** A picture file. */
export interface PictureFile {
  /** Below the folder, with `/` between the parts. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** When the contents were changed last, in milliseconds since 1970. */
  readonly modified: number;
}

/** What could not be read, and why. */
export interface Unreadable {
  /** Below the folder, with `/` between the parts. */
  readonly path: string;
  readonly reason: string;
}

/** What a folder holds. */
export interface FoundPictures {
  /** Ordered by path. */
  readonly pictures: readonly PictureFile[];
  readonly unreadable: readonly Unreadable[];
  /** Other files that were seen. */
  readonly others: number;
}

/**
 * Looks through a folder and the folders in it. Hidden ones (a leading dot) are left out, and links to folders, which may go round in
 * a circle; links to files are followed.
 *
 * @param without - a folder that is left out, such as that of the index
 * @throws Error if there is no such folder
 */
export async function findPictures(folder: string, without?: string): Promise<FoundPictures> {
  await checkFolder(folder);
  const pictures: PictureFile[] = [];
  const unreadable: Unreadable[] = [];
  const leftOut = without === undefined ? undefined : resolve(without);
  let others = 0;

  const visit = async (below: string): Promise<void> => {
    const entries = await readdir(join(folder, below), { withFileTypes: true }).catch((cause: unknown) => {
      unreadable.push({ path: below, reason: `the folder cannot be read (${codeOf(cause) ?? cause})` });
      return [] as Dirent[];
    });
    for (const entry of entries) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.name.startsWith('.') || resolve(folder, path) === leftOut) continue;
      if (entry.isDirectory()) await visit(path);
      else if (isPicture(entry.name)) await add(path);
      else others++;
    }
  };
  const add = async (path: string): Promise<void> => {
    try {
      const status = await stat(join(folder, path));
      if (status.isFile()) pictures.push({ path, size: status.size, modified: status.mtimeMs });
    } catch (cause) {
      unreadable.push({ path, reason: `cannot be read (${codeOf(cause) ?? cause})` });
    }
  };
  await visit('');
  return { pictures: pictures.sort((a, b) => (a.path < b.path ? -1 : 1)), unreadable, others };
}

/** @throws Error if there is no such folder */
export async function checkFolder(folder: string): Promise<void> {
  const found = await stat(folder).catch((cause: unknown) => {
    const reason =
      codeOf(cause) === 'ENOENT' ? 'there is no such folder' : `cannot be read (${codeOf(cause) ?? cause})`;
    throw new Error(`${folder}: ${reason}`, { cause });
  });
  if (!found.isDirectory()) throw new Error(`${folder}: is a file; needs a folder of pictures`);
}

const isPicture = (name: string): boolean =>
  PICTURE_ENDINGS.some((ending) => name.toLowerCase().endsWith(ending));
