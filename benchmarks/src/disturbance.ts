/** How much of the processor other programs took while something was timed: what a median on a shared machine is worth. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Processor time so far, in milliseconds, over all cores. */
interface Used {
  readonly busy: number;
  readonly own: number;
  readonly at: number;
}

/** Linux counts processor time in hundredths of a second for programs. */
const tick = 10;

function used(pids: readonly number[]): Used {
  const busy = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  const own = pids.reduce((sum, pid) => sum + ticksOf(pid), 0) * tick;
  return { busy, own, at: performance.now() };
}

/** User and system time of a process and its threads; 0 of one that is gone. */
function ticksOf(pid: number): number {
  try {
    const afterName = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return Number(afterName[11]) + Number(afterName[12]);
  } catch {
    return 0;
  }
}

/**
 * Starts to watch. The function that it returns gives the share of all cores' time that went to other programs than these
 * since then; undefined where the operating system does not tell.
 */
export function watchOthers(pids: readonly number[]): () => number | undefined {
  if (process.platform !== 'linux') return () => undefined;
  const all = [process.pid, ...pids];
  const before = used(all);
  return () => {
    const now = used(all);
    const others = now.busy - before.busy - (now.own - before.own);
    return Math.max(0, others) / ((now.at - before.at) * cpus().length);
  };
}
