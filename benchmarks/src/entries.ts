/** Who is measured: ours first, then the peers, each in a process of its own. */
import { availableParallelism } from 'node:os';
import type { Adapter } from './adapter';
import { pytorch } from './libraries/pytorch';
import type { Entry } from './process/contestant';

/** One thread for each core, as libraries do by themselves; more than 16 few of them profit from. */
export const cores = Math.min(availableParallelism(), 16);

/** An entry, or why there is none. */
export type Found = Entry | { readonly name: string; readonly reason: string };

/** The row of ours with the BLAS of the machine, which it takes if there is one. */
export const blasRow = `wasm + BLAS, ${cores} threads`;

/**
 * PyTorch's own threads and those of an OpenBLAS are two pools. The ones wait for work in a loop, on the cores that the others need
 * then: where there are few cores, that makes it several times slower. So they are told to sleep.
 */
const patientThreads = { OMP_WAIT_POLICY: process.env.OMP_WAIT_POLICY ?? 'PASSIVE' };

/** On processors. */
export async function cpuEntries(): Promise<Found[]> {
  const ours = (row: string, threads: number, blas?: boolean): Entry => ({
    name: 'clip-in',
    device: 'wasm',
    row,
    threads,
    start: { module: 'clip-in', options: { device: 'wasm', threads, blas } },
  });
  return [
    ours(`wasm, ${cores} threads`, cores, false),
    ...(cores > 1 ? [ours('wasm, 1 thread', 1, false)] : []),
    ours(blasRow, cores),
    peer('jax-js', { module: 'jax-js', options: { device: 'wasm' } }),
    peer('TensorFlow.js', { module: 'tfjs', options: { device: 'wasm' } }),
    peer('onnxruntime-web', { module: 'onnxruntime', options: { provider: 'wasm', threads: cores } }),
    peer('onnxruntime', { module: 'onnxruntime', options: { provider: 'cpu', threads: cores } }),
    await pytorch(cores).then(
      (command): Found => ({ ...peer('PyTorch', { command }), env: patientThreads }),
      (error: Error): Found => ({ name: 'PyTorch', reason: error.message }),
    ),
  ];
}

const peer = (name: string, start: Entry['start']): Entry => ({
  name,
  device: 'wasm',
  threads: cores,
  start,
});

/** On an adapter. */
export function webgpuEntries({ name, env }: Adapter): Entry[] {
  const on = (library: string, start: Entry['start'], row?: string): Entry => ({
    name: library,
    device: 'webgpu',
    threads: cores,
    start,
    env,
    ...(row !== undefined && { row }),
  });
  return [
    on('clip-in', { module: 'clip-in', options: { device: 'webgpu' } }, `webgpu, ${name}`),
    on('jax-js', { module: 'jax-js', options: { device: 'webgpu' } }),
    on('TensorFlow.js', { module: 'tfjs', options: { device: 'webgpu' } }),
    on('onnxruntime', { module: 'onnxruntime', options: { provider: 'webgpu', threads: cores } }),
  ];
}
