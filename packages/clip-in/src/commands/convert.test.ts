import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { init } from '@clipin/tensor';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { commandLine } from '../commandLine';
import { loadPretrained } from '../weights/load-pretrained';
import { convertCommand } from './convert';

let folder: string;
let printed: string[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'convert-'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  printed = [];
  vi.spyOn(console, 'log').mockImplementation((line) => void printed.push(line));
  vi.spyOn(console, 'error').mockImplementation((line) => void printed.push(line));
});
afterEach(() => vi.restoreAllMocks());

const source = fileURLToPath(new URL('../weights/fixtures/openai-f16.pt', import.meta.url));

async function type(...words: string[]): Promise<void> {
  const program = commandLine([convertCommand()]);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeErr: (text) => printed.push(text) });
  }
  await program.parseAsync(['convert', ...words, '--device', 'wasm', '--threads', '1'], { from: 'user' });
}

it('writes either layout, and says what it assumed', async () => {
  const [theirs, others] = [join(folder, 'a'), join(folder, 'b')];
  await type(source, theirs, '--to', 'huggingface');
  expect(printed).toContain("assumed: heads of the text tower have a width of 64, as in OpenAI's models");
  expect(printed).toContain(`openai-f16.pt written to ${theirs}`);
  expect((await readdir(theirs)).sort()).toEqual([
    'config.json',
    'merges.txt',
    'model.safetensors',
    'preprocessor_config.json',
    'special_tokens_map.json',
    'tokenizer_config.json',
    'vocab.json',
  ]);
  await type(theirs, others, '--to', 'open-clip');
  await init({ device: 'wasm', threads: 1 });
  const prints = await Promise.all(
    [source, theirs, others].map(async (path) => (await loadPretrained(path)).fingerprint),
  );
  expect(new Set(prints).size).toBe(1);
});

it('refuses layouts and models that there are not', async () => {
  await expect(type(source, folder, '--to', 'keras')).rejects.toThrow(/huggingface, open-clip/);
  await expect(type(source, folder, '--to', 'open-clip', '--model', 'ViT-Z')).rejects.toThrow(/ViT-B\/32/);
});
