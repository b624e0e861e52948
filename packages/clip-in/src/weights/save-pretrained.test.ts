/** Saving as Hugging Face's and open_clip's folders: what is loaded, saved and loaded again is the same to the bit. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { init, leaves, randomKey } from '@clipin/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configurations, type ModelConfig } from '../configurations';
import { dualEncoder } from '../model';
import { smallWorldCheckpoint } from '../pretrained';
import { writeFiles } from './atomic-files';
import { fromHuggingFace, toHuggingFace } from './hugging-face-config';
import { loadPretrained, type PretrainedModel } from './load-pretrained';
import { huggingFaceClip } from './names-hugging-face';
import { saveHuggingFace, saveOpenClip } from './save-pretrained';
import { weightFiles } from './write-params';

const fixture = (path: string): string => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'save-pretrained-'));
  await init({ device: 'wasm', threads: 1 });
});
afterAll(() => rm(folder, { recursive: true }));

/** Every parameter's bytes by path. */
async function bits({ params }: PretrainedModel): Promise<Record<string, string>> {
  const found = await Promise.all(
    leaves(params).map(async ({ path, tensor: x }) => {
      const data = await x.data();
      return [path, Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')] as const;
    }),
  );
  return Object.fromEntries(found);
}

async function expectSame(got: PretrainedModel, wanted: PretrainedModel): Promise<void> {
  expect(got.model.config).toEqual(wanted.model.config);
  expect(got.fingerprint).toBe(wanted.fingerprint);
  expect(got.preprocess).toMatchObject({ interpolation: 'bicubic', ...wanted.preprocess });
  expect(got.assumptions).toBeUndefined();
  expect(await bits(got)).toEqual(await bits(wanted));
}

describe('round trip', () => {
  it.each([
    'hugging-face-f32',
    'hugging-face-f16-sharded',
    'hugging-face-siglip',
    'open-clip-folder',
    'open-clip-siglip',
    'openai-f16.pt',
    'openai-torchscript.pt',
    smallWorldCheckpoint,
  ])('%s through Hugging Face and open_clip', async (path) => {
    const loaded = await loadPretrained(path === smallWorldCheckpoint ? path : fixture(path));
    const theirs = join(folder, 'hugging-face', path.replaceAll('/', '_'));
    await saveHuggingFace(theirs, loaded);
    const once = await loadPretrained(theirs);
    await expectSame(once, loaded);
    const others = join(folder, 'open-clip', path.replaceAll('/', '_'));
    await saveOpenClip(others, once);
    await expectSame(await loadPretrained(others), loaded);
  });
});
