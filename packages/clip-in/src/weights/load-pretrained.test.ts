/** Models in every layout in which they are published, against PyTorch; `reference/weight_files.py` made the files. */
import { fileURLToPath } from 'node:url';
import { init, leaves, tensor } from '@clipin/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ModelConfig } from '../configurations';
import { smallWorldCheckpoint } from '../pretrained';
import expected from './fixtures/expected.json';
import { loadPretrained, type PretrainedModel } from './load-pretrained';

const fixture = (path: string): string => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));

beforeAll(async () => {
  await init({ device: 'wasm', threads: 1 });
});

/** The pixels of image `n` are `sin(0.37 i + 1.9 n)`. */
const pictures = (size: number) =>
  tensor(
    Float32Array.from({ length: 2 * size * size * 3 }, (_, i) => {
      const pixels = size * size * 3;
      return Math.sin(0.37 * (i % pixels) + 1.9 * Math.floor(i / pixels));
    }),
    [2, size, size, 3],
  );

async function embeddings(
  { model, params }: PretrainedModel,
  { imageSize, ids }: { imageSize: number; ids: number[][] },
) {
  const texts = tensor(Int32Array.from(ids.flat()), [ids.length, ids[0]!.length]);
  return {
    images: [...(await model.image.apply(params.image, pictures(imageSize)).data())],
    texts: [...(await model.text.apply(params.text, texts).data())],
    logitScale: await params.logitScale.item(),
  };
}

function difference(got: readonly number[], wanted: readonly number[]): number {
  expect(got).toHaveLength(wanted.length);
  return Math.max(...got.map((value, i) => Math.abs(value - wanted[i]!)));
}

/** What shapes do not tell of the two files whose heads are narrower than OpenAI's. */
const narrow: ModelConfig = {
  embedding: 12,
  vision: {
    imageSize: 8,
    patchSize: 4,
    width: 16,
    depth: 2,
    heads: 2,
    activation: 'quickGelu',
    pool: 'class',
  },
  text: {
    vocabulary: 40,
    contextLength: 30,
    width: 16,
    depth: 2,
    heads: 2,
    activation: 'quickGelu',
    positions: 'stretched',
  },
};

const layouts: Record<keyof typeof expected, { path?: string; config?: ModelConfig }> = {
  'hugging-face-f32': {},
  'hugging-face-f16-sharded': {},
  'hugging-face-siglip': {},
  'hugging-face-naflex': {},
  'open-clip-folder': {},
  'open-clip-siglip': {},
  'open-clip-training': {
    path: 'open-clip-training.pt',
    config: {
      ...narrow,
      vision: { ...narrow.vision, activation: 'gelu' },
      text: { ...narrow.text, contextLength: 10, activation: 'gelu', positions: 'absolute' },
    },
  },
  'openai-f16': { path: 'openai-f16.pt' },
  'openai-torchscript': { path: 'openai-torchscript.pt' },
  'long-clip': { path: 'long-clip.pt', config: narrow },
  'clip-in': {
    path: 'clip-in.pt',
    config: { ...narrow, text: { ...narrow.text, positions: 'rotary', activation: 'gelu' } },
  },
};

describe('embeddings agree with PyTorch', () => {
  it.each(Object.entries(layouts))('%s', async (name, { path = name, ...options }) => {
    const wanted = expected[name as keyof typeof expected];
    const got = await embeddings(await loadPretrained(fixture(path), options), wanted);
    expect(difference(got.images, wanted.images.flat())).toBeLessThan(1e-5);
    expect(difference(got.texts, wanted.texts.flat())).toBeLessThan(1e-5);
    expect(got.logitScale).toBeCloseTo(wanted.logitScale, 5);
  });
});

it('loads what saveModel wrote', async () => {
  const { model, params, tokenizer, preprocess, name, fingerprint } =
    await loadPretrained(smallWorldCheckpoint);
  expect(leaves(params)).not.toHaveLength(0);
  expect(model.config.text.vocabulary).toBe(tokenizer.size);
  expect(preprocess).toMatchObject({ size: 48, resize: 'shorter-side' });
  expect(name).toBe('model');
  expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
});
