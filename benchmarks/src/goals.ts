/** What the numbers are to show on a machine with two cores, and whether the rows of a run show it. */
import type { Row } from './report';

/** A bar, and what was reached. */
export interface Verdict {
  readonly measure: string;
  readonly goal: number;
  /** Undefined where the rows or the peer are not there. */
  readonly reached: number | undefined;
}

interface Goal {
  readonly measure: string;
  readonly goal: number;
  readonly reached: (rows: readonly Row[]) => number | undefined;
}

type Device = 'wasm' | 'wasm + BLAS' | 'webgpu' | 'host';

/** The row of a work on a device; on wasm the one with all threads. */
const rowOn = (rows: readonly Row[], device: Device, name: string) =>
  rows.find(
    (row) =>
      row.work.startsWith(name) && row.device.startsWith(`${device},`) && !/\b1 thread$/.test(row.device),
  );

/** Ratio to the best of these peers; all of them where none is named. */
const beside =
  (device: Device, work: string, ...peers: string[]) =>
  (rows: readonly Row[]): number | undefined => {
    const ratios = Object.entries(rowOn(rows, device, work)?.ratios ?? {});
    const wanted = ratios.filter(([peer]) => peers.length === 0 || peers.includes(peer));
    return wanted.length === 0 ? undefined : Math.min(...wanted.map(([, ratio]) => ratio));
  };

const against =
  (form: string) =>
  (rows: readonly Row[]): number | undefined => {
    const [own, plain] = [form, 'A·B'].map((name) => rowOn(rows, 'wasm', `matmul 1024 ${name}`)?.ours);
    return own === undefined || plain === undefined ? undefined : own / plain;
  };

const javascript = ['jax-js', 'TensorFlow.js'];
const [product, mlp, block, demo] = [
  'matmul 1024 A·B',
  'MLP 784-256-10',
  'transformer block training step',
  'CLIP-IN demo step',
];

const goals: readonly Goal[] = [
  {
    measure: `${product}, beside the better of jax-js and TensorFlow.js`,
    goal: 3.5,
    reached: beside('wasm', product, ...javascript),
  },
  {
    measure: `${product}, beside onnxruntime-web`,
    goal: 2,
    reached: beside('wasm', product, 'onnxruntime-web'),
  },
  { measure: `${product}, beside PyTorch`, goal: 0.55, reached: beside('wasm', product, 'PyTorch') },
  {
    measure: `${product} with an installed BLAS, beside PyTorch`,
    goal: 0.95,
    reached: beside('wasm + BLAS', product, 'PyTorch'),
  },
  { measure: 'matmul 1024 Aᵀ·B, beside A·B', goal: 0.85, reached: against('Aᵀ·B') },
  { measure: 'matmul 1024 A·Bᵀ, beside A·B', goal: 0.85, reached: against('A·Bᵀ') },
  { measure: 'MLP step, beside jax-js', goal: 3, reached: beside('wasm', mlp, 'jax-js') },
  {
    measure: 'block step, beside the better of jax-js and TensorFlow.js',
    goal: 10,
    reached: beside('wasm', block, ...javascript),
  },
  { measure: 'block step, beside PyTorch', goal: 1, reached: beside('wasm', block, 'PyTorch') },
  { measure: 'CLIP-IN demo step, beside PyTorch', goal: 1, reached: beside('wasm', demo, 'PyTorch') },
  {
    measure: `${product} on WebGPU, beside the best peer there`,
    goal: 1.3,
    reached: beside('webgpu', product),
  },
  {
    measure: 'block step on WebGPU, beside the better JavaScript peer there',
    goal: 3,
    reached: beside('webgpu', block, ...javascript),
  },
  {
    measure: 'first block step on WebGPU, nothing cached: 5 s over its time',
    goal: 1,
    reached: (rows) => over(5, rowOn(rows, 'webgpu', 'first step')),
  },
  {
    measure: 'host cost of a replayed kernel: 6 µs over it',
    goal: 1,
    reached: (rows) => over(6, rowOn(rows, 'host', 'host cost')),
  },
  {
    measure: 'memory peak of a training step: what is live over it, the worst',
    goal: 1 / 1.15,
    reached: (rows) => {
      const found = rows.filter(({ work }) => work.startsWith('memory peak')).map(({ ratio }) => ratio);
      return found.length === 0 ? undefined : Math.min(...found);
    },
  },
];

const over = (allowed: number, row: Row | undefined) => row && allowed / row.ours;

/** The verdicts that the rows allow. */
export const verdicts = (rows: readonly Row[]): Verdict[] =>
  goals
    .map(({ measure, goal, reached }) => ({ measure, goal, reached: reached(rows) }))
    .filter(({ reached }) => reached !== undefined);

/** As a Markdown table. */
export const verdictTable = (all: readonly Verdict[]): string =>
  [
    '| measure | at least | reached | |\n| --- | ---: | ---: | --- |',
    ...all.map(
      ({ measure, goal, reached = 0 }) =>
        `| ${measure} | ${goal.toFixed(2)} | ${reached.toFixed(2)} | ${reached >= goal ? 'yes' : 'no'} |`,
    ),
  ].join('\n');
