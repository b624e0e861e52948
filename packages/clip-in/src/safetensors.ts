/**
 * The safetensors format: an 8-byte little-endian length, a JSON header of names, dtypes, shapes and offsets padded with
 * spaces to 8 bytes, then the elements. Files are written and read tensor by tensor, so no size limit of one buffer
 * applies. What a file means, and that it survives a crash, is the business of `checkpoint.ts`.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';

/** One tensor of a file. */
export interface StoredTensor {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** Elements in row-major order, of the array type that belongs to the dtype. */
  readonly data: Float32Array | Int32Array | Uint32Array;
}

/** Element types that are written and read. */
export type StoredDType = 'f32' | 'i32' | 'u32';

/** Tensors by name, such as `params.image.blocks.0.attention.query`. */
export type TensorRecord = Readonly<Record<string, StoredTensor>>;

const ARRAYS = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const;
const STORED_DTYPES = Object.keys(ARRAYS) as StoredDType[];
const ELEMENT_BYTES = 4;
const LENGTH_BYTES = 8;
/** The reference implementation refuses longer headers too. */
const HEADER_LIMIT = 100_000_000;
/** A single read or write is capped well below the 2 GiB limit of the operating system. */
const PIECE = 1 << 28;

/** Size and digest of a written file. */
export interface WrittenFile {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Writes tensors to a file and flushes it to the disk. The names are sorted, so equal tensors give equal bytes.
 *
 * @throws TypeError naming the tensor whose data does not fit its dtype and shape
 */
export async function writeSafetensors(file: string, tensors: TensorRecord): Promise<WrittenFile> {
  const names = Object.keys(tensors).sort();
  let offset = 0;
  const header = Object.fromEntries(
    names.map((name) => {
      const { dtype, shape, data } = checkStored(name, tensors[name]!);
      const entry = { dtype: dtype.toUpperCase(), shape, data_offsets: [offset, offset + data.byteLength] };
      offset += data.byteLength;
      return [name, entry];
    }),
  );
  const chunks = [encodeHeader(header), ...names.map((name) => bytesOf(tensors[name]!.data))];
  const digest = createHash('sha256');
  const handle = await open(file, 'w');
  try {
    for (const chunk of chunks) {
      for (let start = 0; start < chunk.length; start += PIECE) {
        const piece = chunk.subarray(start, start + PIECE);
        digest.update(piece);
        await handle.writeFile(piece);
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { bytes: chunks.reduce((sum, { length }) => sum + length, 0), sha256: digest.digest('hex') };
}

/**
 * Reads all tensors of a file.
 *
 * @param expected - size and digest as {@link writeSafetensors} gave them; checked when given
 * @throws Error naming the file and what is wrong with it: cut short, too long, an unreadable header, an unknown dtype,
 *   offsets that overlap, leave a gap or do not fit the shape, other bytes than were written
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
    const digest = createHash('sha256');
    const header = await readHeader(handle, file, size, digest);
    const found: [string, StoredTensor][] = [];
    for (const { name, dtype, shape, elements } of header) {
      const data = new ARRAYS[dtype](elements);
      await readInto(handle, bytesOf(data), file);
      digest.update(bytesOf(data));
      found.push([name, { dtype, shape, data }]);
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
  const elements = shape.reduce((product, side) => product * side, 1);
  if (elements !== data.length) {
    throw new TypeError(
      `safetensors: "${name}" of shape [${shape.join(', ')}] needs ${elements} elements, got ${data.length}`,
    );
  }
  if (name === '__metadata__') throw new TypeError('safetensors: a tensor cannot be called "__metadata__"');
  return stored;
}

function encodeHeader(header: object): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(LENGTH_BYTES + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, LENGTH_BYTES);
  return bytes;
}

interface Entry {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly elements: number;
  readonly start: number;
}

/** Reads and checks the header; the entries come in the order of their data, which then follows without a gap. */
async function readHeader(
  handle: FileHandle,
  file: string,
  size: number,
  digest: { update(bytes: Uint8Array): unknown },
): Promise<Entry[]> {
  if (size < LENGTH_BYTES) throw new Error(`${file}: cut short; ${size} bytes are no safetensors file`);
  const prefix = Buffer.alloc(LENGTH_BYTES);
  await readInto(handle, prefix, file);
  const length = prefix.readBigUInt64LE();
  if (length > HEADER_LIMIT || length > size - LENGTH_BYTES) {
    throw new Error(
      `${file}: says its header has ${length} bytes, but ${size - LENGTH_BYTES} follow; it was cut short or changed`,
    );
  }
  const text = Buffer.alloc(Number(length));
  await readInto(handle, text, file);
  digest.update(prefix);
  digest.update(text);
  const header = parseHeader(text, file);
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, value]) => parseEntry(name, value, file))
    .sort((a, b) => a.start - b.start || a.elements - b.elements);
  checkCoverage(entries, size - LENGTH_BYTES - Number(length), file);
  return entries;
}

function parseHeader(text: Buffer, file: string): object {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (cause) {
    throw new Error(`${file}: its header is not JSON (${cause instanceof Error ? cause.message : cause})`, {
      cause,
    });
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw new Error(`${file}: its header is not a JSON object`);
  }
  return header;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function parseEntry(name: string, value: unknown, file: string): Entry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  const known = STORED_DTYPES.find((candidate) => candidate.toUpperCase() === dtype);
  if (!known) {
    const accepted = STORED_DTYPES.map((candidate) => candidate.toUpperCase()).join(', ');
    throw new Error(`${file}: "${name}" has dtype ${JSON.stringify(dtype)}; known are ${accepted}`);
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
  const elements = shape.reduce<number>((product, side) => product * side, 1);
  if (end - start !== elements * ELEMENT_BYTES) {
    throw new Error(
      `${file}: "${name}" of shape [${shape.join(', ')}] needs ${elements * ELEMENT_BYTES} bytes, its offsets [${start}, ${end}] hold ${end - start}`,
    );
  }
  return { name, dtype: known, shape, elements, start };
}

function checkCoverage(entries: readonly Entry[], available: number, file: string): void {
  let end = 0;
  let last = 'the header';
  for (const { name, start, elements } of entries) {
    if (start < end)
      throw new Error(`${file}: "${name}" begins at ${start} and overlaps ${last}, which ends at ${end}`);
    if (start > end)
      throw new Error(`${file}: bytes ${end} to ${start}, before "${name}", belong to no tensor`);
    end = start + elements * ELEMENT_BYTES;
    last = `"${name}"`;
  }
  if (end > available)
    throw new Error(`${file}: cut short; its tensors need ${end} bytes, ${available} are there`);
  if (end < available)
    throw new Error(`${file}: ${available - end} bytes follow the last tensor and belong to none`);
}

async function readInto(handle: FileHandle, bytes: Uint8Array, file: string): Promise<void> {
  for (let filled = 0; filled < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, filled, Math.min(PIECE, bytes.length - filled));
    if (bytesRead === 0) throw new Error(`${file}: ended while it was read`);
    filled += bytesRead;
  }
}

// The format is little-endian, and so is every platform that Node, Dawn and WebAssembly share.
const bytesOf = (data: StoredTensor['data']): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
