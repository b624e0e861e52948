/** The first step of a training, nothing cached: each library in a fresh process, with empty folders for what is kept on disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Found } from './entries';
import { type Contestant, type Entry, start } from './process/contestant';
import { send } from './process/exchange';
import { type Row, rounded } from './report';
import type { Work } from './works/work';

/** Seconds from having the numbers on the host to having read the first loss; starting the process is not counted. */
export async function firstSteps(
  work: Work,
  entries: readonly Found[],
  takesPart: (contestant: Contestant) => boolean = () => true,
): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'clipin-bench-'));
  const file = join(folder, 'problem');
  const problem = await send(await work.problem(folder), file);
  const seconds = new Map<Entry, number>();
  for (const entry of entries) {
    if ('reason' in entry) continue;
    const cache = await mkdtemp(join(folder, 'cache-'));
    const env = { ...entry.env, MESA_SHADER_CACHE_DIR: cache, XDG_CACHE_HOME: cache };
    const running = await start({ ...entry, env }).catch(() => undefined);
    if (!running) continue;
    try {
      if (!running.kinds.includes(work.kind) || !takesPart(running)) continue;
      await sleep(300); // until the process has come to rest
      const ready = await running.ask({ do: 'prepare', kind: work.kind, problem, file });
      const first = await running.ask({ do: 'run', times: 1 });
      seconds.set(entry, (ready.took ?? 0) + (first.took ?? 0));
    } catch (error) {
      console.error(
        `  ${entry.name} failed at its first step: ${error instanceof Error ? error.message : error}`,
      );
    } finally {
      running.stop();
    }
  }
  await rm(folder, { recursive: true, force: true });
  return rowsOf(work, seconds);
}

function rowsOf({ name }: Work, seconds: ReadonlyMap<Entry, number>): Row[] {
  const all = [...seconds];
  const peers = all
    .filter(([{ row }]) => row === undefined)
    .map(([peer, took]) => [peer.name, took] as const);
  return all.flatMap(([{ row }, own]): Row[] => {
    if (row === undefined) return [];
    const ratios = peers.map(([peer, took]) => [peer, rounded(took / own)] as const);
    return [
      {
        work: `first step, nothing cached: ${name}`,
        device: row,
        unit: 's',
        ours: rounded(own),
        peers: Object.fromEntries(peers.map(([peer, took]) => [peer, rounded(took)])),
        ratio: ratios.length === 0 ? 0 : Math.min(...ratios.map(([, ratio]) => ratio)),
        ratios: Object.fromEntries(ratios),
        spread: [rounded(own), rounded(own)],
      },
    ];
  });
}
