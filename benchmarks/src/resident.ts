/** How much memory processes had at most while something ran, as Linux counts it: pages that are resident, whoever asked for them. */
import { readFileSync, writeFileSync } from 'node:fs';

/** What has Linux begin a process's peak anew (`proc(5)`, `clear_refs`). */
const resetPeak = '5';

/**
 * Begins to watch. The function that it returns gives the peak of a process since then in MB; undefined where the operating
 * system does not tell.
 */
export function watchResident(pids: readonly number[]): (pid: number) => number | undefined {
  const watched = pids.filter(reset);
  return (pid) => (watched.includes(pid) ? peakOf(pid) : undefined);
}

function reset(pid: number): boolean {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, resetPeak);
    return true;
  } catch {
    return false;
  }
}

function peakOf(pid: number): number | undefined {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return kilobytes === undefined ? undefined : (Number(kilobytes) * 1024) / 1e6;
}
