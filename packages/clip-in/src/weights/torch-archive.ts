/**
 * PyTorch's archives: a zip whose `data.pkl` says which tensors there are, and whose `data/N` hold their bytes, stored as
 * they are. Both `torch.save` and TorchScript write it. Tensors are read one by one from where they lie.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { type Entry, fromFdPromise, type ZipFile } from 'yauzl';
import { messageOf } from '../thrown';
import { readAt } from './bytes';
import { decodeElements, ELEMENT_BYTES, type ReadData, storedDType } from './elements';
import type { StoredTensor, TensorInfo } from './safetensors';
import type { TensorSource } from './tensor-source';
import { type TorchTensor, unpickleTensors } from './torch-pickle';

/** Reads entries of a zip by name, from any place in them. */
interface Archive {
  /** The folder in which everything lies. */
  readonly folder: string;
  /** Bytes `from` to `from + length` of an entry, to its end by default; undefined if there is no such entry. */
  read(name: string, from?: number, length?: number): Promise<Uint8Array<ArrayBuffer> | undefined>;
}

/**
 * The tensors of a PyTorch archive.
 *
 * @throws Error naming the file and what is wrong with it: no archive of PyTorch, cut short, asking for what a dictionary of
 *   weights has no use for
 */
export async function torchSource(file: string): Promise<TensorSource> {
  const handle = await open(file, 'r');
  try {
    const archive = await openArchive(handle, file);
    const found = await readPickle(archive, file);
    const tensors = new Map<string, TensorInfo>();
    for (const [name, { storage, shape }] of found) tensors.set(name, { dtype: storage.dtype, shape });
    return {
      file,
      tensors,
      async read(name) {
        const tensor = found.get(name);
        if (!tensor) throw new Error(`${file}: has no tensor "${name}"`);
        return naming(`${file}: "${name}"`, () => readTensor(archive, tensor));
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openArchive(handle: FileHandle, file: string): Promise<Archive> {
  const zip = await naming(file, () => fromFdPromise(handle.fd));
  const entries = await naming(file, () => entriesOf(zip));
  const pickle = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickle === undefined) {
    throw new Error(`${file}: is a zip, but none of PyTorch's: it has no data.pkl`);
  }
  const folder = pickle.slice(0, pickle.indexOf('/') + 1);
  const archive: Archive = {
    folder,
    async read(name, from = 0, length) {
      const entry = entries.get(folder + name);
      if (!entry) return undefined;
      if (entry.compressionMethod !== 0) {
        throw new Error(
          `${name} is compressed, which PyTorch does not do; save it again in Python with torch.save`,
        );
      }
      const wanted = length ?? entry.uncompressedSize - from;
      if (from + wanted > entry.uncompressedSize) {
        throw new Error(`${name} has ${entry.uncompressedSize} bytes, ${from + wanted} are needed`);
      }
      const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
      return readAt(handle, fileDataStart + from, wanted, file);
    },
  };
  const order = await archive.read('byteorder');
  if (order && new TextDecoder().decode(order) === 'big') {
    throw new Error(`${file}: was written on a big-endian machine; save it again on another`);
  }
  return archive;
}

async function entriesOf(zip: ZipFile): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry);
  return entries;
}

async function readPickle(archive: Archive, file: string): Promise<Map<string, TorchTensor>> {
  return naming(file, async () => unpickleTensors((await archive.read('data.pkl'))!));
}

async function readTensor(
  archive: Archive,
  { storage, offset, shape, stride }: TorchTensor,
): Promise<StoredTensor> {
  const size = ELEMENT_BYTES[storage.dtype];
  const elements = shape.reduce((product, side) => product * side, 1);
  const dtype = storedDType(storage.dtype);
  if (elements === 0) return { dtype, shape, data: decodeElements(storage.dtype, new Uint8Array(0)) };
  // The last element's distance from the first.
  const reach = shape.reduce((sum, side, axis) => sum + (side - 1) * stride[axis]!, 0) + 1;
  const bytes = await archive.read(`data/${storage.key}`, offset * size, reach * size);
  if (!bytes) throw new Error(`its bytes, data/${storage.key}, are missing`);
  const seen = decodeElements(storage.dtype, bytes);
  return { dtype, shape, data: isDense(shape, stride) ? seen : gather(seen, shape, stride) };
}

/** Whether the elements lie in order without gaps. A side of 1 has any stride. */
function isDense(shape: readonly number[], stride: readonly number[]): boolean {
  let wanted = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== wanted) return false;
    wanted *= shape[axis]!;
  }
  return true;
}

/** Elements at strides, in order. */
function gather(seen: ReadData, shape: readonly number[], stride: readonly number[]): ReadData {
  const elements = shape.reduce((product, side) => product * side, 1);
  const result =
    seen instanceof Float32Array
      ? new Float32Array(elements)
      : seen instanceof Int32Array
        ? new Int32Array(elements)
        : new Uint32Array(elements);
  const place = shape.map(() => 0);
  let at = 0;
  for (let i = 0; i < elements; i++) {
    result[i] = seen[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += stride[axis]!;
      if (++place[axis]! < shape[axis]!) break;
      at -= stride[axis]! * shape[axis]!;
      place[axis] = 0;
    }
  }
  return result;
}

/** Runs, and names the file in what goes wrong. */
async function naming<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    const message = messageOf(cause);
    throw new Error(message.startsWith(what) ? message : `${what}: ${message}`, { cause });
  }
}
