/**
 * Models from the hub of Hugging Face, in its standard cache, where `transformers` and `huggingface_hub` find them too. Only
 * the files that are needed are fetched; what was cut off is resumed; what comes is verified before it gets its name.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  downloadFile,
  downloadFileToCacheDir,
  getHFHubCachePath,
  getRepoFolderName,
  HubApiError,
  type ListFileEntry,
  listFiles,
  modelInfo,
} from '@huggingface/hub';
import { SETTINGS_FILES, weightsAmong } from './model-files';
import { shardsOf } from './tensor-source';

/** How the hub is reached. */
export interface HubOptions {
  /** A branch, tag or commit. Default: `main`. */
  readonly revision?: string;
  /** Default: `HF_ENDPOINT` in the environment, or huggingface.co. */
  readonly hubUrl?: string;
  /** Default: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or `~/.cache/huggingface/hub`. */
  readonly cache?: string;
  /** For models that are not open to all. Default: `HF_TOKEN`. */
  readonly accessToken?: string;
}

/** Whether a text has the form of a model's id on the hub, `owner/name`. */
export const isHubId = (text: string): boolean => /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(text);

/** A hub with the model that is wanted of it. */
interface Wanted extends Required<Pick<HubOptions, 'revision' | 'hubUrl' | 'cache'>> {
  readonly id: string;
  readonly accessToken: string | undefined;
  /** The model's folder in the cache. */
  readonly folder: string;
}

/**
 * The folder with a model's files, which are fetched if they are not in the cache.
 *
 * @throws Error saying which files to put where if the hub cannot be reached and the cache has not got them; naming the file
 *   if it is another than the hub says, which is then not kept
 */
export async function fetchFromHub(id: string, options: HubOptions = {}): Promise<string> {
  const wanted = wantedOf(id, options);
  if (process.env.HF_HUB_OFFLINE === '1') {
    return (await cached(wanted)) ?? unreachable(wanted, new Error('HF_HUB_OFFLINE is 1'));
  }
  try {
    return await fetchSnapshot(wanted);
  } catch (cause) {
    if (!isUnreachable(cause)) throw refusal(wanted, cause);
    return (await cached(wanted)) ?? unreachable(wanted, cause);
  }
}

function wantedOf(
  id: string,
  { revision = 'main', hubUrl, cache = getHFHubCachePath(), accessToken }: HubOptions,
): Wanted {
  const folder = join(cache, getRepoFolderName({ name: id, type: 'model' }));
  const url = hubUrl ?? process.env.HF_ENDPOINT ?? 'https://huggingface.co';
  return { id, revision, cache, folder, hubUrl: url, accessToken: accessToken ?? process.env.HF_TOKEN };
}

/** What every call of the library takes. */
const callOf = ({ id, hubUrl, accessToken }: Wanted) => ({
  repo: id,
  hubUrl,
  ...(accessToken !== undefined && { accessToken }),
});

async function fetchSnapshot(wanted: Wanted): Promise<string> {
  const call = callOf(wanted);
  const { sha } = await modelInfo({
    ...call,
    name: wanted.id,
    revision: wanted.revision,
    additionalFields: ['sha'],
  });
  const snapshot = join(wanted.folder, 'snapshots', sha);
  const entries = new Map<string, ListFileEntry>();
  for await (const entry of listFiles({ ...call, revision: sha })) {
    if (entry.type === 'file') entries.set(entry.path, entry);
  }
  const take = async (name: string) => {
    const entry = entries.get(name);
    if (!entry) throw new Error(`${wanted.id} on ${wanted.hubUrl} lacks ${name}`);
    await fetchBlob(wanted, entry, sha);
    // Finds the blob, and links it into the snapshot.
    await downloadFileToCacheDir({ ...call, path: name, revision: sha, cacheDir: wanted.cache });
  };
  for (const name of SETTINGS_FILES) if (entries.has(name)) await take(name);
  const weights = weightsAmong(entries.keys());
  if (weights === undefined) {
    throw new Error(
      `${wanted.id} on ${wanted.hubUrl} has no weights that can be read; it has ${[...entries.keys()].join(', ')}`,
    );
  }
  await take(weights);
  if (weights.endsWith('.index.json'))
    for (const shard of await shardsOf(join(snapshot, weights))) await take(shard);
  // Last, so that what it names is whole when the hub cannot be reached.
  const pointer = join(wanted.folder, 'refs', wanted.revision);
  await mkdir(dirname(pointer), { recursive: true });
  await writeFile(pointer, sha);
  return snapshot;
}

/** Where the cache keeps a file's content, by its digest. */
function blobOf({ folder }: Wanted, { path, lfs, xetHash, oid }: ListFileEntry): string {
  const digest = lfs?.oid ?? xetHash ?? oid ?? '';
  if (!/^[0-9a-f]{40,64}$/.test(digest))
    throw new Error(`the hub gives "${digest}" as the digest of ${path}`);
  return join(folder, 'blobs', digest);
}

/** Fetches a file's content, from where an earlier attempt was cut off. */
async function fetchBlob(wanted: Wanted, entry: ListFileEntry, sha: string): Promise<void> {
  const blob = blobOf(wanted, entry);
  if (await sizeOf(blob)) return;
  const incomplete = `${blob}.incomplete`;
  await mkdir(dirname(blob), { recursive: true });
  const size = entry.lfs?.size ?? entry.size;
  const begun = await sizeOf(incomplete);
  if (begun > size) await rm(incomplete);
  await fetchRest(wanted, entry, sha, incomplete);
  let wrong = await whatIsWrong(incomplete, entry);
  if (wrong !== undefined && begun > 0) {
    // The beginning may have been another file's.
    await rm(incomplete);
    await fetchRest(wanted, entry, sha, incomplete);
    wrong = await whatIsWrong(incomplete, entry);
  }
  if (wrong !== undefined) {
    await rm(incomplete);
    throw new Error(
      `${entry.path} of ${wanted.id} came damaged from ${wanted.hubUrl} and was not kept: ${wrong}`,
    );
  }
  await rename(incomplete, blob);
}

async function fetchRest(wanted: Wanted, entry: ListFileEntry, sha: string, into: string): Promise<void> {
  const begun = await sizeOf(into);
  const size = entry.lfs?.size ?? entry.size;
  if (begun === size) return begun === 0 ? writeFile(into, '') : undefined;
  const file = await downloadFile({ ...callOf(wanted), path: entry.path, revision: sha, xet: false });
  if (!file) throw new Error(`${wanted.id} on ${wanted.hubUrl} lacks ${entry.path}`);
  const rest = begun > 0 ? file.slice(begun, size) : file;
  await pipeline(Readable.from(chunksOf(rest)), createWriteStream(into, { flags: begun > 0 ? 'a' : 'w' }));
}

async function* chunksOf(blob: Blob): AsyncGenerator<Uint8Array> {
  const reader = blob.stream().getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause: unknown) => {
      // The library ends a stream with the bare message of what went wrong.
      throw cause instanceof Error ? cause : new TypeError(`fetch failed: ${cause}`);
    });
    if (done) return;
    yield value;
  }
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

/** What is wrong with a file that was fetched: its size, or its digest, which is SHA-256 for large files, and git's for small ones. */
async function whatIsWrong(path: string, { size, oid, lfs }: ListFileEntry): Promise<string | undefined> {
  const [wanted, bytes] = [lfs?.size ?? size, await sizeOf(path)];
  if (bytes !== wanted) return `it has ${bytes} bytes, not ${wanted}`;
  const digest = lfs ? createHash('sha256') : createHash('sha1').update(`blob ${bytes}\0`);
  await pipeline(createReadStream(path), digest);
  const [came, expected] = [digest.digest('hex'), lfs?.oid ?? oid];
  return came === expected ? undefined : `its ${lfs ? 'SHA-256' : 'git digest'} is ${came}, not ${expected}`;
}

/** The snapshot that an earlier call made whole; undefined if there is none. */
async function cached({ folder, revision }: Wanted): Promise<string | undefined> {
  const sha = /^[0-9a-f]{40}$/.test(revision)
    ? revision
    : (await readFile(join(folder, 'refs', revision), 'utf8').catch(() => '')).trim();
  const snapshot = join(folder, 'snapshots', sha);
  return sha !== '' && (await stat(snapshot).catch(() => undefined)) ? snapshot : undefined;
}

/** No answer, or none that says anything of the model. */
const isUnreachable = (error: unknown): boolean =>
  error instanceof HubApiError
    ? error.statusCode >= 500 || error.statusCode === 429
    : error instanceof TypeError && /fetch failed|terminated/.test(error.message);

function refusal({ id, hubUrl, revision }: Wanted, cause: unknown): Error {
  if (!(cause instanceof HubApiError)) return cause instanceof Error ? cause : new Error(String(cause));
  const what = `${id} (${revision}) on ${hubUrl}`;
  if (cause.statusCode === 401 || cause.statusCode === 403) {
    return new Error(
      `${what}: there is no such model, or it is not open to all; if it is there, accept its terms and give a token in HF_TOKEN`,
      { cause },
    );
  }
  if (cause.statusCode === 404)
    return new Error(`${what}: there is no such file, folder, or model on the hub`, { cause });
  return new Error(`${what}: ${cause.message}`, { cause });
}

function unreachable({ id, hubUrl, cache }: Wanted, cause: unknown): never {
  throw new Error(
    `${id} is no file or folder, not in the cache ${cache}, and ${hubUrl} cannot be reached (${reasonOf(cause)}). ` +
      'What was fetched of it so far is kept, and the next call goes on from there. ' +
      `Or fetch these of its files where it can be reached, put them into one folder, and give the folder instead of ${id}: ` +
      'config.json, model.safetensors (or, if there are several, model.safetensors.index.json and those that it names), ' +
      'preprocessor_config.json, and of SigLIP tokenizer.json; or open_clip_config.json and open_clip_model.safetensors ' +
      '(or open_clip_pytorch_model.bin).',
    { cause },
  );
}

/** `fetch failed` has its reason in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}
