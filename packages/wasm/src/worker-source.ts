/**
 * The program of a worker thread, as text so that no bundler has to know of it. It waits for a step to be published
 * in the control words, takes pieces of it until none is left, and waits again. See `threads.ts` for the protocol.
 */

import { cblas } from './blas';
import { sgemmDeclaration } from './system-blas';

/** Places of the control words in 32-bit steps; those that threads fight over lie on lines of their own. */
export const control = {
  /** The step's number in the high bits, the next piece in the low ones. */
  cursor: 0,
  /** Pieces finished. */
  done: 16,
  sleepers: 32,
  failed: 33,
  quit: 34,
  task: 48,
  pointers: 49,
  items: 50,
  pieceItems: 51,
  pieces: 52,
  shared: 53,
  own: 54,
  ownBytes: 55,
} as const;

/** Words that the control area takes. */
export const controlWords = 64;

export const pieceBits = 10;
/** The piece number that says that none is left. */
export const noPiece = 2 ** pieceBits - 1;

/**
 * A worker looks this often for the next step before it goes to sleep, some half a millisecond: longer than what the main thread does
 * between two steps of training, since a thread that is woken may be put on the core of the one that woke it.
 */
export const idleSpins = 100_000;

/** Source text of the worker. */
export const workerSource = `
const { parentPort, workerData, receiveMessageOnPort } = require('node:worker_threads');
const { memory, base, number, port, blas } = workerData;
const words = new Int32Array(memory.buffer, base, ${controlWords});
const at = ${JSON.stringify(control)};
const tasks = [];
const env = { memory, sin: Math.sin, cos: Math.cos, sgemm: blas ? bindBlas(blas) : () => {} };

function bindBlas({ koffi, library, setUp, base }) {
  const opened = require(koffi).load(library);
  for (const { declaration, argument } of setUp) opened.func(declaration)(argument);
  const sgemm = opened.func('${sgemmDeclaration}');
  return (transposeA, transposeB, m, n, k, a, leadingA, b, leadingB, c, leadingC) => sgemm(
    ${cblas.rowMajor}, transposeA, transposeB, m, n, k, 1,
    base + (a >>> 0), leadingA, base + (b >>> 0), leadingB, 0, base + (c >>> 0), leadingC,
  );
}

function receiveTasks() {
  for (let received; (received = receiveMessageOnPort(port)); ) {
    const { module, names, first } = received.message;
    const { exports } = new WebAssembly.Instance(module, { env });
    names.forEach((name, i) => { tasks[first + i] = exports[name]; });
  }
}

function waitForStep(seen) {
  for (let i = 0; i < ${idleSpins}; i++) {
    if (Atomics.load(words, at.cursor) !== seen) return;
  }
  Atomics.add(words, at.sleepers, 1);
  Atomics.wait(words, at.cursor, seen);
  Atomics.sub(words, at.sleepers, 1);
}

function takePieces() {
  const cursor = Atomics.load(words, at.cursor);
  const piece = cursor & ${noPiece};
  if (piece === ${noPiece}) return waitForStep(cursor);
  const task = words[at.task], pointers = words[at.pointers], items = words[at.items];
  const pieceItems = words[at.pieceItems], pieces = words[at.pieces];
  const shared = words[at.shared], own = words[at.own] + number * words[at.ownBytes];
  const next = piece + 1 === pieces ? cursor | ${noPiece} : cursor + 1;
  // The step is still the one whose words were read if the cursor is: then the piece is ours.
  if (Atomics.compareExchange(words, at.cursor, cursor, next) !== cursor) return;
  try {
    if (tasks[task] === undefined) receiveTasks();
    tasks[task](pointers, piece * pieceItems, Math.min(items, (piece + 1) * pieceItems), shared, own);
  } catch (error) {
    port.postMessage(String((error && error.stack) || error));
    Atomics.store(words, at.failed, 1);
  }
  if (Atomics.add(words, at.done, 1) + 1 === pieces) Atomics.notify(words, at.done);
}

parentPort.postMessage('started');
while (Atomics.load(words, at.quit) === 0) takePieces();
process.exit(0);
`;
