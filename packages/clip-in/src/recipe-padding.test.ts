/** The recipe on models of SigLIP's kind, whose text towers read padding: small ones, as others would publish them. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeTexts, loadTokenizer, SIGLIP_PREPROCESS } from '@clipin/data';
import type { Device } from '@clipin/kernel';
import { destroyDevice, evaluate, randomKey, setDefaultDevice, tensor } from '@clipin/tensor';
import { createWasmDevice } from '@clipin/wasm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ConfigInput, parseConfig } from './config';
import { configurations, type ModelConfig } from './configurations';
import { dualEncoder } from './model';
import { runRecipe } from './recipe';
import { loadPretrained, type PretrainedModel } from './weights/load-pretrained';
import { saveHuggingFace } from './weights/save-pretrained';

const tokenizers = join(import.meta.dirname, '../../data/reference/tokenizers');

let folder: string;
let device: Device;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'clip-in-'));
  device = await createWasmDevice({ threads: 2 });
});
beforeEach(() => setDefaultDevice(device));
afterAll(async () => {
  destroyDevice(device);
  await rm(folder, { recursive: true, force: true });
});

/** A small SigLIP with a tokenizer of its own. */
async function published(name: 'siglip' | 'siglip2', naflex = false): Promise<PretrainedModel> {
  const tokenizer = await loadTokenizer(join(tokenizers, name));
  const { vision, text, ...siglip } = configurations['SigLIP-B/16'];
  const size = { width: 16, depth: 2, heads: 2 };
  const config: ModelConfig = {
    ...siglip,
    embedding: 16,
    vision: { ...vision, ...size, imageSize: 32, ...(naflex && { naflex }) },
    text: { ...text, ...size, vocabulary: tokenizer.size, contextLength: 20 },
  };
  const model = dualEncoder(config);
  return {
    model,
    params: evaluate(model.init(randomKey(4))),
    tokenizer,
    tokenizerFiles: [join(tokenizers, name, 'tokenizer.json')],
    preprocess: SIGLIP_PREPROCESS(32),
    name,
    fingerprint: '',
  };
}

const tiny: ConfigInput = {
  data: { canvas: 32, shortLength: 20, longLength: 40 },
  distillation: { steps: 4, batch: 6, warmup: 2 },
  training: { steps: 6, triplets: 4, edits: 4, warmup: 2 },
  evaluation: { pairsPerKind: 1, gallery: 8 },
  checkpoints: { every: 3 },
};

const run = (
  name: string,
  start: string,
  changes: ConfigInput = {},
  more: Parameters<typeof runRecipe>[1] = {},
) => runRecipe(parseConfig({ ...tiny, ...changes, start, out: join(folder, name) }), more);

it('runs', { timeout: 120_000 }, async () => {
  const start = join(folder, 'siglip2');
  await saveHuggingFace(start, await published('siglip2'));
  const { trained, logs, before, after } = await run('a', start);
  console.log(JSON.stringify(logs), trained.model.config, before.pairAccuracy, after?.pairAccuracy);
  const again = await loadPretrained(join(folder, 'a', 'model'));
  console.log(again.model.config, again.preprocess, again.tokenizerFiles);
});
