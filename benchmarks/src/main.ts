/**
 * Measures clip-in and its peers beside each other.
 *
 *     npm run bench -- --only matmul --rounds 4 --json results.json
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { blasRow, cores, cpuEntries } from './entries';
import { measureLimits } from './limit';
import { race } from './race';
import { json } from './report';
import { cpuWorks } from './works';

const { values } = parseArgs({
  options: { only: { type: 'string' }, json: { type: 'string' }, rounds: { type: 'string', default: '6' } },
});
const rounds = Number(values.rounds);
const effort = { rounds, secondsEach: 4 };
main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);

async function main() {
  console.log(
    `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}, load ${load()}`,
  );
  const limits = await measureLimits(cores);
  console.log(limits);
  const t0 = performance.now();
  const rows = await race({
    title: 'On the processor',
    entries: await cpuEntries(),
    works: cpuWorks.filter((w) => w.name.includes(values.only ?? '')),
    effort,
    limits: (e) => (e.threads === 1 ? limits.one : limits.all),
    takesPart: (c, work) =>
      (c.row !== blasRow || /blas/i.test(c.detail)) && (!work || c.threads > 1 || work.oneThread === true),
  });
  console.log((performance.now() - t0) / 1000, 's');
  if (values.json) await writeFile(resolve(process.env.INIT_CWD ?? '.', values.json), json(rows));
}
function load(): string {
  return (loadavg()[0] as number).toFixed(1);
}
