/**
 * Times the tiles of matrix products on the adapter at hand, and keeps what came out. Only where a user asks for it: the
 * rule that chooses otherwise needs no measurement.
 */
import { Pipelines } from './pipelines';
import type { Block } from './pool';
import { product } from './product';
import { CompiledProgram } from './program';
import { CommandQueue } from './queue';
import type { Profile, Tile, TileChoice } from './wgsl/profile';

/** Where tables are kept: texts by the name of the adapter. */
export interface TileStore {
  read(adapter: string): string | undefined;
  write(adapter: string, table: string): void;
}

const tiles: readonly Tile[] = [32, 64, 128];
const sides: readonly number[] = [256, 512, 1024, 2048];
/** Each candidate is timed so often, all of them in turn, and the best time counts. */
const rounds = 5;

/** The fastest tile for each size. */
export async function chooseTiles(
  time: (side: number, tile: Tile) => Promise<number>,
): Promise<readonly TileChoice[]> {
  const choices: TileChoice[] = [];
  for (const side of sides) {
    const best = new Map(tiles.map((tile) => [tile, Number.POSITIVE_INFINITY]));
    for (let round = 0; round < rounds; round++) {
      for (const tile of tiles) best.set(tile, Math.min(best.get(tile) as number, await time(side, tile)));
    }
    const [fastest] = [...best].sort(([, a], [, b]) => a - b);
    choices.push({ most: side, tile: (fastest as [Tile, number])[0] });
  }
  return choices;
}

/** The table of this adapter: as it was kept, or chosen now and kept. */
export async function tunedTiles(
  adapter: string,
  store: TileStore,
  time: (side: number, tile: Tile) => Promise<number>,
): Promise<readonly TileChoice[]> {
  const kept = parseTable(store.read(adapter));
  if (kept) return kept;
  const chosen = await chooseTiles(time);
  store.write(adapter, JSON.stringify(chosen));
  return chosen;
}

/** A kept table; undefined for one that is missing, broken, or of another version. */
function parseTable(text: string | undefined): TileChoice[] | undefined {
  try {
    const table: unknown = JSON.parse(text ?? '');
    return Array.isArray(table) && table.length === sides.length && table.every(isChoice) ? table : undefined;
  } catch {
    return undefined;
  }
}

const isChoice = (row: unknown): row is TileChoice =>
  typeof row === 'object' &&
  row !== null &&
  'most' in row &&
  'tile' in row &&
  sides.some((side) => side === row.most) &&
  tiles.some((tile) => tile === row.tile);

/** A clock for `tunedTiles`: milliseconds that a product of two square matrices of this dtype takes. */
export function productClock(
  device: GPUDevice,
  usual: Profile,
  dtype: 'f32' | 'f16' = 'f32',
): (side: number, tile: Tile) => Promise<number> {
  const pipelines = new Pipelines(device);
  const queue = new CommandQueue(device, () => undefined);
  return async (side, tile) => {
    const choice = [{ most: side, tile }];
    const profile = { ...usual, tiles: choice, unitTiles: choice };
    const program = new CompiledProgram(device, pipelines, profile, [
      product({ m: side, n: side, k: side }, { dtype }),
    ]);
    await Promise.all(program.notReady);
    const bytes = [...program.numbers.map(() => 4 * side * side), ...program.scratchBytes];
    const usage = 0x80; // STORAGE
    const blocks = bytes.map(
      (size, id): Block => ({ gpu: device.createBuffer({ size, usage }), id, bytes: size }),
    );
    const run = async () => {
      program.record(queue, blocks);
      queue.flush();
      await device.queue.onSubmittedWorkDone();
    };
    await run(); // the first is slower
    const start = performance.now();
    await run();
    const time = performance.now() - start;
    for (const { gpu } of blocks) gpu.destroy();
    program.params?.destroy();
    return time;
  };
}
