/**
 * Times single kernels on the WebAssembly device, for people who work on it.
 *
 *     npm --prefix benchmarks run kernels -- --only attention --threads 1,2
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { Launch } from '@clipin/kernel';
import { createWasmDevice } from '@clipin/wasm';
import { type KernelWork, kernels } from './kernels';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: `1,${availableParallelism()}` },
  },
});
const counts = [...new Set(values.threads.split(',').map(Number))];

console.log(['kernel'.padEnd(34), ...counts.map((count) => `${count} thread(s)`.padStart(24))].join(''));
for (const work of kernels.filter(({ name }) => name.includes(values.only))) {
  const cells: string[] = [];
  for (const count of counts) {
    const milliseconds = await time(count, work);
    const rate = (work.amount / milliseconds / 1e6).toFixed(1);
    cells.push(`${rate} ${work.unit}, ${(milliseconds * 1000).toFixed(0)} us`.padStart(24));
  }
  console.log(work.name.padEnd(34) + cells.join(''));
}

/** Milliseconds of a run: the best of many short rounds, since other processes are seldom away for long. */
async function time(threads: number, { kernel, inputs, outputs }: KernelWork): Promise<number> {
  const device = await createWasmDevice({ threads });
  const buffers = [...inputs, ...outputs].map((length) => device.allocate('f32', length));
  for (const [input, length] of inputs.entries()) {
    const numbers = Float32Array.from({ length }, (_, i) => ((i * 37) % 101) / 101 + 0.01);
    device.write(buffers[input] as (typeof buffers)[number], numbers);
  }
  const launch: Launch = {
    kernel,
    inputs: inputs.map((_, i) => i),
    inputTypes: inputs.map(() => 'f32'),
    outputs: outputs.map((_, i) => inputs.length + i),
    outputTypes: outputs.map(() => 'f32'),
  };
  const program = device.load([launch]);
  const warm = performance.now();
  while (performance.now() - warm < 150) program.run(buffers);
  let best = Infinity;
  const begin = performance.now();
  for (let round = 0; round < 20 || performance.now() - begin < 400; round++) {
    const start = performance.now();
    const used = process.cpuUsage();
    let runs = 0;
    do {
      program.run(buffers);
      runs++;
    } while (performance.now() - start < 2);
    // With one thread, processor time: it does not count what other processes take.
    const { user, system } = process.cpuUsage(used);
    best = Math.min(best, (threads === 1 ? (user + system) / 1000 : performance.now() - start) / runs);
  }
  device.destroy();
  return best;
}
