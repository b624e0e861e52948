/** Opens files of weights, one or several, whatever the format, as sources of tensors. */
import { open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, messageOf } from '../thrown';
import { parseJson } from './json-file';
import { listed } from './listed';
import { openSafetensors, type TensorInfo } from './safetensors';
import type { TensorSource } from './tensor-source';
import { torchSource } from './torch-archive';

/** A safetensors file as a source. */
const safetensorsSource = async (file: string): Promise<TensorSource> => ({
  ...(await openSafetensors(file)),
  file,
});

/** Bytes that say of which format a file is. */
const SEEN = 64;
/** The header of safetensors, an object of JSON, follows its length. */
const LENGTH_BYTES = 8;
/** The first byte of a pickle; its protocol follows. */
const PICKLE = 0x80;

/**
 * A file of weights as a source, whatever its name: safetensors, or an archive of PyTorch.
 *
 * @throws Error naming the file if it is of another format, with what to do
 */
export async function fileSource(file: string): Promise<TensorSource> {
  const handle = await open(file, 'r');
  const start = Buffer.alloc(SEEN);
  const { bytesRead } = await handle.read(start, 0, SEEN, 0).finally(() => handle.close());
  const text = start.subarray(0, bytesRead).toString('latin1');
  if (text.startsWith('PK')) return torchSource(file);
  if (text.startsWith('version https://git-lfs')) {
    throw new Error(
      `${file}: is a pointer of Git LFS and not the file itself; fetch it with \`git lfs pull\``,
    );
  }
  // The protocol of a pickle. PyTorch 1.5 and older wrote pickles one after another, which cannot be read in parts.
  if (start[0] === PICKLE && bytesRead > 1 && start[1]! >= 2 && start[1]! <= 5) {
    throw new Error(
      `${file}: was written by PyTorch 1.5 or older, or is a bare pickle; ` +
        "save it again in Python with a newer PyTorch: torch.save(torch.load(file, map_location='cpu'), file)",
    );
  }
  if (text[LENGTH_BYTES] === '{' || bytesRead <= LENGTH_BYTES) return safetensorsSource(file);
  throw new Error(`${file}: is neither a safetensors file nor an archive of PyTorch`);
}

/**
 * Several files as one source.
 *
 * @param index - path of the `….index.json` that says which tensor is in which file; the files that it names lie beside it
 * @throws Error listing the files that are missing, or the tensors that are not where the index says
 */
export async function shardedSource(index: string): Promise<TensorSource> {
  const places = parseIndex(await readFile(index, 'utf8'), index);
  const shards = [...new Set(places.values())].sort();
  const opened = await Promise.allSettled(shards.map((shard) => fileSource(join(dirname(index), shard))));
  const sources = new Map<string, TensorSource>();
  const problems: string[] = [];
  opened.forEach((result, i) => {
    if (result.status === 'fulfilled') sources.set(shards[i]!, result.value);
    else problems.push(`  ${whyUnread(result.reason, join(dirname(index), shards[i]!))}`);
  });
  const close = async () => {
    await Promise.all([...sources.values()].map((source) => source.close()));
  };
  const tensors = new Map<string, TensorInfo>();
  for (const [name, shard] of places) {
    const info = sources.get(shard)?.tensors.get(name);
    if (info) tensors.set(name, info);
    else if (sources.has(shard)) problems.push(`  ${name}: is not in ${shard}`);
  }
  if (problems.length > 0) {
    await close();
    throw new Error(`${index}: names what is not there:\n${listed(problems)}`);
  }
  return { file: index, tensors, read: (name) => sources.get(places.get(name)!)!.read(name), close };
}

/** The files that an index names, sorted. */
export const shardsOf = async (index: string): Promise<string[]> =>
  [...new Set(parseIndex(await readFile(index, 'utf8'), index).values())].sort();

function parseIndex(text: string, file: string): Map<string, string> {
  const index = parseJson(text, file) as { weight_map?: unknown } | null;
  const places = Object.entries(index?.weight_map ?? {});
  const outside = places.find(([, shard]) => typeof shard !== 'string' || /[\\/]/.test(shard));
  if (places.length === 0 || outside) {
    throw new Error(
      `${file}: needs "weight_map", from names of tensors to names of files beside it` +
        `${outside ? `; ${outside[0]} is at ${JSON.stringify(outside[1])}` : ''}`,
    );
  }
  return new Map(places as [string, string][]);
}

function whyUnread(reason: unknown, path: string): string {
  return codeOf(reason) === 'ENOENT' ? `${path}: is missing` : messageOf(reason);
}
