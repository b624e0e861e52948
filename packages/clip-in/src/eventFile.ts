/**
 * Scalars for TensorBoard: an event file is a row of records, each a protobuf `Event` framed by its length and two
 * checksums (tensorflow: `core/lib/io/record_writer.cc`, `core/util/event.proto`). Only what scalars need is written.
 */
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Writes scalars; each call reaches the operating system before it returns. */
export interface EventFile {
  readonly path: string;
  /** Adds values under their tags, such as `{ 'loss/short': 2.3 }`, at a step. */
  scalars(step: number, values: Readonly<Record<string, number>>): void;
  close(): void;
}

/** Options of {@link openEventFile}. */
export interface EventFileOptions {
  /** Goes on after this step: later events, and a record that a killed process left half written, are cut off. */
  readonly resumeAfter?: number;
}

const FILE_NAME = 'events.out.tfevents.0.clip-in';
const HEADER_BYTES = 12;
const FOOTER_BYTES = 4;

/** Opens the event file of a directory; without `resumeAfter` it is begun anew. */
export function openEventFile(directory: string, { resumeAfter }: EventFileOptions = {}): EventFile {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, FILE_NAME);
  const kept = resumeAfter !== undefined && existsSync(path) ? bytesUpTo(readFileSync(path), resumeAfter) : 0;
  const file = openSync(path, 'a');
  ftruncateSync(file, kept);
  const append = (event: Uint8Array): void => {
    writeSync(file, frame(event));
  };
  if (kept === 0) append(concat(double(1, now()), text(3, 'brain.Event:2')));
  return {
    path,
    scalars(step, values) {
      const summary = Object.entries(values).map(([tag, value]) =>
        bytes(1, concat(text(1, tag), float(2, value))),
      );
      append(concat(double(1, now()), varint(2, step), bytes(5, concat(...summary))));
    },
    close: () => closeSync(file),
  };
}

/** CRC-32C (Castagnoli), as RFC 3720 has it. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8)) >>> 0;
  return (crc ^ 0xffffffff) >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

/** The format masks its checksums, because the checksum of data that holds its own checksum is weak. */
function masked(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function frame(event: Uint8Array): Uint8Array {
  const framed = Buffer.alloc(HEADER_BYTES + event.length + FOOTER_BYTES);
  framed.writeBigUInt64LE(BigInt(event.length));
  framed.writeUInt32LE(masked(framed.subarray(0, 8)), 8);
  framed.set(event, HEADER_BYTES);
  framed.writeUInt32LE(masked(event), HEADER_BYTES + event.length);
  return framed;
}

/** How many bytes from the start are whole records of steps up to `last`. */
function bytesUpTo(file: Buffer, last: number): number {
  let end = 0;
  while (file.length - end >= HEADER_BYTES + FOOTER_BYTES) {
    const length = Number(file.readBigUInt64LE(end));
    const next = end + HEADER_BYTES + length + FOOTER_BYTES;
    if (masked(file.subarray(end, end + 8)) !== file.readUInt32LE(end + 8) || next > file.length) break;
    const event = file.subarray(end + HEADER_BYTES, next - FOOTER_BYTES);
    if (masked(event) !== file.readUInt32LE(next - FOOTER_BYTES) || stepOf(event) > last) break;
    end = next;
  }
  return end;
}

/** The step of an event that this file wrote: after 9 bytes of wall time, if it is there. */
function stepOf(event: Buffer): number {
  if (event[9] !== key(2, 0)) return 0;
  let step = 0;
  for (let at = 10, scale = 1; at < event.length; at++, scale *= 128) {
    step += (event[at]! & 0x7f) * scale;
    if (event[at]! < 0x80) break;
  }
  return step;
}

// Protobuf: a field is a key (its number and wire type) and a value.

const now = (): number => Date.now() / 1000;
const key = (field: number, wire: number): number => field * 8 + wire;
const concat = (...parts: Uint8Array[]): Buffer => Buffer.concat(parts);

function leb128(value: number): Buffer {
  const out: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) out.push((value % 128) | 0x80);
  return Buffer.from([...out, value]);
}

function varint(field: number, value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`event file: step must be a whole number from 0 up, got ${value}`);
  return Buffer.concat([Buffer.of(key(field, 0)), leb128(value)]);
}

function double(field: number, value: number): Buffer {
  const out = Buffer.alloc(9);
  out[0] = key(field, 1);
  out.writeDoubleLE(value, 1);
  return out;
}

function float(field: number, value: number): Buffer {
  const out = Buffer.alloc(5);
  out[0] = key(field, 5);
  out.writeFloatLE(value, 1);
  return out;
}

const bytes = (field: number, value: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(key(field, 2)), leb128(value.length), value]);

const text = (field: number, value: string): Buffer => bytes(field, Buffer.from(value));
