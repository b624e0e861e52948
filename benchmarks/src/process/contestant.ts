/** A library's process, seen from the benchmark: started, told what to do, stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Kind } from '../library';
import { relaxedSimdFlags } from '../limit';
import type { Answer, Order } from './protocol';

/** Which library, and how its process is started. */
export interface Entry {
  /** For the table: `PyTorch`. */
  readonly name: string;
  readonly device: 'wasm' | 'webgpu';
  /** Set for ours: how the row is named. */
  readonly row?: string;
  /** Threads that it may use. */
  readonly threads: number;
  /** A module of `libraries` and its options; or a command of its own. */
  readonly start:
    | { readonly module: string; readonly options?: object }
    | { readonly command: readonly [string, ...string[]] };
  readonly env?: Readonly<Record<string, string>>;
}

/** A library that runs and waits for orders. */
export interface Contestant extends Entry {
  readonly pid: number;
  readonly detail: string;
  readonly kinds: readonly Kind[];
  /** @throws Error with the library's own words when it could not be done */
  ask(order: Order): Promise<Answer>;
  stop(): void;
}

const worker = fileURLToPath(new URL('worker.ts', import.meta.url));
/** A library that says nothing for so long has hung. */
const patienceSeconds = 180;

/**
 * Flags of every Node process: those of this one, and relaxed SIMD where V8 has it but hides it, for all libraries alike; and the
 * collector, with which a process throws away the numbers that it was sent.
 */
const nodeFlags = [...process.execArgv, ...relaxedSimdFlags(), '--expose-gc'];

/**
 * Starts a library in a process of its own.
 *
 * @throws Error with the reason, one line, when it does not start
 */
export async function start(entry: Entry): Promise<Contestant> {
  const { child, ask, first, stop } = open(entry);
  const { detail, kinds } = await first.catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  return { ...entry, pid: child.pid ?? 0, detail: detail ?? '', kinds: kinds ?? [], ask, stop };
}

function open(entry: Entry) {
  const child = spawnEntry(entry);
  const [orders, answers] = [child.stdio[3] as Writable, child.stdio[4] as Readable];
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      said.push(
        ...String(chunk)
          .split('\n')
          .filter((text) => text.trim() !== ''),
      );
      said.splice(0, said.length - 20);
    });
  }
  const waiting: { resolve(answer: Answer): void; reject(error: Error): void }[] = [];
  createInterface({ input: answers }).on('line', (line) => {
    const message = JSON.parse(line) as Answer;
    const next = waiting.shift();
    if (message.error === undefined) next?.resolve(message);
    else next?.reject(new Error(message.error.split('\n')[0]));
  });
  let gone: Error | undefined;
  const fail = (error: Error) => {
    gone ??= error;
    for (const next of waiting.splice(0)) next.reject(gone);
  };
  child.on('error', fail);
  child.on('exit', (code, signal) =>
    fail(new Error(`its process ended (${signal ?? `code ${code}`}): ${said.at(-1) ?? 'it said nothing'}`)),
  );
  orders.on('error', () => undefined); // the process ended; `exit` says so
  const next = () =>
    new Promise<Answer>((resolve, reject) => {
      if (gone) return reject(gone);
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        reject(new Error(`no answer for ${patienceSeconds} s`));
      }, 1000 * patienceSeconds);
      const settled =
        <T>(settle: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          settle(value);
        };
      waiting.push({ resolve: settled(resolve), reject: settled(reject) });
    });
  return {
    child,
    first: next(),
    ask(order: Order) {
      const reply = next();
      orders.write(`${JSON.stringify(order)}\n`);
      return reply;
    },
    stop: () => void child.kill('SIGKILL'),
  };
}

function spawnEntry({ start, env }: Entry): ChildProcess {
  const [command, args] =
    'command' in start
      ? [start.command[0], start.command.slice(1)]
      : [process.execPath, [...nodeFlags, worker, start.module, JSON.stringify(start.options ?? {})]];
  return spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
}
