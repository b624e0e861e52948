/**
 * Measures clip-in and its peers beside each other.
 *
 *     npm run bench -- --only matmul --rounds 4 --device wasm --json results.json --html results.html
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { dirname, resolve } from 'node:path';
import { type Adapter, findAdapter } from './adapter';
import { measureApart } from './apart/apart';
import type { Peak } from './apart/peak';
import { growthRows, hostRows, memoryRows } from './apart/rows';
import { type Options, parseOptions } from './command-line';
import { blasRow, cores, cpuEntries, type Found, webgpuEntries } from './entries';
import { firstSteps } from './first-step';
import { verdicts, verdictTable } from './goals';
import { type Limit, measureLimits } from './limit';
import { page } from './page';
import type { Contestant } from './process/contestant';
import { race } from './race';
import { json, plainTable, type Row } from './report';
import { cpuWorks, gpuWorks, softwareAdapterWorks } from './works';
import { blockStep } from './works/block-step';
import type { Work } from './works/work';

const options = readOptions();
const { rounds, devices } = options;

/** Parts of the run by name, in their order. `--only` takes those that have its text in the name of one of their works. */
interface Part {
  readonly names: readonly string[];
  readonly on: 'wasm' | 'webgpu';
  rows(): Promise<Row[]>;
}

main().then(() => process.exit(0), fail);

/** An error is for people: its words without the place in the code. */
function fail(error: unknown): never {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

function readOptions(): Options {
  try {
    const read = parseOptions(process.argv.slice(2));
    for (const file of [read.json, read.html]) if (file) checkFolder(fromCaller(file));
    return read;
  } catch (error) {
    return fail(error);
  }
}

async function main(): Promise<void> {
  const machine = `${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}`;
  const begin = load();
  console.log(`${machine}, load ${begin} at the start`);
  console.log(`Environment of all libraries: ${environment()}`);
  const limits = await measureLimits(cores);
  console.log(`Limit of one core: ${limitText(limits.one)}\nLimit of ${cores}: ${limitText(limits.all)}`);
  const adapter = devices.includes('webgpu') ? await adapterOrReason() : undefined;
  const parts = partsOf(limits, await cpuEntries(), adapter).filter(
    ({ on, names }) => devices.includes(on) && names.some(isWanted),
  );
  if (parts.length === 0) throw new Error(`--only: no work has "${options.only.join('" or "')}" in its name`);
  const rows: Row[] = [];
  for (const part of parts) rows.push(...(await part.rows()));
  const all = verdicts(rows);
  if (all.length > 0) console.log(`\n## Bars\n\n${verdictTable(all)}`);
  const note = `Median (quartiles) of ${rounds} rounds; load ${begin} at the start, ${load()} at the end.`;
  console.log(`\n${note}`);
  if (options.json) await writeFile(fromCaller(options.json), json(rows));
  if (options.html) await writeFile(fromCaller(options.html), page({ rows, verdicts: all, machine, note }));
}

function partsOf(limits: { one: Limit; all: Limit }, entries: readonly Found[], adapter?: Adapter): Part[] {
  const onCpu: Part[] = [
    {
      names: cpuWorks.map(nameOf),
      on: 'wasm',
      rows: () =>
        race({
          title: 'On the processor',
          entries,
          works: cpuWorks.filter((work) => isWanted(work.name)),
          effort: { rounds, secondsEach: 4 },
          limits: ({ threads }) => (threads === 1 ? limits.one : limits.all),
          takesPart: onProcessor,
        }),
    },
    tablePart('wasm', 'Memory', ['memory peak'], memoryRows),
    tablePart('wasm', 'Growth of a training step', ['growth'], growthRows),
    tablePart('wasm', 'First step', ['first step'], () =>
      firstSteps(blockStep(), entries, (contestant) => onProcessor(contestant)),
    ),
  ];
  if (!adapter) return onCpu;
  const works = adapter.software ? softwareAdapterWorks : gpuWorks;
  const peers = webgpuEntries(adapter);
  return [
    ...onCpu,
    {
      names: works.map(nameOf),
      on: 'webgpu',
      async rows() {
        const peak = await measureApart<Peak>('peak', adapter.env);
        return race({
          title: `On ${adapter.name}: at most ${peak.flops.toFixed(1)} GFLOP/s, ${peak.bytes.toFixed(1)} GB/s`,
          entries: peers,
          works: works.filter((work) => isWanted(work.name)),
          effort: adapter.software
            ? { rounds: Math.min(rounds, 2), secondsEach: 2 }
            : { rounds, secondsEach: 4, queued: 9 },
          limits: () => peak,
        });
      },
    },
    tablePart('webgpu', `First step on ${adapter.name}`, ['first step'], () =>
      firstSteps(blockStep(), peers),
    ),
    tablePart('webgpu', "Host, with Dawn's null backend", ['host cost'], hostRows),
  ];
}

function tablePart(
  on: Part['on'],
  title: string,
  names: readonly string[],
  measure: () => Promise<Row[]>,
): Part {
  return {
    names,
    on,
    async rows() {
      const rows = await measure();
      console.log(`\n## ${title}\n\n${plainTable(rows)}`);
      return rows;
    },
  };
}

/** Ours with one thread does few works; ours with a BLAS takes part where there is one; some works are for some peers. */
function onProcessor({ name, row, threads, detail }: Contestant, work?: Work): boolean {
  if (row === undefined) return work?.peers?.includes(name) ?? true;
  if (row === blasRow && !/blas|mkl|accelerate/i.test(detail.replace('no BLAS', ''))) return false;
  return threads > 1 || cores === 1 || work === undefined || work.oneThread === true;
}

async function adapterOrReason(): Promise<Adapter | undefined> {
  try {
    return await findAdapter();
  } catch (error) {
    console.log(`WebGPU is left out: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

function isWanted(name: string): boolean {
  return options.only.length === 0 || options.only.some((part) => name.includes(part));
}

function nameOf({ name }: Work): string {
  return name;
}

function limitText({ flops, bytes, fused }: Limit): string {
  const kind = fused ? 'fused' : 'separate';
  return `${flops.toFixed(1)} GFLOP/s of ${kind} SIMD multiply-adds in WebAssembly, ${bytes.toFixed(1)} GB/s copied`;
}

/** What may change how fast a library is. */
function environment(): string {
  const telling = /^(OPENBLAS|OMP|GOMP|KMP|MKL|VK|CLIPIN|NODE_OPTIONS|UV_)/;
  const found = Object.entries(process.env).filter(([name]) => telling.test(name));
  return found.map(([name, value]) => `${name}=${value}`).join(' ') || 'nothing that matters';
}

/** Before time is spent. @throws Error naming the folder that is missing */
function checkFolder(file: string): void {
  if (!existsSync(dirname(file)))
    throw new Error(`${file}: there is no folder ${dirname(file)}; make it first`);
}

/** npm runs this in another folder than the one it was called in. */
function fromCaller(file: string): string {
  return resolve(process.env.INIT_CWD ?? '.', file);
}

function load(): string {
  return (loadavg()[0] as number).toFixed(1);
}
