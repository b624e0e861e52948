/**
 * Steps of work spread over threads. The main thread publishes a step in control words of the shared memory; every
 * thread, the main one too, takes pieces by moving a cursor; when all pieces are finished the next step may follow.
 * A thread that comes late finds nothing to do: nobody waits for it. What a piece computes does not depend on who
 * takes it.
 */
import type { MessagePort, Worker } from 'node:worker_threads';
import { isNode } from './features';
import { importedFunctions } from './module';
import type { SystemBlas } from './system-blas';
import { control, controlWords, noPiece, pieceBits, workerSource } from './worker-source';

/** `run(pointers, begin, end, shared, own)` of generated code. */
type Task = (pointers: number, begin: number, end: number, shared: number, own: number) => void;

/** One stage of a launch, ready to run. */
export interface Step {
  /** Number of its function. */
  readonly task: number;
  /** Address of the launch's buffer addresses. */
  readonly pointers: number;
  readonly items: number;
  readonly pieceItems: number;
  readonly pieces: number;
}

/** Most pieces of one step. */
export const mostPieces = noPiece - 1;

/** Looks at the pieces of others this often before the main thread goes to sleep: it may be on the core that they need. */
const spins = 20_000;

/** A step whose pieces make no progress for so long means that a thread died. */
const lostMilliseconds = 120_000;

interface Thread {
  readonly worker: Worker;
  readonly port: MessagePort;
}

/** The threads of a device; with none beside the main one, everything runs there. */
export class Threads {
  private readonly tasks: Task[] = [];
  private words: Int32Array;
  private sequence = 0;
  private receive: typeof import('node:worker_threads').receiveMessageOnPort | undefined;
  private readonly others: Thread[] = [];
  /** Why the threads cannot be used any more. */
  lost: Error | undefined;

  private constructor(
    private readonly memory: WebAssembly.Memory,
    base: number,
    private readonly blas: SystemBlas | undefined,
  ) {
    this.words = new Int32Array(memory.buffer, base, controlWords);
    this.words.fill(0);
    this.words[control.cursor] = noPiece;
  }

  /** Bytes of control words that `start` wants. */
  static readonly controlBytes = controlWords * 4;

  /**
   * Starts `count − 1` workers beside the main thread. `base` is the address of the control words, `blas` what generated
   * code calls for matrix products.
   */
  static async start(
    memory: WebAssembly.Memory,
    base: number,
    count: number,
    blas?: SystemBlas,
  ): Promise<Threads> {
    const threads = new Threads(memory, base, blas);
    if (count > 1 && isNode) await threads.startWorkers(base, count);
    return threads;
  }

  /** Threads, the main one included. */
  get count(): number {
    return this.others.length + 1;
  }

  private async startWorkers(base: number, count: number): Promise<void> {
    const { MessageChannel, receiveMessageOnPort, Worker } = await import('node:worker_threads');
    this.receive = receiveMessageOnPort;
    const started: Promise<void>[] = [];
    for (let number = 1; number < count; number++) {
      const { port1, port2 } = new MessageChannel();
      const worker = new Worker(workerSource, {
        eval: true,
        workerData: { memory: this.memory, base, number, port: port2, blas: this.blas?.location },
        transferList: [port2],
        execArgv: [],
      });
      port1.unref();
      worker.on('error', (error) => {
        this.lost ??= new Error(`wasm: a thread died: ${error.message}`, { cause: error });
      });
      this.others.push({ worker, port: port1 });
      started.push(
        new Promise((resolve) => {
          worker.once('message', () => resolve());
          worker.once('exit', () => resolve());
        }),
      );
    }
    // A process that ends while a thread opens the BLAS would be aborted by the foreign-function library.
    if (this.blas) await Promise.all(started);
    for (const { worker } of this.others) worker.unref();
  }

  /** Makes functions known to all threads; gives the number of the first. */
  addTasks(module: WebAssembly.Module, names: readonly string[]): number {
    const first = this.tasks.length;
    const { exports } = new WebAssembly.Instance(module, {
      env: { memory: this.memory, ...importedFunctions, ...(this.blas && { sgemm: this.blas.sgemm }) },
    });
    for (const name of names) this.tasks.push(exports[name] as Task);
    for (const { port } of this.others) port.postMessage({ module, names, first });
    return first;
  }

  /** Runs steps one after the other. `own` is the address of the threads' scratch areas of `ownBytes` each. */
  run(steps: readonly Step[], shared: number, own: number, ownBytes: number): void {
    if (this.lost) throw this.lost;
    const { words } = this;
    words[control.shared] = shared;
    words[control.own] = own;
    words[control.ownBytes] = ownBytes;
    for (const step of steps) {
      if (step.items === 0) continue;
      if (step.pieces === 1) (this.tasks[step.task] as Task)(step.pointers, 0, step.items, shared, own);
      else this.share(step, shared, own);
    }
  }

  private share(step: Step, shared: number, own: number): void {
    const { words } = this;
    const task = this.tasks[step.task] as Task;
    const { items, pieceItems, pieces } = step;
    words[control.task] = step.task;
    words[control.pointers] = step.pointers;
    words[control.items] = items;
    words[control.pieceItems] = pieceItems;
    words[control.pieces] = pieces;
    words[control.done] = 0;
    this.sequence = (this.sequence + 1) | 0;
    Atomics.store(words, control.cursor, this.sequence << pieceBits);
    if (Atomics.load(words, control.sleepers) > 0) Atomics.notify(words, control.cursor);
    let failure: unknown;
    for (;;) {
      const cursor = Atomics.load(words, control.cursor);
      const piece = cursor & noPiece;
      if (piece === noPiece) break;
      const next = piece + 1 === pieces ? cursor | noPiece : cursor + 1;
      if (Atomics.compareExchange(words, control.cursor, cursor, next) !== cursor) continue;
      try {
        task(step.pointers, piece * pieceItems, Math.min(items, (piece + 1) * pieceItems), shared, own);
      } catch (error) {
        failure = error;
      }
      Atomics.add(words, control.done, 1);
    }
    this.awaitPieces(pieces);
    const failureOfOthers =
      Atomics.exchange(words, control.failed, 0) === 0 ? undefined : this.receiveFailure();
    if (failure !== undefined) throw failure;
    if (failureOfOthers) throw failureOfOthers;
  }

  private awaitPieces(pieces: number): void {
    const { words } = this;
    for (let i = 0; i < spins; i++) if (Atomics.load(words, control.done) === pieces) return;
    for (;;) {
      const done = Atomics.load(words, control.done);
      if (done === pieces) return;
      if (Atomics.wait(words, control.done, done, lostMilliseconds) === 'timed-out') {
        this.lost = new Error(
          `wasm: a thread died or hangs: ${done} of ${pieces} pieces were finished after ${lostMilliseconds / 1000} s; make a new device`,
        );
        throw this.lost;
      }
    }
  }

  private receiveFailure(): Error {
    const texts: string[] = [];
    for (const { port } of this.others) {
      for (let got = this.receive?.(port); got; got = this.receive?.(port)) texts.push(String(got.message));
    }
    return new Error(`wasm: a thread failed: ${texts.join('; ') || 'no message'}`);
  }

  /** Ends the threads. */
  stop(): void {
    this.lost ??= new Error('wasm: the device was destroyed');
    Atomics.store(this.words, control.quit, 1);
    Atomics.add(this.words, control.cursor, 1 << pieceBits);
    Atomics.notify(this.words, control.cursor);
    for (const { worker, port } of this.others) {
      port.close();
      void worker.terminate();
    }
    this.others.length = 0;
  }
}
