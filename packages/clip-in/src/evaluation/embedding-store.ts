/**
 * Embeddings on disk, so that what was computed once is not computed again: not by the next suite, and not after a killed run.
 *
 * A directory for each model holds segments, one for each process that wrote. A segment is a heading and records of one
 * length that are only ever appended: key, row, checksum. So a process killed while it writes leaves a record cut short, which the next one
 * does not count; no file of another process is changed, and several may work in one directory. What a checksum does not confirm is
 * counted as damaged and computed again.
 *
 * Why no library: 50,000 embeddings of 3 kB are 100,000 files and 0.6 ms each in the one for contents (cacache), here one file and 0.01 ms.
 */
import { createHash } from 'node:crypto';
import { closeSync, fdatasyncSync, mkdirSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32c } from '../eventFile';
import { codeOf, messageOf } from '../thrown';

/** Rows by key. */
export interface EmbeddingStore {
  /** Records that their checksum did not confirm, and files that are no segments. */
  readonly damaged: number;
  /** The row of a key; undefined where there is none, or a damaged one. */
  get(key: EmbeddingKey): Float32Array | undefined;
  /** Keeps rows; they are on the disk when this returns. */
  put(rows: readonly (readonly [key: EmbeddingKey, row: Float32Array])[]): void;
  close(): void;
}

/** What an embedding was computed from: a SHA-256 sum, in hexadecimal. */
export type EmbeddingKey = string;

/** The key of contents. */
export function embeddingKey(...parts: readonly (string | Uint8Array)[]): EmbeddingKey {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex');
}

const HEADING = 'clip-in embeds 1';
const HEADING_BYTES = HEADING.length + 4;
const KEY_BYTES = 32;
const CRC_BYTES = 4;
const EXTENSION = '.embeddings';
const BYTES_AT_ONCE = 1 << 20;

/** Where a record is. */
interface Place {
  readonly file: number;
  readonly offset: number;
}

/**
 * Opens the embeddings of one model in a directory, which is made if it is not there.
 *
 * @param model - tells models apart: the fingerprint of the weights
 * @throws Error naming the directory if it cannot be used, or is full
 */
export function openEmbeddingStore(directory: string, model: string, width: number): EmbeddingStore {
  const folder = join(directory, embeddingKey(model).slice(0, 16));
  const recordBytes = KEY_BYTES + width * 4 + CRC_BYTES;
  const places = new Map<EmbeddingKey, Place>();
  const files: number[] = [];
  let damaged = 0;
  let own: { file: number; offset: number } | undefined;

  const readSegment = (name: string): void => {
    const file = openSync(join(folder, name), 'r');
    files.push(file);
    const heading = Buffer.alloc(HEADING_BYTES);
    const read = readSync(file, heading, 0, HEADING_BYTES, 0);
    if (
      read < HEADING_BYTES &&
      HEADING.startsWith(heading.toString('latin1', 0, read).slice(0, HEADING.length))
    )
      return; // Killed as it began.
    if (!heading.equals(headingOf(width))) {
      damaged++;
      return;
    }
    const many = Math.max(1, Math.floor(BYTES_AT_ONCE / recordBytes));
    const records = Buffer.alloc(many * recordBytes);
    for (let offset = HEADING_BYTES; ; offset += records.length) {
      const whole = Math.floor(readSync(file, records, 0, records.length, offset) / recordBytes);
      for (let i = 0; i < whole; i++) {
        const at = i * recordBytes;
        places.set(records.toString('hex', at, at + KEY_BYTES), { file, offset: offset + at });
      }
      if (whole < many) return;
    }
  };

  const begin = (): { file: number; offset: number } => {
    const name = `${Date.now().toString(36)}-${process.pid}-${files.length}${EXTENSION}`;
    const file = openSync(join(folder, name), 'wx+');
    files.push(file);
    writeWhole(file, headingOf(width), 0);
    return { file, offset: HEADING_BYTES };
  };

  try {
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(folder).sort()) if (name.endsWith(EXTENSION)) readSegment(name);
  } catch (cause) {
    for (const file of files) closeSync(file);
    throw failure(folder, cause);
  }

  return {
    get damaged() {
      return damaged;
    },
    get(key) {
      const place = places.get(key);
      if (!place) return undefined;
      const record = Buffer.alloc(recordBytes);
      const read = readSync(place.file, record, 0, recordBytes, place.offset);
      const content = record.subarray(0, recordBytes - CRC_BYTES);
      const right = read === recordBytes && crc32c(content) === record.readUInt32LE(content.length);
      if (right && record.toString('hex', 0, KEY_BYTES) === key) {
        return new Float32Array(
          record.buffer.slice(record.byteOffset + KEY_BYTES, record.byteOffset + content.length),
        );
      }
      places.delete(key);
      damaged++;
      return undefined;
    },
    put(rows) {
      if (rows.length === 0) return;
      const records = Buffer.concat(rows.map(([key, row]) => recordOf(key, row, width)));
      try {
        own ??= begin();
        writeWhole(own.file, records, own.offset);
        fdatasyncSync(own.file);
      } catch (cause) {
        throw failure(folder, cause);
      }
      for (const [i, [key]] of rows.entries()) {
        places.set(key, { file: own.file, offset: own.offset + i * recordBytes });
      }
      own.offset += records.length;
    },
    close() {
      for (const file of files.splice(0)) closeSync(file);
      places.clear();
    },
  };
}

/** Embeddings that are kept while the process lives. */
export function memoryEmbeddingStore(): EmbeddingStore {
  const kept = new Map<EmbeddingKey, Float32Array>();
  return {
    damaged: 0,
    get: (key) => kept.get(key),
    put(rows) {
      for (const [key, row] of rows) kept.set(key, row);
    },
    close: () => kept.clear(),
  };
}

function headingOf(width: number): Buffer {
  const heading = Buffer.alloc(HEADING_BYTES);
  heading.write(HEADING, 'latin1');
  heading.writeUInt32LE(width, HEADING.length);
  return heading;
}

function recordOf(key: EmbeddingKey, row: Float32Array, width: number): Buffer {
  if (row.length !== width)
    throw new RangeError(`embedding store: a row of ${row.length} values; wants ${width}`);
  const content = Buffer.concat([
    Buffer.from(key, 'hex'),
    Buffer.from(row.buffer, row.byteOffset, row.byteLength),
  ]);
  const sum = Buffer.alloc(CRC_BYTES);
  sum.writeUInt32LE(crc32c(content));
  return Buffer.concat([content, sum]);
}

/** A disk that fills up takes a part of what is written before it says so. */
function writeWhole(file: number, bytes: Buffer, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(file, bytes, done, bytes.length - done, at + done);
  }
}

function failure(folder: string, cause: unknown): Error {
  const why =
    codeOf(cause) === 'ENOSPC'
      ? 'the disk is full; what was kept before is good, so make room, or name another directory, and run again'
      : messageOf(cause);
  return new Error(`embeddings cannot be kept in ${folder}: ${why}`, { cause });
}
