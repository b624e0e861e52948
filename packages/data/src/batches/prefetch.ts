/**
 * Batches made ahead of time in a worker thread, in order and equal to the synchronous ones.
 * The sprites lie in shared memory and finished batches are handed over, so nothing large is copied.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { RestrictedVocabulary } from '../text/restrict';
import type { Batch, Batches, BatchOptions } from './batches';

/** Options of {@link prefetch}. */
export interface PrefetchOptions {
  /** Batches that are ready or being made ahead of the caller; 3 by default. */
  depth?: number;
  /** The first step; 0 by default. */
  from?: number;
  /** The step before which to end; without it the batches never end. */
  to?: number;
}

/** What the worker is started with. */
export interface WorkerTask {
  options: Omit<Required<BatchOptions>, 'tokenizer'>;
  /** The cut vocabulary, or the folder of a tokenizer of files; absent for CLIP's full tokenizer. */
  vocabulary?: RestrictedVocabulary | string;
  from: number;
}

/** What the worker answers. */
export type Reply = { batch: Batch } | { error: Error };

/**
 * Iterates over batches that a worker thread makes ahead. Leaving the loop ends the worker; an error in the worker
 * is thrown to the caller by `next()`.
 */
export async function* prefetch(
  batches: Batches,
  { depth = 3, from = 0, to = Infinity }: PrefetchOptions = {},
): AsyncGenerator<Batch, void, void> {
  if (!Number.isInteger(depth) || depth < 1)
    throw new RangeError(`prefetch: depth must be a whole number from 1 up, got ${depth}`);
  const worker = startWorker(taskOf(batches, from));
  const inbox = inboxOf(worker);
  // Never more requests than steps that are left.
  let asked = Math.min(depth, to - from);
  try {
    for (let i = 0; i < asked; i++) worker.postMessage('next');
    for (let step = from; step < to; step++) {
      const batch = await inbox.take();
      if (from + asked < to) {
        worker.postMessage('next');
        asked++;
      }
      yield batch;
    }
  } finally {
    inbox.close();
    await worker.terminate();
  }
}

/** Ids of the full tokenizer. */
const CLIP_VOCABULARY = 49408;

function taskOf({ options }: Batches, from: number): WorkerTask {
  const { tokenizer, ...plain } = options;
  const vocabulary = 'toJSON' in tokenizer ? tokenizer.toJSON() : tokenizer.directory;
  if (vocabulary === undefined && tokenizer.size !== CLIP_VOCABULARY) {
    throw new TypeError(
      `prefetch: the worker can rebuild clipTokenizer(), one cut from it, or one of loadTokenizer(), not a tokenizer of ${tokenizer.size} ids`,
    );
  }
  return { options: plain, ...(vocabulary !== undefined && { vocabulary }), from };
}

/** Starts `worker` beside this file: JavaScript in a build, TypeScript through tsx in a checkout. */
function startWorker(workerData: WorkerTask): Worker {
  if (!import.meta.url.endsWith('.ts'))
    return new Worker(new URL('./worker.js', import.meta.url), { workerData });
  // Node 20 ignores loaders named in a worker's arguments, so the worker registers tsx itself.
  const tsx = new URL(
    'dist/esm/api/index.mjs',
    pathToFileURL(createRequire(import.meta.url).resolve('tsx/package.json')),
  ).href;
  const worker = new URL('./worker.ts', import.meta.url).href;
  const code = `import('${tsx}').then(({ register }) => { register(); return import('${worker}'); });`;
  return new Worker(code, { eval: true, execArgv: [], workerData });
}

interface Inbox {
  /** The next batch in order. */
  take(): Promise<Batch>;
  /** From here on the end of the worker is no error. */
  close(): void;
}

/** Queues what the worker says; while nobody waits for it, the worker does not keep the process alive. */
function inboxOf(worker: Worker): Inbox {
  const ready: Batch[] = [];
  let failure: Error | undefined;
  let closed = false;
  let wake: (() => void) | undefined;
  const fail = (error: Error) => {
    failure ??= error;
    wake?.();
  };
  worker.unref();
  worker.on('message', (reply: Reply) => {
    if ('error' in reply) return fail(reply.error);
    ready.push(reply.batch);
    wake?.();
  });
  worker.on('error', fail);
  worker.on('exit', (code) => {
    if (!closed) fail(new Error(`prefetch: the worker ended by itself with code ${code}`));
  });
  return {
    async take() {
      while (ready.length === 0) {
        if (failure) throw failure;
        worker.ref();
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        worker.unref();
      }
      return ready.shift()!;
    },
    close: () => {
      closed = true;
    },
  };
}
