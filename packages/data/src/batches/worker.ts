/** The thread that makes batches ahead of time: for each request one batch, in the order of the steps. */
import { parentPort, workerData } from 'node:worker_threads';
import { clipTokenizer } from '../text/clip-tokenizer';
import { loadTokenizer } from '../text/load-tokenizer';
import { restoreTokenizer } from '../text/restrict';
import type { Tokenizer } from '../text/tokenizer';
import { type Batch, createBatches } from './batches';
import type { Reply, WorkerTask } from './prefetch';

const { options, vocabulary, from } = workerData as WorkerTask;
const reply = (message: Reply, buffers: ArrayBuffer[] = []) => parentPort!.postMessage(message, buffers);

const attempt = async (work: () => void | Promise<void>): Promise<void> => {
  try {
    await work();
  } catch (error) {
    reply({ error: error instanceof Error ? error : new Error(String(error)) });
  }
};

async function tokenizerOf(vocabulary: WorkerTask['vocabulary']): Promise<Tokenizer> {
  if (typeof vocabulary === 'string') return await loadTokenizer(vocabulary);
  const full = clipTokenizer();
  return vocabulary ? restoreTokenizer(full, vocabulary) : full;
}

// Messages that come before there is somebody to read them wait.
void attempt(async () => {
  const batches = createBatches({ ...options, tokenizer: await tokenizerOf(vocabulary) });
  let step = from;
  parentPort!.on(
    'message',
    () =>
      void attempt(() => {
        const batch = batches.at(step++);
        reply({ batch }, buffersOf(batch));
      }),
  );
});

function buffersOf({ triplets, edits }: Batch): ArrayBuffer[] {
  return [...Object.values(triplets), ...Object.values(edits)].map(
    (array: Float32Array | Int32Array) => array.buffer as ArrayBuffer,
  );
}
