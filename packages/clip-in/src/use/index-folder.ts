/**
 * Brings an index in line with a folder of pictures. Only contents that are new are embedded; what is unchanged by size and time is not even
 * read. Each picture is kept as soon as it is embedded, so that an interrupted run goes on where it was.
 */
import { createHash } from 'node:crypto';
import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageSource } from '@clipin/data';
import type { EmbeddedImage, Embedder } from '../evaluation/embedder';
import { messageOf } from '../thrown';
import {
  type FoundPictures,
  findPictures,
  PICTURE_ENDINGS,
  type PictureFile,
  type Unreadable,
} from './find-pictures';
import {
  createIndex,
  hasIndex,
  type IndexedFile,
  type IndexModel,
  lockIndex,
  openIndex,
  type PictureIndex,
} from './picture-index';

/** Options of {@link indexFolder}. */
export interface IndexFolderOptions {
  readonly folder: string;
  /** Directory of the index; made if it is not there. */
  readonly directory: string;
  readonly model: IndexModel;
  readonly embedder: Pick<Embedder, 'images'>;
  /** Aborted: what is embedded is kept, and the report says that the index is not complete. */
  readonly signal?: AbortSignal;
  /** Called as pictures are done with, of how many. */
  readonly progress?: (done: number, total: number) => void;
}

/** What was done. Of `pictures` files in the folder, the first four are all but the skipped ones, if it is complete. */
export interface IndexReport {
  /** Picture files in the folder. */
  readonly pictures: number;
  /** Contents that were embedded. */
  readonly embedded: number;
  /** Files whose contents were embedded before: renamed, copied or touched. */
  readonly known: number;
  /** Files that were not read, since size and time are as they were. */
  readonly unchanged: number;
  /** Files that are gone from the index. */
  readonly removed: number;
  /** Files and folders that could not be read, with the reason. */
  readonly skipped: readonly Unreadable[];
  /** False if it was interrupted. */
  readonly complete: boolean;
}

/**
 * Indexes a folder, for the first time or again.
 *
 * @throws Error if there is no such folder or no picture in it, if the index is of another model or folder, or if another process
 * is indexing
 */
export async function indexFolder(options: IndexFolderOptions): Promise<IndexReport> {
  const { directory, model } = options;
  const found = await findPictures(options.folder, directory);
  if (found.pictures.length === 0) throw new Error(noPictures(options.folder, found));
  const folder = await realpath(options.folder);
  using _ = await lockIndex(directory);
  using index = hasIndex(directory)
    ? await openIndex(directory)
    : await createIndex(directory, { folder, model });
  checkModel(index, model);
  await checkFolder(index, folder);
  index.describe({ folder, complete: false });
  return await update(index, found, { ...options, folder });
}

/** @throws Error if the index was made with another model */
export function checkModel({ directory, description }: PictureIndex, model: IndexModel): void {
  const made = description.model;
  if (made.fingerprint === model.fingerprint && made.width === model.width) return;
  throw new Error(
    `${directory}: was made with the model ${made.name} (${made.fingerprint.slice(0, 12)}), and embeddings of ` +
      `${model.name} (${model.fingerprint.slice(0, 12)}) cannot be compared with its own; use --model ${made.source}, or index ` +
      'with the other model into a directory of its own',
  );
}

/** A folder that was moved is the same; two folders in one index would take turns in removing each other's pictures. */
async function checkFolder({ directory, description }: PictureIndex, folder: string): Promise<void> {
  if (description.folder === folder) return;
  const isThere = await stat(description.folder).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  throw new Error(
    `${directory}: holds the pictures of ${description.folder}; give ${folder} an index of its own with --index`,
  );
}

function noPictures(folder: string, { others, unreadable }: FoundPictures): string {
  const rest = others === 0 ? '' : `; it has ${others} other file${others === 1 ? '' : 's'}`;
  const reasons = unreadable.map(({ path, reason }) => `\n  ${path || folder}: ${reason}`);
  return `${folder}: there are no pictures in it (${PICTURE_ENDINGS.join(' ')})${rest}${reasons.join('')}`;
}

/** A run over the files of a folder. */
interface Run {
  readonly index: PictureIndex;
  readonly folder: string;
  readonly counts: { embedded: number; known: number; unchanged: number };
  readonly skipped: Unreadable[];
  /** Files on their way through the embedder, by hash; copies wait for the one that went ahead. */
  readonly waiting: Map<string, { readonly source: ImageSource; readonly files: IndexedFile[] }>;
  /** The hash of what is on its way. */
  readonly hashes: Map<ImageSource, string>;
  /** So many files more are done with. */
  finish(files: number): void;
}

async function update(
  index: PictureIndex,
  { pictures, unreadable }: FoundPictures,
  { folder, embedder, signal, progress }: IndexFolderOptions,
): Promise<IndexReport> {
  let done = 0;
  const run: Run = {
    index,
    folder,
    counts: { embedded: 0, known: 0, unchanged: 0 },
    skipped: [...unreadable],
    waiting: new Map(),
    hashes: new Map(),
    finish(files) {
      done += files;
      progress?.(done, pictures.length);
    },
  };
  try {
    for await (const result of embedder.images(newContents(run, pictures, signal))) settle(run, result);
  } catch (error) {
    // An embedder may end by throwing what it was aborted with.
    if (!signal?.aborted) throw error;
  }
  const complete = signal?.aborted !== true;
  const removed = complete ? removeGone(index, pictures, unreadable) : 0;
  if (complete) index.describe({ complete });
  return { pictures: pictures.length, ...run.counts, removed, skipped: run.skipped, complete };
}

/** What is to be embedded; all else is settled on the way. */
async function* newContents(
  run: Run,
  pictures: readonly PictureFile[],
  signal: AbortSignal | undefined,
): AsyncGenerator<ImageSource> {
  const { index, counts, waiting, hashes } = run;
  for (const picture of pictures) {
    if (signal?.aborted) return;
    const before = index.file(picture.path);
    if (before && isUnchanged(before, picture)) {
      counts.unchanged++;
      run.finish(1);
      continue;
    }
    const read = await readPicture(run.folder, picture);
    if ('reason' in read) {
      skip(run, read);
      run.finish(1);
      continue;
    }
    const { file, source } = read;
    const ahead = waiting.get(file.hash);
    if (ahead) ahead.files.push(file);
    else if (index.has(file.hash)) {
      index.put(file);
      counts.known++;
      run.finish(1);
    } else {
      waiting.set(file.hash, { source, files: [file] });
      hashes.set(source, file.hash);
      yield source;
    }
  }
}

/** Keeps an embedding for all files that have its contents. */
function settle(run: Run, result: EmbeddedImage): void {
  const hash = run.hashes.get(result.source) ?? '';
  const files = run.waiting.get(hash)?.files;
  if (!files) throw new Error('indexFolder: the embedder answers what was not asked');
  run.hashes.delete(result.source);
  run.waiting.delete(hash);
  if ('error' in result) for (const { path } of files) skip(run, { path, reason: result.error.reason });
  else {
    for (const file of files) run.index.put(file, result.embedding);
    run.counts.embedded++;
    run.counts.known += files.length - 1;
  }
  run.finish(files.length);
}

/** Its old contents, if it had any, are not found any more. */
function skip({ index, skipped }: Run, one: Unreadable): void {
  index.remove(one.path);
  skipped.push(one);
}

/** A change within the clock's grain of the time of reading would not show in the time of the file. */
const GRAIN_MS = 2_000;

const isUnchanged = (known: IndexedFile, { size, modified }: PictureFile): boolean =>
  known.size === size && known.modified === modified && modified < known.looked - GRAIN_MS;

async function readPicture(
  folder: string,
  { path, size, modified }: PictureFile,
): Promise<{ file: IndexedFile; source: ImageSource } | Unreadable> {
  const looked = Date.now();
  try {
    const bytes = await readFile(join(folder, path));
    const hash = createHash('sha256').update(bytes).digest('hex');
    return { file: { path, size, modified, looked, hash }, source: { name: path, bytes } };
  } catch (cause) {
    return { path, reason: `cannot be read (${messageOf(cause)})` };
  }
}

/** Files of a folder that could not be read stay: they are not known to be gone. */
function removeGone(
  index: PictureIndex,
  pictures: readonly PictureFile[],
  unreadable: readonly Unreadable[],
): number {
  const there = new Set(pictures.map(({ path }) => path));
  const gone = index
    .files()
    .filter(({ path }) => !there.has(path) && !unreadable.some((one) => path.startsWith(`${one.path}/`)));
  for (const { path } of gone) index.remove(path);
  index.sweep();
  return gone.length;
}
