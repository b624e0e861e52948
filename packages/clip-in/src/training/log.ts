/** The numbers of every step of a run, one JSON line each, so that a resumed run can draw whole curves. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Metrics } from './loop';

/** One step of a stage. */
export interface StepLog {
  readonly step: number;
  readonly metrics: Metrics;
}

/** A growing log. */
export interface RunLog {
  readonly entries: readonly StepLog[];
  add(entry: StepLog): void;
}

/** Opens a log. What came after step `resumeAfter`, and a line that a killed process left half written, is dropped. */
export function openLog(file: string, resumeAfter: number): RunLog {
  mkdirSync(dirname(file), { recursive: true });
  const entries =
    resumeAfter > 0 && existsSync(file) ? readEntries(file).filter(({ step }) => step <= resumeAfter) : [];
  // Beside it, then renamed: a process killed here must not leave a log that is cut short.
  writeFileSync(`${file}.new`, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
  renameSync(`${file}.new`, file);
  return {
    entries,
    add(entry) {
      entries.push(entry);
      appendFileSync(file, `${JSON.stringify(entry)}\n`);
    },
  };
}

function readEntries(file: string): StepLog[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line): StepLog[] => {
      try {
        return [JSON.parse(line) as StepLog];
      } catch {
        return []; // the empty end of the file, or a torn last line
      }
    });
}
