import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { commandLine } from '../commandLine';
import { smallWorldCheckpoint } from '../pretrained';
import { exportCommand } from './export';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'clipin-export-'));
});
afterAll(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

const run = (...args: string[]) =>
  commandLine([exportCommand()]).parseAsync(['export', ...args, '--device', 'wasm'], { from: 'user' });

it('writes both towers, and prints where and nothing else', async () => {
  const print = vi.spyOn(console, 'log').mockReturnValue();
  vi.spyOn(console, 'error').mockReturnValue(); // the device
  const directory = join(folder, 'new', 'small-world');
  await run(smallWorldCheckpoint, directory);
  expect(print.mock.calls.flat()).toEqual([join(directory, 'image.onnx'), join(directory, 'text.onnx')]);
  expect((await readdir(directory)).sort()).toEqual(['image.onnx', 'text.onnx']);
});

it('names what is not there', async () => {
  vi.spyOn(console, 'error').mockReturnValue();
  const missing = join(folder, 'missing');
  await expect(run(missing, folder)).rejects.toThrow(missing);
});
