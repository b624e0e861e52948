import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { commandLine } from './commandLine';
import { demoCommand } from './commands/demo';
import { type EvalOptions, evalCommand } from './commands/eval';
import type { EvalSuitesOptions } from './commands/eval-suites';
import type { CommandOptions, RunOptions } from './commands/shared';
import { trainCommand } from './commands/train';

let printed: string[];
let calls: [name: string, given: RunOptions | EvalOptions][];
let suiteCalls: EvalSuitesOptions[];
let during: (given: CommandOptions) => void | Promise<void>;

beforeEach(() => {
  printed = [];
  calls = [];
  suiteCalls = [];
  during = () => undefined;
  vi.spyOn(console, 'log').mockImplementation((line) => void printed.push(line));
  vi.spyOn(console, 'error').mockImplementation((line) => void printed.push(line));
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

async function type(line: string): Promise<void> {
  const record =
    (name: string) =>
    async (given: RunOptions | EvalOptions): Promise<void> => {
      calls.push([name, given]);
      await during(given);
    };
  const demoSettings = { out: 'runs/demo', training: { steps: 7, warmup: 1 } };
  const program = commandLine([
    trainCommand(record('train')),
    evalCommand(record('eval'), async (given) => void suiteCalls.push(given)),
    demoCommand(record('demo'), demoSettings),
  ]);
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .configureOutput({ writeOut: (text) => printed.push(text), writeErr: (text) => printed.push(text) });
  }
  await program.parseAsync(line.split(' '), { from: 'user' });
}

it('puts options over --set over the file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cli-'));
  const file = join(folder, 'run.json');
  await writeFile(file, '{"seed": 3, "out": "a", "training": {"steps": 9, "warmup": 2}}');
  await type(
    `train --config ${file} --set training.steps=10 --set seed=4 --seed 5 --out 2026 --device reference --threads 2 --resume`,
  );
  const [[name, given]] = calls as [[string, RunOptions]];
  expect([name, given.resume, given.device.kind]).toEqual(['train', true, 'reference']);
  expect(given.config).toMatchObject({
    seed: 5,
    out: '2026',
    device: 'reference',
    threads: 2,
    training: { steps: 10, warmup: 2 },
  });
  expect(printed).toEqual([`device: ${given.device.description}`]);
  await rm(folder, { recursive: true });
});

it('gives eval its suites, and lists them', async () => {
  await type('eval openai/clip --suite mmvp-vlm,coco --data d --device reference');
  const [given] = suiteCalls;
  expect(given).toMatchObject({
    model: 'openai/clip',
    suites: ['mmvp-vlm', 'coco'],
    data: 'd',
    out: 'runs/eval',
  });
  expect(given?.cache).toBe(join('runs/eval', 'embeddings'));
  await type('eval --suite help');
  expect(printed.join('\n')).toMatch(/mmvp-vlm {2}\(MMVP-VLM\)\n {4}Questions\.csv/);
  for (const [line, message] of [
    ['eval m --suite mmvp', 'there is no suite "mmvp"; there are mmvp-vlm, sugarcrepe'],
    ['eval m --suite coco', '--suite needs --data'],
    ['eval m --suite coco --data d --json f', '--json belongs to the small world'],
    ['eval m --suite coco --data d --set seed=1', '--set belongs to the small world'],
    ['eval m --data d', '--data needs --suite'],
  ] as const) {
    await expect(type(line)).rejects.toThrow(message);
  }
});

it('gives eval its checkpoint, and demo its own settings', async () => {
  await type('eval runs/a/model --json figures.json --device reference');
  await type('demo --device reference --set training.steps=8');
  const [[, evaluated], [, shown]] = calls as [[string, EvalOptions], [string, RunOptions]];
  expect([evaluated.config.start, evaluated.json]).toEqual(['runs/a/model', 'figures.json']);
  expect(shown.config).toMatchObject({ out: 'runs/demo', training: { steps: 8, warmup: 1 } });
  expect(shown.resume).toBe(false);
});

it('refuses what it does not know, before it starts a device', async () => {
  await expect(type('train --set trainig.steps=8')).rejects.toThrow(
    'command line: trainig: there is no such setting; did you mean "training"?',
  );
  await expect(type('train --device gpu')).rejects.toThrow(
    'device: got "gpu"; needs one of auto, webgpu, wasm',
  );
  await expect(type('train --threads many')).rejects.toThrow(
    'threads: got "many"; needs a whole number from 1 up',
  );
  await expect(type('eval')).rejects.toThrow('name the model');
  await expect(type('train --sed 3')).rejects.toThrow("unknown option '--sed'");
  await expect(type('tarin')).rejects.toThrow("unknown command 'tarin'");
  expect(calls).toEqual([]);
  expect(printed.join('')).toContain('Did you mean one of --seed, --set?');
});

it('tells every setting in the help of train', async () => {
  await expect(type('train --help')).rejects.toMatchObject({ exitCode: 0 });
  expect(printed.join('')).toMatch(/training\.loss="clip-in" +what is made of the edits/);
});

it('asks a command to stop on Ctrl-C, and ends as interrupted', async () => {
  const listeners = process.listenerCount('SIGINT');
  during = ({ signal }) => {
    expect(signal.aborted).toBe(false);
    process.emit('SIGINT');
    expect(signal.aborted).toBe(true);
  };
  await type('train --device reference');
  expect(process.exitCode).toBe(130);
  expect(printed.at(-1)).toContain('stopping after this step');
  expect(process.listenerCount('SIGINT')).toBe(listeners);
});

it('stops the device and its listeners when a command fails', async () => {
  const listeners = process.listenerCount('SIGINT');
  during = () => {
    throw new Error('no such thing');
  };
  await expect(type('train --device reference')).rejects.toThrow('no such thing');
  expect(process.listenerCount('SIGINT')).toBe(listeners);
});
