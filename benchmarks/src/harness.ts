/** How works are checked and timed. Which works, and what is printed of it, is said elsewhere. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contestant } from './process/contestant';
import { send } from './process/exchange';
import type { Work } from './works/work';

/** Seconds that runs of one library took. */
export interface Timing {
  readonly median: number;
  /** A quarter of the runs was faster, a quarter slower. */
  readonly quartiles: readonly [number, number];
  readonly runs: number;
}

/** A library that did a work, and how long it took. */
export interface Measured {
  readonly contestant: Contestant;
  readonly timing: Timing;
}

/** A library that failed at a work, and why. */
export interface Failure {
  readonly contestant: Contestant;
  readonly reason: string;
}

/** How much is run. */
export interface Effort {
  readonly rounds: number;
  /** A library that has been timed for so long sits out the further rounds. */
  readonly secondsEach: number;
  /** Runs that are handed over before each that is read, so that reading does not count; for GPUs. Default: none. */
  readonly queued?: number;
}

/** Runs that are compared before any is timed; they also warm up. */
const usualRuns = 3;
/** Difference between libraries that float32 allows, over the largest absolute value. */
const tolerance = 1e-4;
/** A library's turn in a round lasts as long, or one run if that is longer. */
const turnSeconds = 0.1;
/**
 * Runs before it that do not count: the caches are another's, and threads that slept are woken on one core and take some
 * milliseconds to spread.
 */
const warmSeconds = 0.05;
/** A run that takes longer needs none of that. */
const longSeconds = 0.3;
/** Before each turn: threads of the one before, which wait for more work in a loop, have given up by then. */
const pauseMilliseconds = 30;

/**
 * Does the work with every library that can, and compares what comes out with the first one's; that one is ours.
 *
 * @param folder - for numbers on their way
 * @returns the libraries that are right and ready, and those that failed at it
 * @throws Error naming the work and the library whose results differ
 */
export async function prepare(
  work: Work,
  contestants: readonly Contestant[],
  folder: string,
): Promise<{ ready: Contestant[]; failed: Failure[] }> {
  const file = join(folder, 'problem');
  const problem = await problemOf(work, file, folder);
  const ready: Contestant[] = [];
  const failed: Failure[] = [];
  let first: Outcome | undefined;
  for (const contestant of contestants.filter(({ kinds }) => kinds.includes(work.kind))) {
    try {
      await contestant.ask({ do: 'prepare', kind: work.kind, problem: problem.sent, file });
      const outcome = await firstRuns(work, contestant, folder);
      first ??= outcome;
      compareAll(`${work.name}: ${contestant.name}`, outcome, first, problem.expected);
      ready.push(contestant);
    } catch (error) {
      if (error instanceof WrongResult) throw error;
      failed.push({ contestant, reason: reasonOf(error) });
    }
  }
  await rm(file);
  return { ready, failed };
}

/** Writes the problem to a file, and computes what is to come out. */
async function problemOf(work: Work, file: string, folder: string) {
  const made = await work.problem(folder);
  // The kinds of work and problem belong together; TypeScript does not follow that over a union.
  const expected = (work.expected as ((problem: unknown) => ArrayLike<number>) | undefined)?.(made);
  return { sent: await send(made, file), expected };
}

interface Outcome {
  /** What the runs returned: losses, or an element. */
  readonly numbers: readonly number[];
  readonly values: Float32Array;
}

async function firstRuns(work: Work, contestant: Contestant, folder: string): Promise<Outcome> {
  const { numbers = [] } = await contestant.ask({ do: 'run', times: work.comparedRuns ?? usualRuns });
  const file = join(folder, 'values');
  await contestant.ask({ do: 'values', file });
  const { buffer, byteOffset, byteLength } = await readFile(file);
  const values = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  await rm(file);
  return { numbers: numbers.map(Number), values };
}

const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** A library computed something else: nothing of this can be timed. */
class WrongResult extends Error {}

function compareAll(what: string, got: Outcome, first: Outcome, expected?: ArrayLike<number>): void {
  compare(`${what}, losses or element`, got.numbers, first.numbers);
  if (got.values.length !== first.values.length)
    throw new WrongResult(`${what}: ${got.values.length} values, not ${first.values.length}`);
  compare(`${what}, values`, got.values, first.values);
  if (expected) compare(`${what}, against float64`, got.values, expected);
}

/** Compares as many numbers as are known. */
function compare(what: string, got: ArrayLike<number>, known: ArrayLike<number>): void {
  let [scale, worst, at] = [0, 0, 0];
  for (let i = 0; i < known.length && !Number.isNaN(worst); i++) {
    scale = Math.max(scale, Math.abs(known[i] as number));
    const difference = Math.abs((got[i] as number) - (known[i] as number));
    if (!(difference <= worst)) [worst, at] = [difference, i]; // also when it is not a number
  }
  if (!(worst <= tolerance * scale)) {
    throw new WrongResult(`${what}: number ${at} is ${got[at]}, not ${known[at]}; nothing was timed`);
  }
}

/** Times the libraries in turns, beginning with another one in each round. One that fails is timed no more. */
export async function time(
  ready: readonly Contestant[],
  { rounds, secondsEach, queued = 0 }: Effort,
): Promise<{ measured: Measured[]; failed: Failure[] }> {
  const samples: number[][] = ready.map(() => []);
  const used = ready.map(() => 0);
  const failed = new Map<Contestant, string>();
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < ready.length; turn++) {
      const which = (round + turn) % ready.length;
      const contestant = ready[which]!;
      if (used[which]! > secondsEach || failed.has(contestant)) continue;
      await sleep(pauseMilliseconds);
      const begin = performance.now();
      try {
        samples[which]!.push(...(await timeTurn(contestant, samples[which]!, queued)));
      } catch (error) {
        failed.set(contestant, reasonOf(error));
      }
      used[which]! += (performance.now() - begin) / 1000;
    }
  }
  const measured = ready.map((contestant, i) => ({ contestant, timing: summarize(samples[i]!) }));
  return {
    measured: measured.filter(({ contestant }) => !failed.has(contestant)),
    failed: [...failed].map(([contestant, reason]) => ({ contestant, reason })),
  };
}

async function timeTurn(
  contestant: Contestant,
  before: readonly number[],
  queued: number,
): Promise<readonly number[]> {
  const warm = Math.min(...before) < longSeconds || before.length === 0 ? warmSeconds : 0;
  const { seconds = [] } = await contestant.ask({ do: 'turn', seconds: turnSeconds, warm, queued });
  return seconds;
}

/** Median and quartiles. */
export function summarize(samples: readonly number[]): Timing {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] as number;
  return { median: at(0.5), quartiles: [at(0.25), at(0.75)], runs: sorted.length };
}
