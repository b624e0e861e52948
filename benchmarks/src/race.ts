/** Works, libraries, turns: starts the libraries, lets them do each work beside each other, prints a line a row. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchOthers } from './disturbance';
import type { Found } from './entries';
import { type Effort, type Failure, prepare, time } from './harness';
import { type Contestant, type Entry, start } from './process/contestant';
import { header, type Limits, line, memoryRow, type Row, rowOf } from './report';
import { watchResident } from './resident';
import type { Work } from './works/work';

/** What is raced. */
export interface Race {
  readonly title: string;
  readonly entries: readonly Found[];
  readonly works: readonly Work[];
  readonly effort: Effort;
  /** What the device can do at most with so many threads. */
  readonly limits: (entry: Entry) => Limits | undefined;
  /** No work is begun after so many milliseconds of the process. Default: all are done. */
  readonly until?: number;
  /** Whether a row of ours belongs to this work, and whether it is needed at all once its process says what it is. */
  readonly takesPart?: (contestant: Contestant, work?: Work) => boolean;
}

/** Starts what can be started; the others are told of in a line each. */
export async function startAll(entries: readonly Found[]): Promise<Contestant[]> {
  const started = await Promise.all(
    entries.map(async (entry) => {
      if ('reason' in entry) return entry;
      return start(entry).catch((error: Error) => ({ name: entry.name, reason: error.message }));
    }),
  );
  const running: Contestant[] = [];
  for (const one of started) {
    if ('reason' in one) console.log(`- ${one.name} does not take part: ${one.reason}`);
    else running.push(one);
  }
  return running;
}

/** Races all works. @returns a row for each of our devices and work */
export async function race({
  title,
  entries,
  works,
  effort,
  limits,
  takesPart,
  until = Infinity,
}: Race): Promise<Row[]> {
  if (works.length === 0) return [];
  console.log(`\n## ${title}\n`);
  const folder = await mkdtemp(join(tmpdir(), 'clipin-bench-'));
  const all = await startAll(entries);
  const isIn = takesPart ?? (() => true);
  const running = all.filter((contestant) => isIn(contestant));
  for (const { name, row, detail } of running) console.log(`- ${name}${row ? ` (${row})` : ''}: ${detail}`);
  const peers = running.filter(({ row }) => row === undefined);
  console.log(`\n${header(peers)}`);
  const rows: Row[] = [];
  try {
    for (const work of works) {
      if (performance.now() > until) break;
      const able = running.filter((contestant) => isIn(contestant, work));
      const { ready, failed } = await prepare(work, able, folder);
      const pids = ready.map(({ pid }) => pid);
      const [others, resident] = [watchOthers(pids), watchResident(pids)];
      const { measured, failed: late } = await time(ready, effort);
      const taken = others();
      const rivals = measured.filter(({ contestant }) => contestant.row === undefined);
      for (const own of measured.filter(({ contestant }) => contestant.row !== undefined)) {
        const row = rowOf(work, own, rivals, { limits: limits(own.contestant), taken });
        const both = work.memory ? [row, ...memoryRow(row, own, rivals, resident)] : [row];
        rows.push(...both);
        for (const one of both) console.log(line(one, peers));
      }
      tellOf(work, [...failed, ...late]);
    }
  } finally {
    for (const contestant of all) contestant.stop();
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}

function tellOf(work: Work, failed: readonly Failure[]): void {
  for (const { contestant, reason } of failed) {
    console.error(`  ${contestant.name} failed at ${work.name}: ${reason}`);
  }
}
