/** The thread that makes batches ahead of time: for each request one batch, in the order of the steps. */
import { parentPort, workerData } from 'node:worker_threads';
import { clipTokenizer } from '../text/clip-tokenizer';
import { restoreTokenizer } from '../text/restrict';
import { type Batch, createBatches } from './batches';
import type { Reply, WorkerTask } from './prefetch';

const { options, vocabulary, from } = workerData as WorkerTask;
const reply = (message: Reply, buffers: ArrayBuffer[] = []) => parentPort!.postMessage(message, buffers);

const attempt = (work: () => void): void => {
  try {
    work();
  } catch (error) {
    reply({ error: error instanceof Error ? error : new Error(String(error)) });
  }
};

attempt(() => {
  const full = clipTokenizer();
  const batches = createBatches({
    ...options,
    tokenizer: vocabulary ? restoreTokenizer(full, vocabulary) : full,
  });
  let step = from;
  parentPort!.on('message', () =>
    attempt(() => {
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
