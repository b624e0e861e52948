/** The tuner with clocks that are made up: what it chooses, what it keeps, and that products obey. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { matmulLaunch } from './test-kernels';
import { fileStore } from './tile-store';
import { chooseTiles, type TileStore, tunedTiles } from './tuner';
import { generate } from './wgsl/generate';
import { lower } from './wgsl/lower';
import { type Profile, profiles, type Tile } from './wgsl/profile';

/** Small tiles win on small products, large ones on large. */
const clock = async (side: number, tile: Tile) => Math.abs(Math.log2(side / tile / 8)) + 1;

const memoryStore = (): TileStore & { readonly tables: Map<string, string> } => {
  const tables = new Map<string, string>();
  return { tables, read: (adapter) => tables.get(adapter), write: (...entry) => void tables.set(...entry) };
};

test('the fastest tile of each size, whatever a disturbed round says', async () => {
  let calls = 0;
  const disturbed = async (side: number, tile: Tile) =>
    (await clock(side, tile)) + (calls++ % 15 < 9 ? 50 : 0);
  const expected = [
    { most: 256, tile: 32 },
    { most: 512, tile: 64 },
    { most: 1024, tile: 128 },
    { most: 2048, tile: 128 },
  ];
  expect(await chooseTiles(clock)).toEqual(expected);
  expect(await chooseTiles(disturbed)).toEqual(expected);
});

test('an adapter is timed once; a broken table is made again', async () => {
  const store = memoryStore();
  const first = await tunedTiles('card A', store, clock);
  const never = () => Promise.reject(new Error('timed again'));
  expect(await tunedTiles('card A', store, never)).toEqual(first);
  await expect(tunedTiles('card B', store, never)).rejects.toThrow('timed again');
  for (const broken of ['', '[', '[]', '[{"most":256,"tile":48}]']) {
    store.tables.set('card A', broken);
    expect(await tunedTiles('card A', store, clock)).toEqual(first);
  }
});

test('tables are files in a folder, and no error where there can be none', () => {
  const folder = mkdtempSync(join(tmpdir(), 'clip-in-'));
  const store = fileStore(join(folder, 'new'));
  expect(store.read('card/A')).toBeUndefined();
  store.write('card/A', '[1]');
  store.write('card/B', '[2]');
  expect([store.read('card/A'), store.read('card/B')]).toEqual(['[1]', '[2]']);
  writeFileSync(join(folder, 'file'), '');
  const broken = fileStore(join(folder, 'file'));
  broken.write('card/A', '[1]');
  expect(broken.read('card/A')).toBeUndefined();
  rmSync(folder, { recursive: true });
});

test('products take the tile of the table', () => {
  const launch = matmulLaunch({ m: 512, n: 512, k: 64 });
  const groups = (tile: Tile) => {
    const profile = { ...profiles.hardware, tiles: [{ most: 512, tile }] };
    const [task] = lower(launch, profile).tasks;
    return task && generate(task, profile)?.workgroups[0];
  };
  expect([groups(128), groups(64), groups(32)]).toEqual([16, 64, 256]);
});

test('products on matrix units take that of theirs', () => {
  const launch = matmulLaunch({ m: 512, n: 512, k: 64 });
  const groups = (tile: Tile) => {
    const profile: Profile = {
      ...profiles.hardware,
      workgroupBytes: 32768,
      tiles: [{ most: 512, tile: 32 }],
      unitTiles: [{ most: 512, tile }],
      matrixUnits: [{ component: 'f32', m: 8, n: 8, k: 8, lanes: 32 }],
    };
    const [task] = lower(launch, profile).tasks;
    return task && generate(task, profile)?.workgroups[0];
  };
  expect([groups(128), groups(64), groups(32)]).toEqual([16, 64, 256]);
});
