/**
 * The process of one library that runs in Node: starts it, and does what it is told. Arguments are the name of a module of
 * `libraries` and its options as JSON.
 */
import { createReadStream, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Abilities, Kind, Library, Problems, Task } from '../library';
import { receive } from './exchange';
import type { Answer, Order } from './protocol';

const [module, options] = process.argv.slice(2) as [string, string];
const answer = (message: Answer): void => void writeSync(4, `${JSON.stringify(message)}\n`);
const sayError = (error: unknown): void =>
  answer({ error: error instanceof Error ? error.message : String(error) });

main().catch(sayError);

async function main(): Promise<void> {
  const { start }: { start(options: unknown): Promise<Library> } = await import(`../libraries/${module}.ts`);
  const { detail, abilities } = await start(JSON.parse(options));
  answer({ detail, kinds: Object.keys(abilities) as Kind[] });
  let task: Task | undefined;
  for await (const line of createInterface({ input: createReadStream('', { fd: 3 }) })) {
    const order = JSON.parse(line) as Order;
    try {
      const begin = performance.now();
      if (order.do === 'prepare') {
        task = undefined;
        const prepared = await prepare(abilities, order);
        task = prepared.task;
        globalThis.gc?.(); // the numbers that were sent are not the library's memory
        answer({ took: prepared.took });
      } else if (!task) {
        throw new Error(`"${order.do}" before "prepare"`);
      } else if (order.do === 'run') {
        const numbers: (number | string)[] = [];
        for (let run = 0; run < order.times; run++) numbers.push(sayable(await task.run()));
        answer({ numbers, took: (performance.now() - begin) / 1000 });
      } else if (order.do === 'values') {
        await writeFile(order.file, await task.values());
        answer({});
      } else {
        answer({ seconds: await turn(task, order) });
      }
    } catch (error) {
      sayError(error);
    }
  }
  process.exit(0); // the benchmark is gone; threads of the library would keep the process
}

/** The task, and how long it took the library to take the problem in. */
async function prepare(
  abilities: Abilities,
  order: Extract<Order, { do: 'prepare' }>,
): Promise<{ task: Task; took: number }> {
  const problem = await receive(order.problem, order.file);
  const begin = performance.now();
  const task = await taskOf(abilities, order.kind, problem);
  return { task, took: (performance.now() - begin) / 1000 };
}

function taskOf<K extends Kind>(abilities: Abilities, kind: K, problem: unknown): Task | Promise<Task> {
  const ability = abilities[kind];
  if (!ability) throw new Error(`it has no "${kind}"`);
  return ability(problem as Problems[K]); // as `works` made it and `exchange` carried it
}

interface Turn {
  readonly seconds: number;
  readonly warm: number;
  readonly queued: number;
}

async function turn(task: Task, { seconds, warm, queued }: Turn): Promise<number[]> {
  if (warm > 0) await runsFor(task, warm, queued);
  return runsFor(task, seconds, queued);
}

/** Seconds of each of as many runs as take so long, one at least. */
async function runsFor(task: Task, seconds: number, queued: number): Promise<number[]> {
  const ahead = task.queue ? queued : 0;
  const times: number[] = [];
  const begin = performance.now();
  do {
    const start = performance.now();
    for (let run = 0; run < ahead; run++) task.queue?.();
    await task.run();
    times.push((performance.now() - start) / 1000 / (ahead + 1));
  } while (performance.now() - begin < 1000 * seconds);
  return times;
}

/** JSON has no NaN. */
const sayable = (value: number): number | string => (Number.isFinite(value) ? value : String(value));
