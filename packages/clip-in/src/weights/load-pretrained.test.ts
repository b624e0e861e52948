/** Models in every layout in which they are published, against PyTorch; `reference/weight_files.py` made the files. */
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CLIP_PREPROCESS } from '@clipin/data';
import { destroyDevice, init, leaves, startDevice, tensor } from '@clipin/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ModelConfig } from '../configurations';
import { smallWorldCheckpoint } from '../pretrained';
import expected from './fixtures/expected.json';
import { loadPretrained, type PretrainedModel } from './load-pretrained';
import { narrow } from './narrow.test-helpers';
import { saveHuggingFace } from './save-pretrained';

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
      ...narrow({ activation: 'gelu' }),
      vision: { ...narrow().vision, activation: 'gelu' },
    },
  },
  'openai-f16': { path: 'openai-f16.pt' },
  'openai-torchscript': { path: 'openai-torchscript.pt' },
  'long-clip': { path: 'long-clip.pt', config: narrow({ positions: 'stretched', contextLength: 30 }) },
  'clip-in': {
    path: 'clip-in.pt',
    config: narrow({ positions: 'rotary', contextLength: 30, activation: 'gelu' }),
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

describe('weights in f16', () => {
  it.each(Object.entries(layouts))('give the embeddings of %s', async (name, { path = name, ...options }) => {
    const wanted = expected[name as keyof typeof expected];
    const pretrained = await loadPretrained(fixture(path), { ...options, dtype: 'f16' });
    for (const { tensor: x, path } of leaves(pretrained.params))
      expect(x.dtype, path).toBe(x.rank >= 2 ? 'f16' : 'f32');
    const got = await embeddings(pretrained, wanted);
    // Of files in half precision exactly those; else a weight moves by up to 2^-12 of itself.
    const close = name === 'hugging-face-f16-sharded' || name === 'openai-f16' ? 1e-5 : 2e-3;
    expect(difference(got.images, wanted.images.flat())).toBeLessThan(close);
    expect(difference(got.texts, wanted.texts.flat())).toBeLessThan(close);
  });

  it('take half the memory, and are known as the same weights if no bit was lost', async () => {
    const path = fixture('openai-f16.pt');
    const bytes = ({ params }: PretrainedModel) =>
      leaves(params).reduce((sum, { tensor: x }) => sum + x.size * (x.dtype === 'f16' ? 2 : 4), 0);
    const load = async (dtype: 'f32' | 'f16') => {
      const device = await startDevice({ device: 'wasm', threads: 1 });
      const loaded = await loadPretrained(path, { dtype, devices: { image: device, text: device } });
      // Beside the parameters, the keys of a template that is never computed.
      expect(Math.abs(device.memory.bytes - bytes(loaded))).toBeLessThan(100);
      destroyDevice(device);
      return loaded;
    };
    const [half, whole] = [await load('f16'), await load('f32')];
    expect(bytes(half) / bytes(whole)).toBeLessThan(0.6);
    expect(half.fingerprint).toBe(whole.fingerprint);
    const narrowed = await loadPretrained(fixture('hugging-face-f32'), { dtype: 'f16' });
    expect(narrowed.fingerprint).not.toBe((await loadPretrained(fixture('hugging-face-f32'))).fingerprint);
  });

  it('are saved as f32, and taken for images of another size', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'half-'));
    const half = await loadPretrained(fixture('hugging-face-f32'), { dtype: 'f16' });
    await saveHuggingFace(folder, half);
    const again = await loadPretrained(folder);
    expect(again.fingerprint).toBe(half.fingerprint);
    await rm(folder, { recursive: true });
    const larger = await loadPretrained(fixture('hugging-face-f32'), { dtype: 'f16', imageSize: 12 });
    expect(larger.params.image.positions.dtype).toBe('f16');
    const saved = await loadPretrained(smallWorldCheckpoint, { dtype: 'f16' });
    expect(new Set(leaves(saved.params).map(({ tensor: x }) => x.dtype))).toEqual(new Set(['f16', 'f32']));
    const wrong = { dtype: 'bf16' as 'f16' };
    await expect(loadPretrained(smallWorldCheckpoint, wrong)).rejects.toThrow("'f32' and 'f16' would fit");
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

describe('what belongs to a model', () => {
  it('its preprocessing, as the files have it', async () => {
    const of = async (path: string) => (await loadPretrained(fixture(path))).preprocess;
    expect(await of('hugging-face-f32')).toEqual({
      size: 8,
      resize: 'shorter-side',
      mean: [0.5, 0.4, 0.3],
      std: [0.25, 0.26, 0.27],
      interpolation: 'bicubic',
    });
    expect(await of('hugging-face-siglip')).toMatchObject({
      size: 14,
      resize: 'squash',
      interpolation: 'bilinear',
    });
    expect(await of('open-clip-siglip')).toMatchObject({ size: 12, resize: 'squash', mean: [0.5, 0.5, 0.5] });
    expect(await of('open-clip-folder')).toMatchObject({ resize: 'shorter-side', std: [0.5, 0.5, 0.5] });
    expect(await of('openai-f16.pt')).toEqual(CLIP_PREPROCESS(8));
  });

  it('its configuration, as the shapes tell it, and what they do not', async () => {
    const { model, assumptions } = await loadPretrained(fixture('openai-f16.pt'));
    expect(model.config).toEqual({
      embedding: 12,
      vision: {
        imageSize: 8,
        patchSize: 4,
        width: 64,
        depth: 1,
        heads: 1,
        activation: 'quickGelu',
        pool: 'class',
      },
      text: {
        vocabulary: 40,
        contextLength: 10,
        width: 64,
        depth: 1,
        heads: 1,
        activation: 'quickGelu',
        positions: 'absolute',
      },
    });
    expect(assumptions).toEqual([
      "heads of the vision tower have a width of 64, as in OpenAI's models",
      "heads of the text tower have a width of 64, as in OpenAI's models",
    ]);
  });

  it('its tokenizer, or an error when it is asked for one that is not there', async () => {
    const siglip = await loadPretrained(fixture('hugging-face-siglip'));
    expect(() => siglip.tokenizer.encode('a cat')).toThrow(
      /need its own tokenizer, .*tokenizer\.json, which is missing/,
    );
    const clip = await loadPretrained(fixture('hugging-face-f32'));
    expect(() => clip.tokenizer.encode('a cat')).toThrow(
      'the text tower knows 40 ids and the tokenizer has 49408',
    );
  });

  it('its tokenizer from its own file, which saving copies', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'with-tokenizer-'));
    const file = fileURLToPath(
      new URL('../../../data/reference/tokenizers/siglip/tokenizer.json', import.meta.url),
    );
    await cp(fixture('hugging-face-siglip'), folder, { recursive: true });
    await cp(file, join(folder, 'tokenizer.json'));
    const loaded = await loadPretrained(folder);
    expect(loaded.tokenizer).toMatchObject({ size: 146, end: 1 });
    expect(loaded.tokenizer.encode('a cat').at(-1)).toBe(1);
    await saveHuggingFace(join(folder, 'saved'), loaded);
    expect(await readFile(join(folder, 'saved', 'tokenizer.json'))).toEqual(await readFile(file));
    const { tokenizer } = await loadPretrained(join(folder, 'saved'));
    expect(tokenizer.encode('a cat')).toEqual(loaded.tokenizer.encode('a cat'));
    await rm(folder, { recursive: true });
  });

  it('a fingerprint of weights and configuration', async () => {
    const [gelu, quick] = await Promise.all(
      ['gelu' as const, 'quickGelu' as const].map((activation) => {
        const { path = '', config = narrow() } = layouts['open-clip-training'];
        return loadPretrained(fixture(path), { config: { ...config, text: { ...config.text, activation } } });
      }),
    );
    expect(gelu!.fingerprint).not.toBe(quick!.fingerprint);
    expect((await loadPretrained(fixture('openai-torchscript.pt'))).fingerprint).toBe(
      (await loadPretrained(fixture('openai-f16.pt'))).fingerprint,
    );
  });

  it('images of another size, with its positions resized', async () => {
    const { model, params, preprocess, fingerprint } = await loadPretrained(fixture('hugging-face-f32'), {
      imageSize: 16,
    });
    expect([model.config.vision.imageSize, preprocess.size, params.image.positions.shape[0]]).toEqual([
      16, 16, 17,
    ]);
    expect(await model.image.apply(params.image, pictures(16)).data()).toHaveLength(24);
    expect(fingerprint).not.toBe((await loadPretrained(fixture('hugging-face-f32'))).fingerprint);
  });
});
