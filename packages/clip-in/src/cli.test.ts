/**
 * The command line as a process: a run that is killed or interrupted and resumed ends as the run that was not, models are
 * measured, and what cannot be done is said in one message. What options mean is tested in `commandLine.test.ts`.
 */
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ended, startCli } from './cli.test-helpers';
import type { ConfigInput } from './config';
import { crc32c } from './eventFile';

/** A whole recipe in seconds, with a checkpoint after each step. */
const tinyRun: ConfigInput = {
  device: 'wasm',
  model: {
    embedding: 16,
    vision: { patchSize: 16, width: 16, depth: 1, heads: 2 },
    text: { width: 16, depth: 1, heads: 2 },
  },
  data: { shortLength: 16, longLength: 32 },
  distillation: { steps: 4, batch: 6, warmup: 2 },
  training: { steps: 8, triplets: 4, edits: 4, warmup: 2 },
  evaluation: { pairsPerKind: 1, gallery: 8 },
  checkpoints: { every: 1 },
};

/**
 * Loaded before the command: counts what it does to files below OUT, and at number STRIKE_AT sends itself STRIKE. A write
 * that is struck is done by half. The count goes to the file COUNT when the process ends.
 */
const DISK = `
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const { OUT, STRIKE, STRIKE_AT, COUNT } = process.env;
let count = 0;
const due = () => ++count === Number(STRIKE_AT);
const strike = () => process.kill(process.pid, STRIKE);
const half = (data) => data.slice(0, Math.floor(data.length / 2));
const ours = new Set();
const counted = (owner, name, counts, write) => {
  const real = owner[name];
  owner[name] = function (target, ...rest) {
    if (!counts(target)) return real.call(this, target, ...rest);
    if (due()) {
      const data = write === undefined ? undefined : [target, ...rest][write];
      if (data !== undefined && STRIKE === 'SIGKILL') {
        const args = [target, ...rest].map((arg, i) => (i === write ? half(data) : arg));
        const done = real.apply(this, args);
        if (done instanceof Promise) return done.then(strike);
      }
      strike();
    }
    return real.call(this, target, ...rest);
  };
};
const below = (path) => typeof path === 'string' && path.startsWith(OUT);
for (const name of ['mkdir', 'rename', 'rm']) counted(fs.promises, name, below);
counted(fs.promises, 'writeFile', below, 1);
for (const name of ['mkdirSync', 'renameSync']) counted(fs, name, below);
counted(fs, 'appendFileSync', below, 1);
counted(fs, 'writeFileSync', below, 1);
counted(fs, 'writeSync', (file) => ours.has(file), 1);
counted(fs, 'ftruncateSync', (file) => ours.has(file));
const { openSync } = fs;
fs.openSync = (path, ...rest) => {
  const file = openSync(path, ...rest);
  if (below(path)) ours.add(file);
  return file;
};
const { open } = fs.promises;
fs.promises.open = async (path, ...rest) => {
  const handle = await open(path, ...rest);
  if (below(path)) {
    counted(handle, 'writeFile', () => true, 0);
    counted(handle, 'sync', () => true);
  }
  return handle;
};
syncBuiltinESMExports();
process.on('exit', () => fs.writeFileSync(COUNT, String(count)));
`;

/** Loaded before the command: the software adapter is not installed. */
const NO_SOFTWARE = `
import Module from 'node:module';
const real = Module._resolveFilename;
Module._resolveFilename = (name, ...rest) => {
  if (name === '@sparticuz/chromium') throw new Error('hidden');
  return real(name, ...rest);
};
`;

interface Start {
  readonly env?: Readonly<Record<string, string>>;
  /** A module to load first. */
  readonly preload?: string;
  /** Milliseconds after the first line of progress, then SIGKILL. */
  readonly killAfter?: number;
}

let folder: string;
const path = (...parts: string[]) => join(folder, ...parts);

/** Runs the command from source to its end. */
async function clipIn(args: readonly string[], { env = {}, preload, killAfter }: Start = {}): Promise<Ended> {
  const first = preload === undefined ? [] : ['--import', path(preload)];
  const { child, ended } = startCli(args, { env, first });
  if (killAfter !== undefined) {
    child.stderr.once('data', () => void delay(killAfter).then(() => child.kill('SIGKILL')));
  }
  return ended;
}

const train = (name: string, more: readonly string[] = [], start?: Start): Promise<Ended> =>
  clipIn(['train', '--config', path('tiny.json'), '--out', path(name), ...more], start);

/** A run that counts what it does to its files, and that may be struck at one of these. */
async function struck(
  name: string,
  more: readonly string[],
  strike?: NodeJS.Signals,
  at = 0,
): Promise<Ended> {
  const env = { OUT: path(name), COUNT: path('count'), STRIKE: strike ?? '', STRIKE_AT: String(at) };
  return train(name, more, { preload: 'disk.mjs', env });
}

/** Events without their wall times, checksums verified. */
function eventsOf(file: Buffer): string[] {
  const events: string[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    const event = file.subarray(at + 12, at + 12 + length);
    const crc = crc32c(event);
    expect(file.readUInt32LE(at + 12 + length)).toBe((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
    events.push(event.subarray(9).toString('hex')); // a key and 8 bytes of time come first
    at += length + 16;
  }
  return events;
}

/** All that a run leaves and that must not depend on what happened on the way. */
async function remains(name: string) {
  const read = (...parts: string[]) => readFile(path(name, ...parts));
  const stages = ['distil', 'clip-in'];
  const metrics = JSON.parse((await read('metrics.json')).toString());
  const stageFiles = async (stage: string) => ({
    state: await read(
      'checkpoints',
      stage,
      (await read('checkpoints', stage, 'latest')).toString().trim(),
      'tensors.safetensors',
    ),
    log: (await read('logs', `${stage}.jsonl`)).toString(),
    events: eventsOf(await read('events', stage, 'events.out.tfevents.0.clip-in')),
    kept: (await readdir(path(name, 'checkpoints', stage))).sort(),
  });
  return {
    model: await read('model', 'tensors.safetensors'),
    stages: await Promise.all(stages.map(stageFiles)),
    before: metrics.before,
    after: metrics.after,
  };
}

/** Numbers from 0 to 1 that a seed determines. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

let whole: Ended;
let expected: Awaited<ReturnType<typeof remains>>;
let operations: number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'clip-in-cli-'));
  await writeFile(path('tiny.json'), JSON.stringify(tinyRun));
  await writeFile(path('disk.mjs'), DISK);
  await writeFile(path('noSoftware.mjs'), NO_SOFTWARE);
  whole = await struck('whole', []);
  expected = await remains('whole');
  operations = Number(await readFile(path('count'), 'utf8'));
}, 120_000);

afterAll(() => rm(folder, { recursive: true }));

it('trains: prints device, figures and files, and keeps a log of every step', () => {
  expect(whole).toMatchObject({ code: 0, signal: null });
  const lines = whole.stdout.split('\n');
  expect(lines[0]).toMatch(/^device: wasm, \d+ threads?, /);
  expect(whole.stdout).toContain('Mean of the patterns');
  expect(lines.at(-2)).toMatch(/^done in \S+ on wasm/);
  expect(whole.stderr).toMatch(/^stage 1, distillation {2}1\/4 {2}loss /);
  const [distil, tuned] = expected.stages;
  for (const [stage, steps] of [
    [distil, 4],
    [tuned, 8],
  ] as const) {
    const entries =
      stage?.log
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)) ?? [];
    expect(entries.map(({ step }) => step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
    expect(stage?.events).toHaveLength(1 + steps); // the first says what file it is
  }
});

it('killed at random moments and resumed, a run ends as the one that was not', {
  timeout: 240_000,
}, async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e6);
  const random = randomNumbers(seed);
  // Four kills at operations, together fewer than a whole run has, so that none comes too late; then one by the clock.
  const plan: { at?: number; killAfter?: number }[] = [
    ...[0, 1, 2, 3].map(() => ({ at: 1 + Math.floor((random() * operations) / 4) })),
    { killAfter: Math.floor(random() * 1000) },
  ];
  console.log(`SEED=${seed}: kills at operations on files, and after ms: ${JSON.stringify(plan)}`);
  const ends: (NodeJS.Signals | null)[] = [];
  for (const [life, { at, killAfter }] of plan.entries()) {
    // The number of threads does not matter to the bits.
    const more = ['--threads', String(1 + (life % 2)), ...(life > 0 ? ['--resume'] : [])];
    const { signal } =
      killAfter === undefined
        ? await struck('killed', more, 'SIGKILL', at)
        : await train('killed', more, { killAfter });
    ends.push(signal);
  }
  const last = await train('killed', ['--resume']);
  expect(last.code, last.stderr).toBe(0);
  expect(ends.slice(0, 4)).toEqual(Array(4).fill('SIGKILL'));
  expect(await remains('killed'), `SEED=${seed}`).toEqual(expected);
});

it('interrupted, it saves, says how to go on, ends with 130, and goes on with the same bits', {
  timeout: 120_000,
}, async () => {
  const ended = await struck('interrupted', [], 'SIGINT', Math.floor(operations / 2));
  expect(ended).toMatchObject({ code: 130, signal: null });
  expect(ended.stderr).toContain('stopping after this step');
  expect(ended.stdout).toMatch(
    /stopped; the checkpoint is saved in .*interrupted, and --resume goes on from it\n$/,
  );
  expect(existsSync(path('interrupted', 'model'))).toBe(false);
  expect((await train('interrupted', ['--resume'])).code).toBe(0);
  expect(await remains('interrupted')).toEqual(expected);
});

it('measures a model: the table, and the figures of the run that made it', { timeout: 60_000 }, async () => {
  const more = ['--config', path('tiny.json'), '--set', 'device=auto', '--json', path('figures.json')];
  const env = { VK_ICD_FILENAMES: '/nowhere.json' };
  const { code, stdout, stderr } = await clipIn(['eval', path('whole', 'model'), ...more], { env });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^device: wasm, /);
  const { device, ...figures } = JSON.parse(await readFile(path('figures.json'), 'utf8'));
  expect(device).toMatch(/^wasm, /);
  expect(figures).toEqual(expected.after);
  expect(stdout).toMatch(
    new RegExp(`Mean of the patterns \\(16 pairs\\) +${figures.pairAccuracy.toFixed(1)}\n`),
  );
});

it('trains on a software WebGPU adapter, says so, and prints nothing else', {
  timeout: 120_000,
}, async () => {
  const settings = ['device=auto', 'distillation.steps=0', 'training.steps=2'].flatMap((setting) => [
    '--set',
    setting,
  ]);
  const env = { CLIPIN_DEVICE: 'webgpu', VK_ICD_FILENAMES: '/nowhere.json' };
  const { code, stdout, stderr } = await train('webgpu', settings, { env });
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringMatching(/^(stage \d, .*\n)+$/) });
  expect(stdout).toMatch(/^device: webgpu, SwiftShader.* \(software\)\n/);
  expect(stdout).toMatch(/done in \S+ on webgpu, SwiftShader/);
});

describe.concurrent('what cannot be done is said in one message', () => {
  const refused: [title: string, args: () => string[], message: RegExp, start?: Start][] = [
    [
      'an unknown setting',
      () => ['train', '--set', 'training.learningrate=1'],
      /command line: training\.learningrate: there is no such setting; did you mean "learningRate"\?/,
    ],
    [
      'a bad value',
      () => ['train', '--config', path('tiny.json'), '--set', 'training.steps=-3'],
      /tiny\.json and command line: training\.steps: got -3; needs a whole number from 0 up/,
    ],
    ['a missing file', () => ['train', '--config', '/nowhere.json'], /cannot read \/nowhere\.json: ENOENT/],
    [
      'a missing checkpoint',
      () => ['eval', path('nothing'), '--device', 'wasm'],
      /there is no checkpoint at .*nothing: it has neither/,
    ],
    [
      'a checkpoint that was cut short',
      () => ['eval', path('cut'), '--device', 'wasm'],
      /cut\/tensors\.safetensors.* bytes/,
    ],
    [
      'a file of figures in a folder that is not there',
      () => ['eval', path('whole', 'model'), '--device', 'wasm', '--json', path('none', 'figures.json')],
      /--json .*figures\.json: cannot write into the folder .*none; make it first/,
    ],
    [
      'an unknown device',
      () => ['train', '--device', 'gpu'],
      /device: got "gpu"; needs one of auto, webgpu, wasm/,
    ],
    [
      'an unknown device in the environment',
      () => ['eval', path('whole', 'model')],
      /CLIPIN_DEVICE: device "gpu" is unknown; choose one of webgpu, wasm/,
      { env: { CLIPIN_DEVICE: 'gpu' } },
    ],
    [
      'a GPU that is not there',
      () => ['train', '--device', 'webgpu', '--config', path('tiny.json'), '--out', path('refused')],
      /webgpu: no adapter\. Tried: drivers of this machine: VK_ICD_FILENAMES=\/nowhere\.json names no file.*; @sparticuz\/chromium .*is not installed\. To get one, /,
      { env: { VK_ICD_FILENAMES: '/nowhere.json' }, preload: 'noSoftware.mjs' },
    ],
    [
      'a directory that cannot be written',
      () => ['train', '--config', path('tiny.json'), '--out', path('tiny.json', 'run')],
      /out: cannot write into .*tiny\.json\/run: ENOTDIR/,
    ],
  ];

  beforeAll(async () => {
    await cp(path('whole', 'model'), path('cut'), { recursive: true });
    await truncate(path('cut', 'tensors.safetensors'), 1000);
  });

  it.each(refused)('%s', { timeout: 60_000 }, async (_, args, message, start) => {
    const { code, stdout, stderr } = await clipIn(args(), start);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^clip-in: .+\n$/); // one line, no stack
    expect(stdout).not.toMatch(/before:/);
  });
});
