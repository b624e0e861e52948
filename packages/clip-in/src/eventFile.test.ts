import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { PbfReader } from 'pbf';
import { afterAll, expect, it } from 'vitest';
import { crc32c, openEventFile } from './eventFile';

const root = mkdtempSync(join(tmpdir(), 'events-'));
afterAll(() => rmSync(root, { recursive: true }));
let runs = 0;
const newDirectory = () => join(root, `run-${runs++}`);

interface Event {
  time: number;
  step: number;
  version?: string;
  values: Record<string, number>;
}

/** TensorBoard's reader: the frames by hand, the messages by a protobuf library. */
function readEvents(path: string): Event[] {
  const file = readFileSync(path);
  const unmask = (value: number) => {
    const rotated = (value - 0xa282ead8) >>> 0;
    return ((rotated >>> 17) | (rotated << 15)) >>> 0;
  };
  const events: Event[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    expect(unmask(file.readUInt32LE(at + 8))).toBe(crc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(unmask(file.readUInt32LE(at + 12 + length))).toBe(crc32c(data));
    events.push(decode(data));
    at += length + 16;
  }
  return events;
}

function decode(data: Uint8Array): Event {
  return new PbfReader(data).readFields<Event>(
    (tag, event, pbf) => {
      if (tag === 1) event.time = pbf.readDouble();
      else if (tag === 2) event.step = pbf.readVarint();
      else if (tag === 3) event.version = pbf.readString();
      else if (tag === 5) pbf.readMessage((field, into, inner) => readSummary(field, into, inner), event);
      else throw new Error(`field ${tag} is not expected`);
    },
    { time: 0, step: 0, values: {} },
  );
}

function readSummary(field: number, event: Event, pbf: PbfReader): void {
  expect(field).toBe(1);
  const value = { tag: '', simple: Number.NaN };
  pbf.readMessage((inner, into, reader) => {
    if (inner === 1) into.tag = reader.readString();
    else if (inner === 2) into.simple = reader.readFloat();
    else throw new Error(`field ${inner} is not expected`);
  }, value);
  event.values[value.tag] = value.simple;
}

it('has the checksum that the standards print', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  // RFC 3720, B.4
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
});

it('writes what a protobuf library reads', () => {
  const file = openEventFile(newDirectory());
  file.scalars(1, { loss: 2.5, 'rate/learning': 1e-3 });
  file.scalars(300, { größe: -Infinity, loss: NaN });
  file.close();
  const [first, second, third] = readEvents(file.path);
  expect(first).toMatchObject({ version: 'brain.Event:2', step: 0, values: {} });
  expect(second).toMatchObject({ step: 1, values: { loss: 2.5, 'rate/learning': Math.fround(1e-3) } });
  expect(third).toMatchObject({ step: 300, values: { größe: -Infinity, loss: NaN } });
  expect(Math.abs(second!.time - Date.now() / 1000)).toBeLessThan(3600);
  expect(() => openEventFile(newDirectory()).scalars(-1, {})).toThrow(
    'step must be a whole number from 0 up, got -1',
  );
});

it('any steps, tags and values', () => {
  const step = fc.oneof(fc.nat(), fc.maxSafeNat());
  checkProperty(
    fc.property(
      fc.array(fc.tuple(step, fc.dictionary(fc.string(), fc.float())), { maxLength: 4 }),
      (written) => {
        const file = openEventFile(newDirectory());
        for (const [at, values] of written) file.scalars(at, values);
        file.close();
        const read = readEvents(file.path).slice(1);
        expect(read.map((event) => event.step)).toEqual(written.map(([at]) => at));
        for (const [i, event] of read.entries()) {
          const tags = Object.keys(written[i]![1]).filter((tag) => tag !== '__proto__');
          for (const tag of tags) expect(event.values[tag]).toBe(written[i]![1][tag]);
        }
      },
    ),
  );
});

it('goes on after a step, without later events and without what was cut short', () => {
  const directory = newDirectory();
  const before = openEventFile(directory);
  for (const step of [100, 200, 300]) before.scalars(step, { loss: step });
  before.close();
  const steps = () => readEvents(before.path).map(({ step }) => step);

  const resumed = openEventFile(directory, { resumeAfter: 200 });
  expect(steps()).toEqual([0, 100, 200]);
  resumed.scalars(201, { loss: 1 });
  resumed.close();

  truncateSync(before.path, readFileSync(before.path).length - 3);
  openEventFile(directory, { resumeAfter: 1000 }).close();
  expect(steps()).toEqual([0, 100, 200]);
  appendFileSync(before.path, Buffer.alloc(40, 7));
  openEventFile(directory, { resumeAfter: 1000 }).close();
  expect(steps()).toEqual([0, 100, 200]);
  openEventFile(directory).close();
  expect(steps()).toEqual([0]);
  openEventFile(newDirectory(), { resumeAfter: 5 }).close();
});
