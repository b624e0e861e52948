/**
 * One command for whatever adapter there is: checks every kind of work against the float64 interpreter, then measures every work
 * and compares with what the adapter can do at most. Within ten minutes; what there was no time for is named. On an
 * adapter that computes on the processor sizes are small, and the run is a test of this command.
 *
 *     npm --prefix benchmarks run gpu
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Adapter, findAdapter } from '../adapter';
import { measureApart } from '../apart/apart';
import type { Peak } from '../apart/peak';
import { webgpuEntries } from '../entries';
import { firstSteps } from '../first-step';
import { prepare } from '../harness';
import type { Entry } from '../process/contestant';
import { race, startAll } from '../race';
import { plainTable, type Row } from '../report';
import { gpuWorks, softwareAdapterWorks } from '../works';
import { blockStep } from '../works/block-step';
import { checkWorks } from '../works/checks';

const minutes = 10;
/** The first step, which comes last, and writing need so much of that. */
const reservedSeconds = 60;
const results = fileURLToPath(new URL('../../results/', import.meta.url));

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);

async function main(): Promise<void> {
  const adapter = await findAdapter();
  console.log(`${adapter.name}; ${cpus()[0]?.model}, Node ${process.version}`);
  const [ours] = webgpuEntries(adapter) as [Entry];
  const until = 1000 * (60 * minutes - reservedSeconds);
  const checked = await check(ours);
  console.log(`${checked} works agree with the float64 interpreter`);
  const peak = await measureApart<Peak>('peak', adapter.env);
  console.log(
    `At most ${peak.flops.toFixed(1)} GFLOP/s of multiply-adds, ${peak.bytes.toFixed(1)} GB/s copied; ${peak.units.length ? `matrix units: ${peak.units.join(', ')}` : 'no matrix units'}`,
  );
  const works = adapter.software ? softwareAdapterWorks : gpuWorks;
  const rows = await race({
    title: adapter.name,
    entries: [ours],
    works,
    effort: { rounds: adapter.software ? 2 : 5, secondsEach: 4, queued: adapter.software ? 0 : 9 },
    limits: () => peak,
    until,
  });
  const left = works.filter(({ name }) => !rows.some(({ work }) => work === name)).map(({ name }) => name);
  const first = await firstSteps(blockStep(), [ours]);
  console.log(`\n${plainTable(first)}`);
  console.log(`\nWritten to ${await write(adapter, { peak, checked, left, rows: [...rows, ...first] })}`);
}

/** Does all checks on the adapter and in float64. @throws Error naming what differs */
async function check(ours: Entry): Promise<number> {
  const { row: _, ...interpreter } = {
    ...ours,
    name: 'float64',
    start: { module: 'clip-in', options: { device: 'reference' } },
  };
  const folder = await mkdtemp(join(tmpdir(), 'clipin-gpu-'));
  const both = await startAll([interpreter, ours]);
  try {
    if (both.length < 2) throw new Error('the checks need both the adapter and the interpreter');
    for (const work of checkWorks) {
      const { failed } = await prepare(work, both, folder);
      for (const { contestant, reason } of failed) {
        throw new Error(`${work.name} failed on ${contestant.name}: ${reason}`);
      }
    }
  } finally {
    for (const contestant of both) contestant.stop();
    await rm(folder, { recursive: true, force: true });
  }
  return checkWorks.length;
}

interface Outcome {
  readonly peak: Peak;
  readonly checked: number;
  /** Works for which there was no time, or which failed. */
  readonly left: readonly string[];
  readonly rows: readonly Row[];
}

async function write({ name }: Adapter, outcome: Outcome): Promise<string> {
  const slug = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  const file = join(results, `gpu-${slug}.json`);
  const machine = { adapter: name, processor: cpus()[0]?.model, node: process.version };
  await mkdir(results, { recursive: true });
  await writeFile(file, `${JSON.stringify({ ...machine, ...outcome }, undefined, 1)}\n`);
  return file;
}
