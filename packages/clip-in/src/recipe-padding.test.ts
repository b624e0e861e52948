/** The recipe on models of SigLIP's kind, whose text towers read padding: small ones, as others would publish them. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { valueAndGrad } from '@clipin/autograd';
import { encodeTexts, loadTokenizer, preprocess, SIGLIP_PREPROCESS, tripletAt } from '@clipin/data';
import type { Device } from '@clipin/kernel';
import type { TextTransformerParams } from '@clipin/nn';
import {
  arange,
  destroyDevice,
  evaluate,
  init,
  leaves,
  normal,
  randomKey,
  setDefaultDevice,
  type Tensor,
  tensor,
  withLeaves,
} from '@clipin/tensor';
import { createWasmDevice } from '@clipin/wasm';
import { createWebgpuDevice } from '@clipin/webgpu';
import { encode } from 'fast-png';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { runEval } from './commands/eval';
import { type ConfigInput, parseConfig } from './config';
import { configurations, type ModelConfig, withRotaryText } from './configurations';
import { createEmbedder } from './evaluation/embedder';
import { encodersOf } from './evaluation/encoders';
import { distillationLoss } from './losses';
import { dualEncoder } from './model';
import { runRecipe } from './recipe';
import { clipInLoss, studentOf, textDistillationLoss } from './training/stages';
import type { TrainBatch } from './training/world';
import { loadPretrained, type PretrainedModel } from './weights/load-pretrained';
import { saveHuggingFace, saveOpenClip } from './weights/save-pretrained';

const tokenizers = join(import.meta.dirname, '../../data/reference/tokenizers');

let folder: string;
let device: Device;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'clip-in-'));
  device = await createWasmDevice({ threads: 2 });
});
beforeEach(() => {
  setDefaultDevice(device);
});
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

const losses = ({ logs }: Awaited<ReturnType<typeof run>>) =>
  Object.values(logs).flatMap((log) => log.map(({ metrics }) => metrics.loss));

const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;

const modelBytes = (name: string) => readFile(join(folder, name, 'model', 'tensors.safetensors'));

/** A short text and one that is longer than the tower's own 20 tokens. */
const texts = [
  'a red apple',
  'a large red apple on the left and a small green cat on the right of a plain picture',
];

const embeddingsOf = async ({ model, params, tokenizer, preprocess }: Omit<PretrainedModel, 'name'>) => {
  const embedder = createEmbedder({ model, params, tokenizer, preprocess, fingerprint: '' });
  return Array.from(await embedder.texts(texts));
};

describe.each(['siglip', 'siglip2'] as const)('from a %s with its own tokenizer', (name) => {
  let start: string;
  beforeAll(async () => {
    setDefaultDevice(device);
    start = join(folder, name);
    await saveHuggingFace(start, await published(name));
  });

  it('trains a rotary tower that is otherwise as its teacher, and saves it', {
    timeout: 120_000,
  }, async () => {
    const { trained, logs, after } = await run(`${name}-run`, start);
    expect(trained.model.config).toMatchObject({
      vision: { pool: 'attention', imageSize: 32 },
      text: {
        ...{ positions: 'rotary', causal: false, pool: 'last', activation: 'geluTanh', epsilon: 1e-6 },
        ...{ projectionBias: true, contextLength: 40, shortLength: 20 },
      },
    });
    expect([trained.model.config.logitBias, trained.params.logitBias]).toEqual([undefined, undefined]);
    expect([logs.distil?.length, logs['clip-in']?.length]).toEqual([4, 6]);
    const again = await loadPretrained(join(folder, `${name}-run`, 'model'));
    const { tokenizer, preprocess, model } = again;
    expect(model.config).toEqual(trained.model.config);
    expect(preprocess).toMatchObject({ mean: [0.5, 0.5, 0.5], resize: 'squash', size: 32 });
    const own = await loadTokenizer(join(tokenizers, name));
    expect(texts.map((text) => tokenizer.encode(text))).toEqual(texts.map((text) => own.encode(text)));
    expect(own.encode(texts[1] as string).length).toBeGreaterThan(20);
    // The command measures the saved model as the recipe did.
    vi.spyOn(console, 'log').mockReturnValue();
    const json = join(folder, `${name}.json`);
    const config = parseConfig({ ...tiny, start: join(folder, `${name}-run`, 'model') });
    await runEval({
      config,
      device,
      signal: new AbortController().signal,
      another: () => Promise.reject(),
      json,
    });
    vi.restoreAllMocks();
    const { perPattern, retrieval } = JSON.parse(await readFile(json, 'utf8'));
    expect({ perPattern, retrieval }).toEqual({ perPattern: after?.perPattern, retrieval: after?.retrieval });
  });

  it('goes on from what it saved, and converts it to what has words for it', {
    timeout: 120_000,
  }, async () => {
    const saved = join(folder, `${name}-run`, 'model');
    const { trained } = await run(`${name}-again`, saved, { training: { steps: 0, warmup: 0 } });
    const loaded = await loadPretrained(saved);
    expect(trained.model.config).toEqual(loaded.model.config);
    await expect(saveHuggingFace(join(folder, 'none'), loaded)).rejects.toThrow(
      /text positions: rotary, not absolute/,
    );
    const target = join(folder, `${name}-open-clip`);
    await saveOpenClip(target, loaded);
    const converted = await loadPretrained(target);
    expect(converted.model.config).toEqual(loaded.model.config);
    expect(await embeddingsOf(converted)).toEqual(await embeddingsOf(loaded));
  });

  it('stopped and resumed, ends with the same bits', { timeout: 120_000 }, async () => {
    for (const stopAfter of [2, 6]) {
      const stopped = `${name}-stopped-${stopAfter}`;
      const stop = new AbortController();
      let steps = 0;
      const events = { step: () => void (++steps === stopAfter && stop.abort()) };
      expect((await run(stopped, start, {}, { signal: stop.signal, events })).after).toBeUndefined();
      expect(losses(await run(stopped, start, {}, { resume: true }))).toHaveLength(10);
      expect((await modelBytes(stopped)).equals(await modelBytes(`${name}-run`))).toBe(true);
    }
  });

  it('tells what does not fit', { timeout: 60_000 }, async () => {
    const refused = (data: ConfigInput['data']) => run('refused', start, { data: { ...tiny.data, ...data } });
    await expect(refused({ shortLength: 28 })).rejects.toThrow(
      'its text tower reads padding, and was trained with texts of 20 tokens; data.shortLength is 28, wants 20',
    );
    await expect(refused({ longLength: 19 })).rejects.toThrow('data.longLength is 19, wants 20 or more');
    await expect(refused({ canvas: 48 })).rejects.toThrow(/32 pixels wide, data\.canvas is 48/);
    await rm(join(start, 'tokenizer.json'));
    await expect(refused({})).rejects.toThrow(/need its own tokenizer, .*tokenizer\.json, which is missing/);
  });
});

it('learns: the tower comes near its teacher, and the losses fall', { timeout: 240_000 }, async () => {
  const start = join(folder, 'learner');
  const teacher = await published('siglip2');
  await saveHuggingFace(start, teacher);
  const settings = (steps: number): ConfigInput => ({
    distillation: { steps: 60, batch: 16, warmup: 5, learningRate: 3e-3 },
    training: { steps, triplets: 8, edits: 8, warmup: 5, learningRate: 3e-3 },
  });
  const distilled = await run('learner-run', start, settings(0));
  const { logs } = await run('learner-run', start, settings(50), { resume: true });
  for (const log of Object.values(logs)) {
    const values = log.map(({ metrics }) => metrics.loss);
    expect(mean(values.slice(-10))).toBeLessThan(0.9 * mean(values.slice(0, 5)));
  }
  // On captions of scenes that no training saw.
  const held = Array.from({ length: 64 }, (_, i) => tripletAt(0, 'test', i).short);
  const ids = tensor(encodeTexts(teacher.tokenizer, held, 20), [64, 20]);
  const wanted = teacher.model.text.apply(teacher.params.text, ids);
  const { model, params } = distilled.trained;
  const { positions: _, ...undistilled } = teacher.params.text;
  const distance = (text: TextTransformerParams) =>
    distillationLoss(model.text.apply(text, ids), wanted).item();
  expect(await distance(params.text)).toBeLessThan(0.5 * (await distance(undistilled)));
});

it('gives the same losses on webgpu within rounding', { timeout: 240_000 }, async () => {
  const start = join(folder, 'devices');
  await saveHuggingFace(start, await published('siglip2'));
  const settings: ConfigInput = {
    distillation: { ...tiny.distillation, steps: 2 },
    training: { ...tiny.training, steps: 3 },
  };
  const onWasm = losses(await run('on-wasm', start, settings));
  const webgpu = await createWebgpuDevice({ adapter: 'software' });
  setDefaultDevice(webgpu);
  const onWebgpu = losses(await run('on-webgpu', start, settings));
  destroyDevice(webgpu);
  expect(onWebgpu).toHaveLength(5);
  onWasm.forEach((loss, step) => {
    expect(Math.abs((onWebgpu[step] as number) - loss) / loss).toBeLessThan(2e-5 * (1 + step));
  });
});

it('reads the padding, at both lengths', async () => {
  const { model, params, tokenizer } = await published('siglip2');
  const student = dualEncoder(withRotaryText(model.config, 40));
  const { positions: _, ...text } = params.text; // the student has none
  const { weight } = text.tokens;
  // Not the same for all channels: the norms would take it away.
  const change = arange(tokenizer.size)
    .equal(tokenizer.pad)
    .cast('f32')
    .expandDims(1)
    .mul(normal(randomKey(5), [16]));
  const other = { ...text, tokens: { weight: weight.add(change) } };
  for (const length of [20, 40]) {
    const row = encodeTexts(tokenizer, ['a red apple'], length);
    const changed = Int32Array.from(row);
    changed[length - 3] = 7; // a place between the end and the token that stands for the text
    const embed = (ids: Int32Array, p: TextTransformerParams = text) =>
      student.text.apply(p, tensor(ids, [1, length]));
    for (const another of [embed(row, other), embed(changed)]) {
      expect(await embed(row).sub(another).abs().max().item()).toBeGreaterThan(1e-3);
    }
  }
});

it('trains NaFlex models on squares, which they embed the same as patches and as pixels', {
  timeout: 60_000,
}, async () => {
  const start = join(folder, 'naflex');
  await saveHuggingFace(start, await published('siglip2', true));
  const { trained } = await run('naflex-run', start);
  expect(trained.model.config.vision.naflex).toBe(true);
  const again = await loadPretrained(join(folder, 'naflex-run', 'model'));
  const pixels = Float32Array.from({ length: 32 * 32 * 3 }, (_, i) => Math.sin(i * i));
  const name = join(folder, 'square.png');
  const bytes = encode({
    width: 32,
    height: 32,
    channels: 3,
    data: Uint8Array.from(pixels, (x) => 127 + 127 * x),
  });
  const embedder = createEmbedder(again);
  const encoders = encodersOf(again.model)(again.params);
  const asPixels = await encoders.images(await preprocess({ name, bytes }, again.preprocess));
  for await (const item of embedder.images([{ name, bytes }])) {
    if ('error' in item) throw item.error;
    item.embedding.forEach((x, i) => {
      expect(Math.abs(x - (asPixels[i] as number))).toBeLessThan(1e-5);
    });
  }
});

describe('gradients of the stages against central differences in float64', () => {
  const text = { vocabulary: 12, contextLength: 5, width: 8, depth: 1, heads: 2 } as const;
  const { vision: siglipVision, text: siglipText, ...siglip } = configurations['SigLIP-B/16'];
  const vision = { ...siglipVision, width: 8, depth: 1, heads: 2, imageSize: 4, patchSize: 2 };
  const teacher = dualEncoder({ ...siglip, embedding: 8, vision, text: { ...siglipText, ...text } });
  const student = dualEncoder(withRotaryText(teacher.config, 7));
  const ids = (rows: number, length: number, seed: number) =>
    tensor(
      Int32Array.from({ length: rows * length }, (_, i) => (i % length < 3 ? 2 + ((seed + i * 7) % 10) : 0)),
      [rows, length],
    );

  beforeEach(async () => {
    await init({ device: 'reference' });
  });

  it('of distillation', { timeout: 60_000 }, async () => {
    const params = evaluate(noisy(teacher.init(randomKey(1)).text));
    const loss = textDistillationLoss(teacher, student, params);
    await checkGradient(studentOf(params), (p) => loss(p, { texts: ids(3, 5, 1) })[0]);
  });

  it('of CLIP-IN', { timeout: 60_000 }, async () => {
    const pictures = (seed: number) => normal(randomKey(seed), [2, 4, 4, 3]);
    const batch: TrainBatch = {
      ...{ images: pictures(1), sourceImages: pictures(2), targetImages: pictures(3) },
      ...{ short: ids(2, 5, 2), sourceText: ids(2, 5, 3), targetText: ids(2, 5, 5), long: ids(2, 7, 4) },
    };
    const loss = clipInLoss(student, { loss: 'clip-in', longCaptions: true, hardNegativeWeight: 0.7 });
    await checkGradient(evaluate(noisy(student.init(randomKey(2)))), (p) => loss(p, batch)[0]);
  });

  const noisy = <T>(tree: T): T =>
    withLeaves(
      tree,
      leaves(tree).map(({ tensor: x }, i) => x.add(normal(randomKey(i + 10), x.shape).mul(0.3))),
    );

  /** Along random directions of all parameters at once. */
  async function checkGradient<T>(tree: T, loss: (tree: T) => Tensor): Promise<void> {
    const found = leaves(tree);
    const [, gradients] = valueAndGrad(loss)(tree);
    const slopes = evaluate(leaves(gradients).map(({ tensor: x }) => x));
    const h = 1e-5;
    for (const seed of [100, 200, 300]) {
      const directions = evaluate(found.map(({ tensor: x }, i) => normal(randomKey(seed + i), x.shape)));
      const at = (by: number) =>
        loss(
          withLeaves(
            tree,
            found.map(({ tensor: x }, i) => x.add((directions[i] as Tensor).mul(by))),
          ),
        ).item();
      const slope = ((await at(h)) - (await at(-h))) / (2 * h);
      const along = slopes.map((x, i) => x.mul(directions[i] as Tensor).sum());
      const got = await along.reduce((sum, x) => sum.add(x)).item();
      expect(Math.abs(got - slope)).toBeLessThan(1e-7 * Math.max(1, Math.abs(slope)));
    }
  }
});
