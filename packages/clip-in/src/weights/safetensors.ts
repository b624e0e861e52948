/**
 * The safetensors format: an 8-byte little-endian length, a JSON header of names, dtypes, shapes and offsets padded with
 * spaces to 8 bytes, then the elements. Files are written and read tensor by tensor, so no size limit of one buffer
 * applies. What a file means, and that it survives a crash, is the business of others.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { messageOf } from '../thrown';
import { readAt } from './bytes';
import {
  decodeElements,
  ELEMENT_BYTES,
  type FileDType,
  isCount,
  type StoredData,
  type StoredDType,
  storedDType,
} from './elements';

export type { StoredData, StoredDType } from './elements';

/** One tensor of a file. */
export interface StoredTensor {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** Elements in row-major order, of the array type that belongs to the dtype; of f16 the bits, in a Uint16Array. */
  readonly data: StoredData;
}

/** Tensors by name, such as `params.image.blocks.0.attention.query`. */
export type TensorRecord = Readonly<Record<string, StoredTensor>>;

const ARRAYS = { f32: Float32Array, f16: Uint16Array, i32: Int32Array, u32: Uint32Array } as const;
const LENGTH_BYTES = 8;
/** The reference implementation refuses longer headers too. */
const HEADER_LIMIT = 100_000_000;
/** A single write is capped well below the 2 GiB limit of the operating system. */
const PIECE = 1 << 28;

/** Size and digest of a written file. */
export interface WrittenFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** A tensor to be written, whose elements are made when their turn has come. */
export interface DeferredTensor {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  data(): Promise<StoredData>;
}

/**
 * Writes tensors to a file and flushes it to the disk. The names are sorted, so equal tensors give equal bytes.
 *
 * @throws TypeError naming the tensor whose data does not fit its dtype and shape
 */
export async function writeSafetensors(file: string, tensors: TensorRecord): Promise<WrittenFile> {
  const deferred = Object.entries(tensors).map(([name, stored]): [string, DeferredTensor] => {
    const { dtype, shape, data } = checkStored(name, stored);
    return [name, { dtype, shape, data: async () => data }];
  });
  return streamSafetensors(file, new Map(deferred));
}

/**
 * Writes tensors to a file one after another, so that no more than one of them need be in memory.
 *
 * @param metadata - what the header says beside the tensors, such as `{ format: 'pt' }`, which `transformers` asks for
 * @throws TypeError naming the tensor whose data does not fit its dtype and shape
 */
export async function streamSafetensors(
  file: string,
  tensors: ReadonlyMap<string, DeferredTensor>,
  metadata?: Readonly<Record<string, string>>,
): Promise<WrittenFile> {
  const names = [...tensors.keys()].sort();
  const handle = await open(file, 'w');
  const digest = createHash('sha256');
  let bytes = 0;
  const write = async (chunk: Uint8Array) => {
    for (let start = 0; start < chunk.length; start += PIECE) {
      const piece = chunk.subarray(start, start + PIECE);
      digest.update(piece);
      await handle.writeFile(piece);
    }
    bytes += chunk.length;
  };
  try {
    await write(encodeHeader(names, tensors, metadata));
    for (const name of names) {
      const { dtype, shape, data } = tensors.get(name)!;
      await write(bytesOf(checkStored(name, { dtype, shape, data: await data() }).data));
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes, sha256: digest.digest('hex') };
}

/** A tensor as a file's header describes it. */
export interface TensorInfo {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
}

/** A file whose header has been read, and whose tensors can be, in any order. */
export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What the header says beside the tensors. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Reads one tensor, in f32, i32 or u32. Several may be read at once. */
  read(name: string): Promise<StoredTensor>;
  close(): Promise<void>;
}

/**
 * Opens a file and reads its header only.
 *
 * @throws Error naming the file and what is wrong with it: cut short, too long, an unreadable header, an unknown dtype,
 *   offsets that overlap, leave a gap or do not fit the shape
 */
export async function openSafetensors(file: string): Promise<SafetensorsFile> {
  const handle = await open(file, 'r');
  try {
    const { entries, metadata, dataStart } = await readHeader(handle, file);
    const tensors = new Map(entries.map((entry) => [entry.name, entry]));
    return {
      tensors,
      metadata,
      async read(name) {
        const entry = tensors.get(name);
        if (!entry) throw new Error(`${file}: has no tensor "${name}"`);
        return decode(entry, await readAt(handle, dataStart + entry.start, byteLength(entry), file), file);
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Reads all tensors of a file, in f32, i32 or u32, and f16 as it is: what `writeSafetensors` wrote comes back.
 *
 * @param expected - size and digest as {@link writeSafetensors} gave them; checked when given
 * @throws Error as {@link openSafetensors} does, and for other bytes than were written
 */
export async function readSafetensors(file: string, expected?: WrittenFile): Promise<TensorRecord> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    if (expected && size !== expected.bytes) {
      throw new Error(
        `${file}: has ${size} bytes where ${expected.bytes} were written; it was cut short or changed`,
      );
    }
    const { entries, dataStart, bytes: headerBytes } = await readHeader(handle, file);
    const digest = createHash('sha256').update(headerBytes);
    const found: [string, StoredTensor][] = [];
    for (const entry of entries) {
      const bytes = await readAt(handle, dataStart + entry.start, byteLength(entry), file);
      digest.update(bytes);
      found.push([entry.name, entry.dtype === 'F16' ? halves(entry, bytes) : decode(entry, bytes, file)]);
    }
    const sha256 = digest.digest('hex');
    if (expected && sha256 !== expected.sha256) {
      throw new Error(
        `${file}: its SHA-256 is ${sha256}, ${expected.sha256} was written; some bytes were changed`,
      );
    }
    return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
  } finally {
    await handle.close();
  }
}

function checkStored(name: string, stored: StoredTensor): StoredTensor {
  const { dtype, shape, data } = stored;
  if (!(data instanceof ARRAYS[dtype])) {
    throw new TypeError(
      `safetensors: "${name}" is ${dtype}, so it needs a ${ARRAYS[dtype].name}, not a ${data.constructor.name}`,
    );
  }
  const elements = sizeOf(shape);
  if (elements !== data.length) {
    throw new TypeError(
      `safetensors: "${name}" of shape [${shape.join(', ')}] needs ${elements} elements, got ${data.length}`,
    );
  }
  if (name === '__metadata__') throw new TypeError('safetensors: a tensor cannot be called "__metadata__"');
  return stored;
}

function encodeHeader(
  names: readonly string[],
  tensors: ReadonlyMap<string, DeferredTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  let offset = 0;
  const entries = names.map((name) => {
    const { dtype, shape } = tensors.get(name)!;
    const end = offset + sizeOf(shape) * ARRAYS[dtype].BYTES_PER_ELEMENT;
    const entry = { dtype: dtype.toUpperCase(), shape, data_offsets: [offset, end] };
    offset = end;
    return [name, entry] as const;
  });
  const header = { ...(metadata && { __metadata__: metadata }), ...Object.fromEntries(entries) };
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(LENGTH_BYTES + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, LENGTH_BYTES);
  return bytes;
}

interface Entry extends TensorInfo {
  readonly name: string;
  readonly elements: number;
  readonly start: number;
}

interface Header {
  /** In the order of their data, which follows without a gap. */
  readonly entries: readonly Entry[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly dataStart: number;
  readonly bytes: Uint8Array;
}

async function readHeader(handle: FileHandle, file: string): Promise<Header> {
  const { size } = await handle.stat();
  if (size < LENGTH_BYTES) throw new Error(`${file}: cut short; ${size} bytes are no safetensors file`);
  const length = Buffer.from(await readAt(handle, 0, LENGTH_BYTES, file)).readBigUInt64LE();
  if (length > HEADER_LIMIT || length > size - LENGTH_BYTES) {
    throw new Error(
      `${file}: says its header has ${length} bytes, but ${size - LENGTH_BYTES} follow; it was cut short or changed`,
    );
  }
  const dataStart = LENGTH_BYTES + Number(length);
  const bytes = await readAt(handle, 0, dataStart, file);
  const { __metadata__, ...tensors } = parseHeader(bytes.subarray(LENGTH_BYTES), file);
  const entries = Object.entries(tensors)
    .map(([name, value]) => parseEntry(name, value, file))
    .sort((a, b) => a.start - b.start || a.elements - b.elements);
  checkCoverage(entries, size - dataStart, file);
  return { entries, metadata: parseMetadata(__metadata__), dataStart, bytes };
}

function parseHeader(text: Uint8Array, file: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    throw new Error(`${file}: its header is not JSON (${messageOf(cause)})`, {
      cause,
    });
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw new Error(`${file}: its header is not a JSON object`);
  }
  return Object.fromEntries(Object.entries(header));
}

const parseMetadata = (value: unknown): Record<string, string> =>
  typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)]))
    : {};

const isFileDType = (value: unknown): value is FileDType =>
  typeof value === 'string' && Object.hasOwn(ELEMENT_BYTES, value);

function parseEntry(name: string, value: unknown, file: string): Entry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  if (!isFileDType(dtype)) {
    const known = Object.keys(ELEMENT_BYTES).join(', ');
    throw new Error(`${file}: "${name}" has dtype ${JSON.stringify(dtype)}; known are ${known}`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new Error(
      `${file}: "${name}" has shape ${JSON.stringify(shape)}; it needs whole numbers from 0 up`,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw new Error(
      `${file}: "${name}" has data_offsets ${JSON.stringify(offsets)}; they need a begin and an end`,
    );
  }
  const [start, end] = offsets as [number, number];
  const elements = sizeOf(shape);
  const entry = { name, dtype, shape, elements, start };
  if (end - start !== byteLength(entry)) {
    throw new Error(
      `${file}: "${name}" of shape [${shape.join(', ')}] needs ${byteLength(entry)} bytes, its offsets [${start}, ${end}] hold ${end - start}`,
    );
  }
  return entry;
}

function checkCoverage(entries: readonly Entry[], available: number, file: string): void {
  let end = 0;
  let last = 'the header';
  for (const entry of entries) {
    const { name, start } = entry;
    if (start < end)
      throw new Error(`${file}: "${name}" begins at ${start} and overlaps ${last}, which ends at ${end}`);
    if (start > end)
      throw new Error(`${file}: bytes ${end} to ${start}, before "${name}", belong to no tensor`);
    end = start + byteLength(entry);
    last = `"${name}"`;
  }
  if (end > available)
    throw new Error(`${file}: cut short; its tensors need ${end} bytes, ${available} are there`);
  if (end < available)
    throw new Error(`${file}: ${available - end} bytes follow the last tensor and belong to none`);
}

function decode({ name, dtype, shape }: Entry, bytes: Uint8Array<ArrayBuffer>, file: string): StoredTensor {
  try {
    return { dtype: storedDType(dtype), shape, data: decodeElements(dtype, bytes) };
  } catch (cause) {
    throw new Error(`${file}: "${name}": ${messageOf(cause)}`, { cause });
  }
}

/** The bits of a tensor of f16. */
const halves = ({ shape }: Entry, bytes: Uint8Array<ArrayBuffer>): StoredTensor => ({
  dtype: 'f16',
  shape,
  data: new Uint16Array(bytes.slice().buffer),
});

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, side) => product * side, 1);

const byteLength = ({ dtype, elements }: Entry): number => elements * ELEMENT_BYTES[dtype];

// The format is little-endian, and so is every platform that Node, Dawn and WebAssembly share.
const bytesOf = (data: StoredData): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
