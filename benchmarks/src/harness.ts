/** How works are checked and timed. Which works, and what is printed of it, is said elsewhere. */
import type { Library, Task } from './library';
import type { Work } from './works/work';

/** Seconds that runs of one library took. */
export interface Timing {
  readonly median: number;
  /** A quarter of the runs was faster, a quarter slower. */
  readonly quartiles: readonly [number, number];
}

/** Runs that are compared before any is timed; they also warm up. */
const comparedRuns = 5;
/** Difference between libraries that float32 allows, over the largest absolute value. */
const tolerance = 1e-4;
/** A library's turn in a round lasts as long, or one run if that is longer. */
const turnSeconds = 0.03;

/**
 * Does the work with every library and compares what comes out.
 *
 * @returns a task for each library, run a few times
 * @throws Error naming the work and the library whose results differ
 */
export async function prepare(work: Work, libraries: readonly Library[]): Promise<Task[]> {
  const tasks: Task[] = [];
  let first: { numbers: ArrayLike<number>; values: ArrayLike<number> } | undefined;
  for (const library of libraries) {
    const task = work.prepare(library);
    const numbers: number[] = [];
    for (let run = 0; run < comparedRuns; run++) numbers.push(await task.run());
    const values = await task.values();
    first ??= { numbers, values };
    compare(`${work.name}: ${library.name}, losses or element`, numbers, first.numbers);
    compare(`${work.name}: ${library.name}, values`, values, first.values);
    if (work.expected) compare(`${work.name}: ${library.name}, against float64`, values, work.expected);
    tasks.push(task);
  }
  return tasks;
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
    throw new Error(`${what}: number ${at} is ${got[at]}, not ${known[at]}; nothing was timed`);
  }
}

/** Times the tasks in turns, `rounds` times over, beginning with another one in each round. */
export async function time(tasks: readonly Task[], rounds: number): Promise<Timing[]> {
  const samples: number[][] = tasks.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < tasks.length; turn++) {
      const which = (round + turn) % tasks.length;
      samples[which]?.push(...(await timeTurn(tasks[which] as Task)));
    }
  }
  return samples.map(summarize);
}

/** One run that is not counted, since others had the caches; then runs that are, in seconds. */
async function timeTurn(task: Task): Promise<number[]> {
  await task.run();
  const seconds: number[] = [];
  const begin = performance.now();
  do {
    const start = performance.now();
    await task.run();
    seconds.push((performance.now() - start) / 1000);
  } while (performance.now() - begin < 1000 * turnSeconds);
  return seconds;
}

function summarize(samples: number[]): Timing {
  const sorted = samples.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] as number;
  return { median: at(0.5), quartiles: [at(0.25), at(0.75)] };
}
