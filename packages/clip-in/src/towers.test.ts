/**
 * Every family of published models, reduced but of the same structure, against PyTorch on every device. The folders of
 * `fixtures/towers` are as the models are published, with what PyTorch makes of them in float64; `../reference` wrote them.
 */
import { fileURLToPath } from 'node:url';
import { createReferenceDevice } from '@clipin/kernel';
import { type Device, destroyDevice, leaves, setDefaultDevice } from '@clipin/tensor';
import { createWasmDevice } from '@clipin/wasm';
import { createWebgpuDevice } from '@clipin/webgpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configurations, type ModelConfig, withRotaryText } from './configurations';
import { dualEncoder } from './model';
import { differences, featureDifferences } from './towers.test-helpers';
import { loadPretrained } from './weights/load-pretrained';
import { readSafetensors } from './weights/safetensors';

const vision = { imageSize: 12, patchSize: 4, width: 24, depth: 2, heads: 2 };
const text = { vocabulary: 40, contextLength: 9, width: 16, depth: 2, heads: 2 };

/** A published model made small. */
const reduced = (
  config: ModelConfig,
  {
    embedding = 20,
    vision: v = {},
    text: t = {},
  }: {
    embedding?: number;
    vision?: Partial<ModelConfig['vision']>;
    text?: Partial<ModelConfig['text']>;
  } = {},
): ModelConfig => ({
  ...config,
  embedding,
  vision: { ...config.vision, ...vision, ...v },
  text: { ...config.text, ...text, ...t },
});
const siglipSizes = { mlpHidden: 89, width: 24 };
const siglip = { embedding: 24, vision: siglipSizes, text: siglipSizes };

const families: Record<string, ModelConfig> = {
  openai: reduced(configurations['ViT-B/32']),
  laion: reduced(configurations['LAION-ViT-B/32']),
  dfn: reduced(configurations['DFN-ViT-H/14'], { embedding: 16, vision: { width: 20 } }),
  siglip: reduced(configurations['SigLIP-So400m/14@384'], {
    ...siglip,
    vision: { ...siglipSizes, imageSize: 14 },
  }),
  siglip2: reduced(configurations['SigLIP2-So400m/14'], siglip),
  naflex: reduced(configurations['SigLIP2-So400m/16-NaFlex'], siglip),
  'long-clip': reduced(configurations['Long-CLIP-B/16'], { text: { contextLength: 30 } }),
  tulip: reduced(withRotaryText(configurations['ViT-B/16']), { text: { contextLength: 30 } }),
};

/** Those of which there are only tensors, which do not tell the number of heads of a small model. */
const bare = ['long-clip', 'tulip'];

/** Bounds of the relative difference. The reference is float64, kept as f32; 1e-4 is what a published model must keep. */
const devices = {
  reference: { start: async () => createReferenceDevice(), within: 1e-6 },
  wasm: { start: () => createWasmDevice({ threads: 2 }), within: 1e-5 },
  webgpu: { start: () => createWebgpuDevice({ adapter: 'software' }), within: 1e-5 },
};

describe.each(Object.entries(devices))('%s agrees with PyTorch on', (_, { start, within }) => {
  let device: Device;
  beforeAll(async () => {
    device = await start();
    setDefaultDevice(device);
  });
  afterAll(() => destroyDevice(device));

  it.each(Object.entries(families))('%s', async (name, config) => {
    const folder = fileURLToPath(new URL(`fixtures/towers/${name}`, import.meta.url));
    const values = await readSafetensors(`${folder}/values.safetensors`);
    const { model, params } = bare.includes(name)
      ? await loadPretrained(`${folder}/model.pt`, { config })
      : await loadPretrained(folder);
    expect(model.config).toEqual(config);
    const found = {
      ...(await differences(model, params, values)),
      ...(await featureDifferences(model, params, values)),
    };
    for (const [output, difference] of Object.entries(found)) {
      expect(difference, `${output} of ${name}`).toBeLessThan(within);
    }
  });
});

/** A published model with one thing wrong, and which output tells. */
const wrong: [name: string, output: 'images' | 'texts', change: (config: ModelConfig) => ModelConfig][] = [
  ['openai', 'images', (c) => ({ ...c, vision: { ...c.vision, activation: 'gelu' } })],
  ['openai', 'images', (c) => ({ ...c, vision: { ...c.vision, heads: 4 } })],
  ['openai', 'texts', (c) => ({ ...c, text: { ...c.text, causal: false } })],
  ['siglip', 'images', (c) => ({ ...c, vision: { ...c.vision, activation: 'gelu' } })],
  ['siglip', 'images', (c) => ({ ...c, vision: { ...c.vision, epsilon: 1e-5 } })],
  ['siglip', 'texts', (c) => ({ ...c, text: { ...c.text, causal: true } })],
  ['siglip', 'texts', (c) => ({ ...c, text: { ...c.text, pool: 'end' } })],
];

describe('the references tell a wrong tower:', () => {
  beforeAll(() => {
    setDefaultDevice(createReferenceDevice());
  });

  it.each(wrong)('%s by its %s (%#)', async (name, output, change) => {
    const folder = fileURLToPath(new URL(`fixtures/towers/${name}`, import.meta.url));
    const { model, params } = await loadPretrained(folder);
    const values = await readSafetensors(`${folder}/values.safetensors`);
    const found = await differences(dualEncoder(change(model.config)), params, values);
    expect(found[output]).toBeGreaterThan(1e-5);
  });
});

it('each tower can have a device of its own', async () => {
  const devices = { image: createReferenceDevice(), text: createReferenceDevice() };
  const folder = fileURLToPath(new URL('fixtures/towers/siglip', import.meta.url));
  const { params } = await loadPretrained(folder, { devices });
  const { image, text, ...others } = params;
  expect(leaves(image).every(({ tensor }) => tensor.device === devices.image)).toBe(true);
  expect(leaves({ text, others }).every(({ tensor }) => tensor.device === devices.text)).toBe(true);
});
