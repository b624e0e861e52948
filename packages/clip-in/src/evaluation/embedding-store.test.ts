/** A disk that fills up, for which the functions that write to it are replaced. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { embeddingKey, openEmbeddingStore } from './embedding-store';

const disk = vi.hoisted(() => ({ left: Infinity }));

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return {
    ...fs,
    writeSync(file: number, bytes: Buffer, offset: number, length: number, position: number): number {
      if (disk.left === 0)
        throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
      const written = fs.writeSync(file, bytes, offset, Math.min(length, disk.left), position);
      disk.left -= written;
      return written;
    },
  };
});

let folder: string;
beforeEach(() => {
  disk.left = Infinity;
  folder = mkdtempSync(join(tmpdir(), 'store-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const row = (i: number) => [embeddingKey(String(i)), Float32Array.of(i, i / 3, -i)] as const;

it('says that the disk is full, and keeps what was whole before', () => {
  const record = 32 + 12 + 4;
  for (const space of [0, 7, 20, 20 + record * 2, 20 + record * 2 + 1, 20 + record * 4 - 1]) {
    disk.left = space;
    const model = `model ${space}`;
    const store = openEmbeddingStore(folder, model, 3);
    const put = () => {
      store.put([row(1), row(2)]);
      store.put([row(3), row(4)]);
    };
    expect(put).toThrow(/cannot be kept in .*: the disk is full; .*make room/);
    // What could not be written is not known.
    expect(store.get(row(3)[0])).toBeUndefined();
    store.close();
    disk.left = Infinity;
    const again = openEmbeddingStore(folder, model, 3);
    expect(again.damaged).toBe(0);
    const whole = Math.max(0, Math.floor((space - 20) / record));
    expect([1, 2, 3, 4].map((i) => again.get(row(i)[0])?.[0])).toEqual(
      [1, 2, 3, 4].map((i) => (i <= whole ? i : undefined)),
    );
    again.put([row(3), row(4)]);
    expect(again.get(row(4)[0])).toEqual(row(4)[1]);
    again.close();
  }
});

it('tells contents apart that run together', () => {
  expect(embeddingKey('ab', 'c')).not.toBe(embeddingKey('a', 'bc'));
  expect(embeddingKey('a', new Uint8Array([98]))).toBe(embeddingKey('a', 'b'));
  expect(embeddingKey('é', 'x')).not.toBe(embeddingKey('é', 'y'));
});

it('reads more records than it takes at a time', () => {
  const store = openEmbeddingStore(folder, 'm', 3);
  const many = Array.from({ length: 50_000 }, (_, i) => row(i));
  store.put(many);
  store.close();
  const again = openEmbeddingStore(folder, 'm', 3);
  for (const i of [0, 1, 21_844, 21_845, 21_846, 49_999]) expect(again.get(row(i)[0])).toEqual(row(i)[1]);
  expect(again.get(embeddingKey('50000'))).toBeUndefined();
  again.close();
  expect(readdirSync(folder)).toHaveLength(1);
});
