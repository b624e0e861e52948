import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLIP_PREPROCESS, clipTokenizer } from '@clipin/data';
import type { Device } from '@clipin/kernel';
import { destroyDevice, evaluate, randomKey, setDefaultDevice } from '@clipin/tensor';
import { createWasmDevice } from '@clipin/wasm';
import { createWebgpuDevice } from '@clipin/webgpu';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ConfigInput, parseConfig } from './config';
import type { ModelConfig } from './configurations';
import { type DualEncoderParams, dualEncoder } from './model';
import { saveModel } from './pretrained';
import { runRecipe } from './recipe';
import { loadPretrained, type PretrainedModel } from './weights/load-pretrained';
import { saveHuggingFace } from './weights/save-pretrained';

/** A whole recipe in seconds. */
const tinyRun: ConfigInput = {
  model: {
    embedding: 16,
    vision: { patchSize: 16, width: 16, depth: 1, heads: 2 },
    text: { width: 16, depth: 1, heads: 2 },
  },
  data: { shortLength: 16, longLength: 32 },
  distillation: { steps: 4, batch: 6, warmup: 2 },
  training: { steps: 8, triplets: 4, edits: 4, warmup: 2 },
  evaluation: { pairsPerKind: 1, gallery: 8 },
  checkpoints: { every: 3 },
};

let folder: string;
let devices: Record<'wasm' | 'webgpu', Device>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'clip-in-'));
  devices = {
    wasm: await createWasmDevice({ threads: 2 }),
    webgpu: await createWebgpuDevice({ adapter: 'software' }),
  };
}, 120_000);

beforeEach(() => {
  setDefaultDevice(devices.wasm);
});

afterAll(async () => {
  for (const device of Object.values(devices)) destroyDevice(device);
  await rm(folder, { recursive: true, force: true });
});

const run = (
  name: string,
  device: Device,
  more: Parameters<typeof runRecipe>[1] = {},
  changes: ConfigInput = {},
) => {
  setDefaultDevice(device);
  return runRecipe(parseConfig({ ...tinyRun, ...changes, out: join(folder, name) }), more);
};

/** A small CLIP as others would publish it. */
function published(text: Partial<ModelConfig['text']> = {}): PretrainedModel {
  const tower = { width: 16, depth: 1, heads: 2, activation: 'quickGelu' } as const;
  const model = dualEncoder({
    embedding: 16,
    vision: { ...tower, imageSize: 32, patchSize: 16, pool: 'class' },
    text: { ...tower, vocabulary: 49408, contextLength: 20, positions: 'absolute', ...text },
  });
  return {
    model,
    params: evaluate(model.init(randomKey(4))),
    tokenizer: clipTokenizer(),
    preprocess: CLIP_PREPROCESS(32),
    name: 'published',
    fingerprint: '',
  };
}

const losses = ({ logs }: Awaited<ReturnType<typeof run>>) =>
  Object.values(logs).flatMap((log) => log.map(({ metrics }) => metrics.loss));

const modelBytes = (name: string) => readFile(join(folder, name, 'model', 'tensors.safetensors'));

describe('recipe', () => {
  it('gives the same loss curve on wasm and on webgpu within rounding', { timeout: 300_000 }, async () => {
    const [onWasm, onWebgpu] = [
      losses(await run('wasm', devices.wasm)),
      losses(await run('webgpu', devices.webgpu)),
    ];
    expect(onWasm).toHaveLength(12);
    onWasm.forEach((loss, step) => {
      // Rounding differs by a few units of 6e-8, and grows with each step through Adam's division by small roots.
      expect(Math.abs((onWebgpu[step] as number) - loss) / loss).toBeLessThan(2e-5 * (1 + step));
    });
    expect(onWasm.at(-1)).toBeLessThan(onWasm[4] as number);
  });

  it('gives the same bits again, for any number of threads', { timeout: 120_000 }, async () => {
    await run('again', devices.wasm);
    const single = await createWasmDevice({ threads: 1 });
    await run('single', single);
    destroyDevice(single);
    const first = await modelBytes('wasm');
    expect((await modelBytes('again')).equals(first)).toBe(true);
    expect((await modelBytes('single')).equals(first)).toBe(true);
  });

  it('stopped after any step and resumed, ends with the same bits and the same curves', {
    timeout: 240_000,
  }, async () => {
    const whole = await run('whole', devices.wasm);
    for (const stopAfter of [1, 4, 5, 9]) {
      const name = `stopped-${stopAfter}`;
      const stop = new AbortController();
      let steps = 0;
      const events = { step: () => void (++steps === stopAfter && stop.abort()) };
      const part = await run(name, devices.wasm, { signal: stop.signal, events });
      expect(part.after).toBeUndefined();
      const rest = await run(name, devices.wasm, { resume: true });
      expect(losses(rest)).toEqual(losses(whole));
      expect((await modelBytes(name)).equals(await modelBytes('whole'))).toBe(true);
    }
  });

  it('starts anew without resume, and from a saved model', { timeout: 120_000 }, async () => {
    await run('anew', devices.wasm, {}, { seed: 3 });
    // Stopped in stage 1: what the run of the other seed left of stage 2 must be gone.
    const stop = new AbortController();
    await run('anew', devices.wasm, { signal: stop.signal, events: { step: () => stop.abort() } });
    await run('anew', devices.wasm, { resume: true });
    expect((await modelBytes('anew')).equals(await modelBytes('whole'))).toBe(true);
    const other = { data: { ...tinyRun.data, seed: 9 } };
    await expect(run('anew', devices.wasm, { resume: true }, other)).rejects.toThrow(
      /other settings\n {2}data\.seed: \d+ in the checkpoint, 9 now\nuse these again/,
    );
    const start = join(folder, 'anew', 'model');
    await expect(
      run('from', devices.wasm, {}, { start, data: { ...tinyRun.data, canvas: 32 } }),
    ).rejects.toThrow(/images are 48 pixels wide, data\.canvas is 32/);
    const { before, after } = await run('from', devices.wasm, {}, { start });
    expect(Object.keys(after?.perPattern ?? {})).toEqual(Object.keys(before.perPattern));
  });

  it('goes on from a published CLIP with its whole vocabulary', { timeout: 120_000 }, async () => {
    const [start, siglip] = [join(folder, 'published'), join(folder, 'siglip')];
    await saveHuggingFace(start, published());
    const bidirectional = published({ causal: false, pool: 'last', projectionBias: true });
    await saveModel(siglip, { ...bidirectional, vocabulary: 'clip' }, { step: 0 });
    const changes = { start, data: { ...tinyRun.data, canvas: 32 } };
    const none = { steps: 0, warmup: 0 };
    const untrained = await run(
      'untrained',
      devices.wasm,
      {},
      { ...changes, distillation: none, training: none },
    );
    const patches = async ({ params }: { params: DualEncoderParams }) => params.image.patches.weight.data();
    expect(await patches(untrained.trained)).toEqual(await patches(published()));
    const { trained, logs } = await run('continued', devices.wasm, {}, changes);
    expect(trained.vocabulary).toBe('clip');
    expect(await patches(trained)).not.toEqual(await patches(published()));
    expect(logs['clip-in']).toHaveLength(8);
    // What came of it is itself a model to load, and to start from.
    const again = await loadPretrained(join(folder, 'continued', 'model'));
    expect(again.model.config.text).toMatchObject({ vocabulary: 49408, positions: 'rotary' });
    expect(again.tokenizer.encode('a zebra crossing')).toEqual(clipTokenizer().encode('a zebra crossing'));
    await expect(run('refused', devices.wasm, {}, { start })).rejects.toThrow(
      /images are 32 pixels wide, data\.canvas is 48/,
    );
    await expect(run('refused', devices.wasm, {}, { ...changes, start: siglip })).rejects.toThrow(
      /text tower reads padding, and was trained with texts of 20 tokens; data\.shortLength is 16, wants 20/,
    );
  });

  it.each(['clip', 'negclip', 'tripletclip'] as const)(
    'trains with the loss %s, without long captions',
    { timeout: 60_000 },
    async (loss) => {
      const changes: ConfigInput = {
        training: { ...tinyRun.training, loss, longCaptions: false },
        distillation: { steps: 0, warmup: 0 },
      };
      const { logs } = await run(loss, devices.wasm, {}, changes);
      expect(Object.keys(logs['clip-in']?.[0]?.metrics ?? {})).toEqual([
        'loss',
        'short',
        'edits',
        'logitScale',
      ]);
    },
  );

  it('says at which step the loss is not a number', { timeout: 60_000 }, async () => {
    const changes: ConfigInput = { training: { ...tinyRun.training, learningRate: 1e30, clipNorm: null } };
    await expect(run('nan', devices.wasm, {}, changes)).rejects.toThrow(
      /clip-in: the loss is NaN at step \d+; try a smaller/,
    );
  });
});
