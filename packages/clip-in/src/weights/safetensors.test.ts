import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, type StoredTensor, type TensorRecord, writeSafetensors } from './safetensors';

let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'safetensors-'));
  file = join(folder, 'x.safetensors');
});
afterAll(() => rm(folder, { recursive: true }));

const sample: TensorRecord = {
  'text.embedding': { dtype: 'f32', shape: [2, 3], data: Float32Array.of(1, -2, 0.5, NaN, Infinity, -0) },
  scale: { dtype: 'f32', shape: [], data: Float32Array.of(4.6052) },
  'key.0': { dtype: 'u32', shape: [2], data: Uint32Array.of(7, 0xffffffff) },
  step: { dtype: 'i32', shape: [1, 1], data: Int32Array.of(-5) },
  empty: { dtype: 'f32', shape: [0, 4], data: new Float32Array(0) },
};

/** A file with any header, made by hand. */
function assemble(header: unknown, data: Uint8Array): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

async function refusal(bytes: Uint8Array): Promise<string> {
  await writeFile(file, bytes);
  return readSafetensors(file).then(
    () => 'accepted',
    (error: Error) => error.message,
  );
}

describe('writing', () => {
  it('lays the bytes out as the format says', async () => {
    await writeSafetensors(file, {
      b: { dtype: 'i32', shape: [1], data: Int32Array.of(-2) },
      a: sample['key.0']!,
    });
    const bytes = await readFile(file);
    const length = Number(bytes.readBigUInt64LE());
    expect(length % 8).toBe(0);
    const header = bytes.subarray(8, 8 + length).toString();
    expect(header).toMatch(/^\{.*\} *$/);
    expect(JSON.parse(header)).toEqual({
      a: { dtype: 'U32', shape: [2], data_offsets: [0, 8] },
      b: { dtype: 'I32', shape: [1], data_offsets: [8, 12] },
    });
    expect([...bytes.subarray(8 + length)]).toEqual([7, 0, 0, 0, 255, 255, 255, 255, 254, 255, 255, 255]);
  });

  it('gives back what it was given, and the same bytes for the same tensors in another order', async () => {
    const written = await writeSafetensors(file, sample);
    expect(await readSafetensors(file, written)).toEqual(sample);
    const reversed = Object.fromEntries(Object.entries(sample).reverse());
    expect(await writeSafetensors(file, reversed)).toEqual(written);
  });

  it('gives back any tensors, bit for bit', async () => {
    const stored: fc.Arbitrary<StoredTensor> = fc
      .tuple(fc.array(fc.nat(4), { maxLength: 4 }), fc.constantFrom('f32', 'f16', 'i32', 'u32'), fc.integer())
      .map(([shape, dtype, seed]) => {
        const elements = shape.reduce((a, b) => a * b, 1);
        const bits = Uint32Array.from(
          { length: elements },
          (_, i) => Math.imul(seed + i, 0x9e3779b1) & 0xff7fffff,
        );
        if (dtype === 'u32') return { dtype, shape, data: bits };
        if (dtype === 'f16') return { dtype, shape, data: Uint16Array.from(bits) };
        return dtype === 'i32'
          ? { dtype, shape, data: new Int32Array(bits.buffer) }
          : { dtype: 'f32' as const, shape, data: new Float32Array(bits.buffer) };
      });
    await checkProperty(
      fc.asyncProperty(
        fc.dictionary(fc.string({ unit: 'grapheme' }), stored, { maxKeys: 5 }),
        async (tensors) => {
          await writeSafetensors(file, tensors);
          const back = await readSafetensors(file);
          expect(Object.keys(back).sort()).toEqual(Object.keys(tensors).sort());
          for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
            expect(back[name]).toMatchObject({ dtype, shape });
            expect(new Uint8Array(back[name]!.data.buffer)).toEqual(new Uint8Array(data.buffer));
          }
        },
      ),
    );
  });

  it('writes only the part of a buffer that a tensor sees', async () => {
    const view = new Float32Array(10).fill(3).subarray(2, 4);
    await writeSafetensors(file, { view: { dtype: 'f32', shape: [2], data: view } });
    expect((await readSafetensors(file)).view!.data).toEqual(Float32Array.of(3, 3));
  });

  it('refuses data that does not fit', async () => {
    const wrong = (stored: StoredTensor) => writeSafetensors(file, { w: stored });
    await expect(wrong({ dtype: 'f32', shape: [2], data: Int32Array.of(1, 2) })).rejects.toThrow(
      '"w" is f32, so it needs a Float32Array, not a Int32Array',
    );
    await expect(wrong({ dtype: 'f16', shape: [1], data: Float32Array.of(1) })).rejects.toThrow(
      '"w" is f16, so it needs a Uint16Array, not a Float32Array',
    );
    await expect(wrong({ dtype: 'f32', shape: [2, 2], data: Float32Array.of(1) })).rejects.toThrow(
      '"w" of shape [2, 2] needs 4 elements, got 1',
    );
  });
});

describe('reading', () => {
  const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
    dtype: 'F32',
    shape,
    data_offsets: [begin, end],
  });

  it('takes what other writers write: metadata, another order, no padding', async () => {
    const header = { __metadata__: { format: 'pt' }, z: f32(0, 4), a: f32(4, 8, []) };
    await writeFile(file, assemble(header, new Uint8Array(Float32Array.of(1, 2).buffer)));
    const { a, z } = await readSafetensors(file);
    expect([a!.data[0], a!.shape, z!.data[0]]).toEqual([2, [], 1]);
  });

  it.each<[string, unknown, number, RegExp]>([
    [
      'an unknown dtype',
      { a: { ...f32(0, 4), dtype: 'F4' } },
      4,
      /"a" has dtype "F4"; known are F64, F32, F16, BF16, I64/,
    ],
    [
      'overlapping tensors',
      { a: f32(0, 8), b: f32(4, 12) },
      12,
      /"b" begins at 4 and overlaps "a", which ends at 8/,
    ],
    ['a gap', { a: f32(0, 4), b: f32(8, 12) }, 12, /bytes 4 to 8, before "b", belong to no tensor/],
    ['bytes that nobody owns', { a: f32(0, 4) }, 8, /4 bytes follow the last tensor/],
    ['offsets past the end', { a: f32(0, 8) }, 4, /cut short; its tensors need 8 bytes, 4 are there/],
    [
      'a shape that does not fit the offsets',
      { a: f32(0, 8, [3]) },
      8,
      /\[3\] needs 12 bytes, its offsets \[0, 8\] hold 8/,
    ],
    ['a negative side', { a: f32(0, 4, [-1, -1]) }, 4, /shape \[-1,-1\]; it needs whole numbers/],
    ['offsets that are none', { a: { ...f32(0, 4), data_offsets: [0] } }, 4, /data_offsets \[0\]/],
    ['an entry that is none', { a: 3 }, 0, /"a" has dtype undefined/],
    ['an array', [], 0, /is not a JSON object/],
    ['broken JSON', '{"a":', 0, /is not JSON/],
  ])('refuses %s', async (_, header, bytes, message) => {
    expect(await refusal(assemble(header, new Uint8Array(bytes)))).toMatch(message);
  });

  it('refuses a file cut at any byte, and one with a byte too many', async () => {
    await writeSafetensors(file, sample);
    const bytes = await readFile(file);
    for (let length = 0; length < bytes.length; length++) {
      expect(await refusal(bytes.subarray(0, length))).toMatch(/cut short|is not JSON/);
    }
    expect(await refusal(Buffer.concat([bytes, Buffer.of(0)]))).toMatch(/1 bytes follow the last tensor/);
  });

  it('a flipped bit anywhere is found by the digest, and in the header is never more than an error or a rename', async () => {
    const written = await writeSafetensors(file, sample);
    const bytes = await readFile(file);
    const headerEnd = 8 + Number(bytes.readBigUInt64LE());
    await checkProperty(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(7), async (at, bit) => {
        const changed = Buffer.from(bytes);
        changed[at]! ^= 1 << bit;
        await writeFile(file, changed);
        await expect(readSafetensors(file, written)).rejects.toThrow(file);
        if (at >= headerEnd) return;
        const back = await readSafetensors(file).catch((error: Error) => {
          expect(error.message).toContain(file);
          return {};
        });
        for (const { shape, data } of Object.values(back))
          expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
      }),
      { numRuns: 300 },
    );
  });
});
