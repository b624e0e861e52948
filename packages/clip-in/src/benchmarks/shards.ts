/**
 * WebDataset shards in the layout of CLIP_benchmark: `<split>/<n>.tar` from 0 up, `<split>/nshards.txt` with their number, and
 * side files beside the split. A sample is what shares a name up to its first dot: a picture, and `.cls` or `.txt`.
 *
 * Read as a stream; a shard is never in memory, only the sample that is worked on.
 */
import { createReadStream, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFile } from '@clipin/data';
import { createTarDecoder } from 'modern-tar';
import { messageOf } from '../thrown';
import { SuiteError } from './suite';

/** The files of one sample by their endings, in lower case. */
export interface Sample {
  /** Which one, for messages: `test/0.tar: s0000012`. */
  readonly name: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A directory of shards. */
export interface Shards {
  /** Where `classnames.txt` and the like are. */
  readonly directory: string;
  readonly paths: readonly string[];
}

const PICTURES = ['webp', 'png', 'jpg', 'jpeg'];

/**
 * The shards of a directory; undefined if it has none.
 *
 * @throws SuiteError if some are missing
 */
export async function findShards(directory: string, split = 'test'): Promise<Shards | undefined> {
  const [list, first] = ['nshards.txt', '0.tar'].map((name) => join(directory, split, name)) as [
    string,
    string,
  ];
  if (!existsSync(list) && !existsSync(first)) return undefined;
  if (!existsSync(list)) throw new SuiteError(`${list} is missing; it holds the number of shards`);
  const text = (await readFile(list, 'utf8')).trim();
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1)
    throw new SuiteError(`${list} should hold the number of shards, but has "${text}"`);
  const paths = Array.from({ length: count }, (_, i) => join(directory, split, `${i}.tar`));
  const absent = paths.filter((path) => !existsSync(path));
  if (absent.length > 0) {
    throw new SuiteError(
      `${list} says ${count} shards, but ${absent.length} are missing: ${absent.slice(0, 5).join(', ')}`,
    );
  }
  return { directory, paths };
}

/**
 * The samples of shards, one after another.
 *
 * @throws SuiteError naming the shard that is cut short or is no tar file
 */
export async function* readSamples({ directory, paths }: Shards): AsyncGenerator<Sample> {
  for (const path of paths) {
    const shard = path.slice(directory.length + 1);
    let key: string | undefined;
    let files = new Map<string, Uint8Array>();
    for await (const { name, bytes } of readTar(path)) {
      const [, stem, ending] = /^((?:.*\/)?[^/.]*)\.([^/]*)$/.exec(name) ?? [];
      if (stem === undefined || ending === undefined) continue;
      if (stem !== key && key !== undefined) yield { name: `${shard}: ${key}`, files };
      if (stem !== key) files = new Map();
      key = stem;
      files.set(ending.toLowerCase(), bytes);
    }
    if (key !== undefined) yield { name: `${shard}: ${key}`, files };
  }
}

/** The picture of a sample. */
export function pictureOf({ name, files }: Sample): ImageFile | undefined {
  const bytes = PICTURES.map((ending) => files.get(ending)).find((found) => found !== undefined);
  return bytes && { name, bytes };
}

/** A text file of a sample. */
export function textOf({ files }: Sample, ending: string): string | undefined {
  const bytes = files.get(ending);
  return bytes && new TextDecoder().decode(bytes);
}

async function* readTar(path: string): AsyncGenerator<{ name: string; bytes: Uint8Array }> {
  const decoder = createTarDecoder({ strict: true });
  const reader = decoder.readable.getReader();
  const file = createReadStream(path);
  const fed = feed(file, decoder.writable);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const bytes = new Uint8Array(await new Response(value.body).arrayBuffer());
      if (value.header.type === undefined || value.header.type === 'file')
        yield { name: value.header.name, bytes };
    }
  } catch (cause) {
    const why = messageOf(cause);
    throw new SuiteError(`${path} cannot be read to its end (${why}); is it whole?`, { cause });
  } finally {
    file.destroy();
    await reader.cancel().catch(() => undefined);
    await fed;
  }
}

/** Gives a file to a stream, which is told if the file cannot be read. */
async function feed(file: AsyncIterable<Uint8Array>, into: WritableStream<Uint8Array>): Promise<void> {
  const writer = into.getWriter();
  try {
    for await (const chunk of file) await writer.write(chunk);
    await writer.close();
  } catch (error) {
    await writer.abort(error).catch(() => undefined);
  }
}
