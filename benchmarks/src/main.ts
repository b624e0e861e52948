/**
 * Measures clip-in and its peers beside each other, in one process.
 *
 *     npm run bench -- --only matmul --rounds 4 --json results.json
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { prepare, time } from './harness';
import { clipIn } from './libraries/clip-in';
import { jaxJs } from './libraries/jax-js';
import { tfjs } from './libraries/tfjs';
import { measureLimit } from './limit';
import { header, json, line, type Measured, type Row, rowOf } from './report';
import { works } from './works';

const { values } = parseArgs({
  options: { only: { type: 'string' }, json: { type: 'string' }, rounds: { type: 'string', default: '8' } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  throw new Error(`--rounds: got "${values.rounds}"; wants a whole number of at least 1`);
}
const wanted = works.filter(({ name }) => name.includes(values.only ?? ''));
if (wanted.length === 0) {
  throw new Error(
    `--only: no work has "${values.only}" in its name; there are ${works.map(({ name }) => `"${name}"`).join(', ')}`,
  );
}

main().then(
  () => process.exit(0), // threads of the libraries would keep the process
  (error: unknown) => {
    console.error(error); // here, since TensorFlow.js would print a page of its code with it
    process.exit(1);
  },
);

async function main(): Promise<void> {
  const threads = [...new Set([1, Math.min(availableParallelism(), 16)])];
  // In this order: TensorFlow.js leaves a global `Worker` behind, which jax-js would take for a browser's.
  const peers = [await jaxJs(), await tfjs()];
  const libraries = [...(await Promise.all(threads.map(clipIn))), ...peers];

  console.log(
    `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}, load ${load()} at the start\n`,
  );
  const limit = measureLimit(); // after the devices: one of them may have set the flag of V8 for relaxed SIMD
  console.log(
    `Limit of one core: ${limit.flops.toFixed(1)} GFLOP/s of ${limit.fused ? 'fused' : 'separate'} SIMD ` +
      `multiply-adds in WebAssembly, ${limit.bytes.toFixed(1)} GB/s copied\n`,
  );
  console.log(header(peers));
  const rows: Row[] = [];
  for (const work of wanted) {
    const tasks = await prepare(work, libraries);
    const timings = await time(tasks, rounds);
    const measured = libraries.map((library, i) => ({ library, timing: timings[i] }) as Measured);
    const [ours, others] = [measured.slice(0, threads.length), measured.slice(threads.length)];
    for (const own of ours) {
      const row = rowOf(work, own, others, limit);
      rows.push(row);
      console.log(line(work, row, [own, ...others]));
    }
  }
  console.log(`\nMedian (quartiles) of ${rounds} rounds; load ${load()} at the end.`);
  // npm runs this in another folder than the one it was called in.
  if (values.json) await writeFile(resolve(process.env.INIT_CWD ?? '.', values.json), json(rows));
}

function load(): string {
  return (loadavg()[0] as number).toFixed(1);
}
