/**
 * ONNX files on disk. A model of less than a gibibyte is one file; a larger one keeps its weights in a second file beside it
 * (`image.onnx.data`), which is written weight by weight, since the format allows no message of 2 GiB.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type WriteFile, writeFiles } from '../weights/atomic-files';
import { type OnnxGraph, type StoredWeight, weightBytes } from './onnx-graph';

/** Weights of so many bytes go into a file of their own. */
const externalFrom = 2 ** 30;
/** Readers map the file into memory, for which each weight begins at a page. */
const pageSize = 4096;
/** A single write is capped well below the 2 GiB limit of the operating system. */
const piece = 2 ** 28;

/** What {@link writeOnnx} needs to be told in tests alone. */
export interface WriteOnnxOptions {
  /** From how many bytes on the weights go into a file of their own. Default: 1 GiB. */
  readonly externalFrom?: number;
}

/**
 * Writes a model, beside its place first, so that a whole one is there or none.
 *
 * @returns the paths of the files, the model's first
 * @throws Error naming the path, with the cause, when it cannot be written
 */
export async function writeOnnx(
  file: string,
  graph: OnnxGraph,
  { externalFrom: limit = externalFrom }: WriteOnnxOptions = {},
): Promise<string[]> {
  const bytes = graph.weights.reduce((sum, { weight }) => sum + 4 * count(weight.shape), 0);
  const [folder, name] = [dirname(file), basename(file)];
  const data = `${name}.data`;
  if (bytes < limit) {
    const whole: WriteFile = (path) => writing(path, async (handle) => writeAll(handle, await graph.bytes()));
    await writeFiles(folder, new Map([[name, whole]]));
    await rm(join(folder, data), { force: true }); // of a larger model that was here before
    return [file];
  }
  const places = new Map<string, StoredWeight>();
  const model = () => graph.encode((weight) => places.get(weight) as StoredWeight);
  await writeFiles(
    folder,
    new Map<string, WriteFile>([
      [data, (path) => writing(path, (handle) => writeWeights(handle, graph, data, places))],
      [name, (path) => writing(path, (handle) => writeAll(handle, model()))],
    ]),
  );
  return [file, join(folder, data)];
}

/** Writes the weights one after another, each from a page on, and notes where they are. */
async function writeWeights(
  handle: FileHandle,
  graph: OnnxGraph,
  file: string,
  places: Map<string, StoredWeight>,
): Promise<void> {
  let offset = 0;
  for (const named of graph.weights) {
    const bytes = await weightBytes(named);
    places.set(named.name, { file, offset, length: bytes.length });
    await writeAll(handle, bytes);
    const padding = -bytes.length & (pageSize - 1);
    await writeAll(handle, new Uint8Array(padding));
    offset += bytes.length + padding;
  }
}

async function writing(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let start = 0; start < bytes.length; start += piece)
    await handle.writeFile(bytes.subarray(start, start + piece));
}

const count = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
