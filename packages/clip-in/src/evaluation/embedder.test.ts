import { mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CLIP_PREPROCESS,
  clipTokenizer,
  encodeTexts,
  type ImageError,
  type ImageSource,
  preprocess,
  preprocessNaflex,
  SIGLIP_PREPROCESS,
} from '@clipin/data';
import { patchedImages } from '@clipin/nn';
import { init, randomKey, tensor } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { encode } from 'fast-png';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ModelConfig } from '../configurations';
import { dualEncoder } from '../model';
import { createEmbedder, type EmbeddedImage, type EmbeddingModel } from './embedder';

const tokenizer = clipTokenizer();
const config: ModelConfig = {
  embedding: 6,
  vision: { imageSize: 8, patchSize: 4, width: 8, depth: 1, heads: 2, activation: 'gelu', pool: 'class' },
  text: {
    vocabulary: tokenizer.size,
    contextLength: 40,
    width: 8,
    depth: 1,
    heads: 2,
    activation: 'gelu',
    positions: 'absolute',
  },
};

let folder: string;
beforeEach(async () => {
  await init({ device: 'wasm', threads: 1 });
  folder = await mkdtemp(join(tmpdir(), 'embedder-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const tiny = (text: Partial<ModelConfig['text']> = {}): EmbeddingModel => {
  const model = dualEncoder({ ...config, text: { ...config.text, ...text } });
  return {
    model,
    params: model.init(randomKey(1)),
    tokenizer,
    preprocess: CLIP_PREPROCESS(8),
    fingerprint: 'a',
  };
};

/** The same model, but the image tower or the text tower may not run. */
const idle = (pretrained: EmbeddingModel): EmbeddingModel => {
  const refuse = () => {
    throw new Error('the tower was asked');
  };
  const { image, text } = pretrained.model;
  return {
    ...pretrained,
    model: { ...pretrained.model, image: { ...image, apply: refuse }, text: { ...text, apply: refuse } },
  };
};

/** A picture that differs from others by its seed. */
const picture = (seed: number, side = 11): { name: string; bytes: Uint8Array } => {
  const data = Uint8Array.from(
    { length: side * (side + 2) * 3 },
    (_, i) => (i * 7 + seed * 31 + ((i * seed) % 13)) % 256,
  );
  return {
    name: `${seed}.png`,
    bytes: encode({ width: side + 2, height: side, data, channels: 3, depth: 8 }),
  };
};

async function all(items: AsyncIterable<EmbeddedImage>): Promise<EmbeddedImage[]> {
  const list: EmbeddedImage[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const embeddings = (items: readonly EmbeddedImage[]): number[][] =>
  items.map((item) => ('embedding' in item ? [...item.embedding] : []));

/** Straight through the towers, one at a time. */
async function direct(
  { model, params, preprocess: options }: EmbeddingModel,
  source: ImageSource,
): Promise<number[]> {
  const pixels = await preprocess(source, options);
  return [...(await model.image.apply(params.image, tensor(pixels, [1, 8, 8, 3])).data())];
}

const expectClose = (got: ArrayLike<number>, want: ArrayLike<number>) => {
  expect(got.length).toBe(want.length);
  for (let i = 0; i < want.length; i++) expect(Math.abs(got[i]! - want[i]!)).toBeLessThan(2e-6);
};

describe('images', () => {
  it('gives each source its own embedding, in order, whatever the batch', async () => {
    const pretrained = tiny();
    const reference = await Promise.all(Array.from({ length: 7 }, (_, i) => direct(pretrained, picture(i))));
    await checkProperty(
      fc.asyncProperty(
        fc.array(fc.nat(6), { maxLength: 24 }),
        fc.integer({ min: 1, max: 9 }),
        async (seeds, batch) => {
          const embedder = createEmbedder(pretrained, { batch });
          const got = await all(embedder.images(seeds.map((seed) => picture(seed))));
          expect(got.map(({ source }) => (source as { name: string }).name)).toEqual(
            seeds.map((seed) => `${seed}.png`),
          );
          for (const [i, row] of embeddings(got).entries()) expectClose(row, reference[seeds[i]!]!);
          expect(embedder.embedded.images).toBe(new Set(seeds).size);
        },
      ),
      { numRuns: 12 },
    );
  });

  it('keeps the shape of pictures for NaFlex models, of several shapes in a batch', async () => {
    const square = tiny();
    const vision = { ...config.vision, imageSize: 16, pool: 'attention', naflex: true } as const;
    const model = dualEncoder({ ...config, vision });
    const params = model.init(randomKey(1));
    const pretrained = { ...square, model, params, preprocess: SIGLIP_PREPROCESS(16) };
    const pictures = [picture(1, 5), picture(2, 40), { source: picture(3), box: [0, 0, 12, 3] }] as const;
    const embedder = createEmbedder(pretrained, { batch: 2 });
    const got = embeddings(await all(embedder.images(pictures)));
    const grids = new Set<string>();
    for (const [i, source] of pictures.entries()) {
      const patched = await preprocessNaflex(source, { patch: 4, maxPatches: 16 });
      grids.add(String(patched.grid));
      const images = patchedImages([patched], { patchSize: 4, positions: 4, patches: 16 });
      expectClose(got[i]!, await model.image.apply(params.image, images).data());
    }
    expect(grids.size).toBe(3);
  });

  it('tells boxes of one picture, and other preprocessing, apart', async () => {
    const pretrained = tiny();
    const file = picture(3);
    const boxed: ImageSource = { source: file, box: [2, 1, 6, 7] };
    const embedder = createEmbedder(pretrained, { cache: folder });
    const [whole, part] = embeddings(await all(embedder.images([file, boxed])));
    expectClose(part!, await direct(pretrained, boxed));
    expect(part).not.toEqual(whole);
    const squash: EmbeddingModel = {
      ...pretrained,
      preprocess: { ...pretrained.preprocess, resize: 'squash' },
    };
    const other = createEmbedder(squash, { cache: folder });
    expectClose(embeddings(await all(other.images([file])))[0]!, await direct(squash, file));
    expect(other.embedded.images).toBe(1);
  });

  it('goes on after what is no picture, or not there', async () => {
    const path = join(folder, 'cut.png');
    await writeFile(path, picture(5).bytes.subarray(0, 200));
    const sources = [picture(1), path, join(folder, 'missing.jpg'), picture(2)];
    const got = await all(createEmbedder(tiny(), { batch: 2 }).images(sources));
    expect(got.map((item) => 'error' in item)).toEqual([false, true, true, false]);
    const [, cut, missing] = got as { error: ImageError }[];
    expect(cut?.error.message).toContain('cut.png');
    expect(missing?.error.message).toMatch(/missing\.jpg.*no such file/);
  });

  it('reads a few ahead, and not all', async () => {
    let pulled = 0;
    let taken = 0;
    let most = 0;
    const sources = (function* () {
      for (; pulled < 60; pulled++) yield picture(pulled);
    })();
    for await (const _ of createEmbedder(tiny(), { batch: 3 }).images(sources)) {
      taken++;
      most = Math.max(most, pulled - taken);
    }
    expect(taken).toBe(60);
    // The batch on the device, those being decoded, and one that waits to be taken.
    expect(most).toBeLessThanOrEqual(3 + 6 + 1);
  });

  it('does not give numbers that are none', async () => {
    const pretrained = tiny();
    const { logitScale, text, image } = pretrained.params;
    const params = { logitScale, text, image: { ...image, projection: image.projection!.mul(Number.NaN) } };
    await expect(all(createEmbedder({ ...pretrained, params }).images([picture(1)]))).rejects.toThrow(
      'not a number',
    );
  });

  it('wants pictures of the size that the model reads', () => {
    expect(() => createEmbedder({ ...tiny(), preprocess: CLIP_PREPROCESS(16) })).toThrow(
      /16 pixels.*reads 8/,
    );
  });
});

describe('texts', () => {
  const captions = [
    'a red apple',
    'two',
    'a very long caption '.repeat(12),
    '',
    'a red apple',
    'one more of a middle length, with words',
  ];

  it.each([
    ['of CLIP, whose padding is left out', {}],
    ['of SigLIP, whose padding counts', { causal: false, pool: 'last' } as const],
  ])('are as the tower %s', async (_, options) => {
    const pretrained = tiny(options);
    const { model, params } = pretrained;
    const want = await model.text
      .apply(params.text, tensor(encodeTexts(tokenizer, captions, 40), [6, 40]))
      .data();
    for (const batch of [1, 4, 16]) {
      const embedder = createEmbedder(pretrained, { batch });
      expectClose(await embedder.texts(captions), want);
      expect(embedder.embedded.texts).toBe(5);
    }
  });

  it('have the length at which a tower of two lengths reads them', async () => {
    for (const pad of [tokenizer.end, tokenizer.pad]) {
      const pretrained = tiny({ causal: false, pool: 'last', positions: 'rotary', shortLength: 8 });
      const { model, params } = pretrained;
      const padded = { ...tokenizer, pad }; // SigLIP pads with the end token
      const lengths = captions.map((text) => (tokenizer.encode(text).length <= 8 ? 8 : 40));
      expect(new Set(lengths).size).toBe(2);
      const want = await Promise.all(
        captions.map((text, i) => {
          const length = lengths[i] as number;
          return model.text
            .apply(params.text, tensor(encodeTexts(padded, [text], length), [1, length]))
            .data();
        }),
      );
      for (const batch of [1, 2, 16]) {
        const embedder = createEmbedder({ ...pretrained, tokenizer: padded }, { batch });
        expectClose(await embedder.texts(captions), Float32Array.from(want.flatMap((row) => [...row])));
        expect([embedder.embedded.texts, embedder.cut]).toEqual([5, 1]);
      }
    }
  });

  it('are counted where they are longer than the model reads, and not where they just fit', async () => {
    const embedder = createEmbedder(tiny());
    const words = (count: number) => Array.from({ length: count }, () => 'a').join(' ');
    await embedder.texts([words(37), words(38), words(39), words(39), words(80)]);
    expect([embedder.cut, embedder.contextLength]).toEqual([3, 40]);
  });

  it('may be none', async () => {
    expect(await createEmbedder(tiny()).texts([])).toEqual(new Float32Array(0));
  });
});

describe('the cache', () => {
  const sources = Array.from({ length: 10 }, (_, i) => picture(i));
  const captions = ['a red apple', 'a green apple'];
  const segments = async (): Promise<string[]> =>
    (await readdir(folder, { recursive: true }))
      .filter((name) => name.endsWith('.embeddings'))
      .map((name) => join(folder, name));

  async function filled(): Promise<{ images: number[][]; texts: Float32Array; file: string }> {
    const embedder = createEmbedder(tiny(), { cache: folder, batch: 4 });
    const images = embeddings(await all(embedder.images(sources)));
    const texts = await embedder.texts(captions);
    embedder.close();
    const [file] = await segments();
    return { images, texts, file: file! };
  }

  it('gives the same bits to the next process, whose towers rest', async () => {
    const { images, texts } = await filled();
    const again = createEmbedder(idle(tiny()), { cache: folder, batch: 4 });
    expect(embeddings(await all(again.images(sources)))).toEqual(images);
    expect(await again.texts(captions)).toEqual(texts);
    expect(again.embedded).toEqual({ images: 0, texts: 0 });
  });

  it('goes on where an interrupted run was', async () => {
    const stop = new AbortController();
    const first = createEmbedder(tiny(), { cache: folder, batch: 2, signal: stop.signal });
    let taken = 0;
    const run = async () => {
      for await (const _ of first.images(sources)) if (++taken === 5) stop.abort(new Error('stopped'));
    };
    await expect(run()).rejects.toThrow('stopped');
    const second = createEmbedder(tiny(), { cache: folder, batch: 2 });
    await all(second.images(sources));
    expect(first.embedded.images).toBeGreaterThanOrEqual(5);
    expect(first.embedded.images + second.embedded.images).toBe(10);
  });

  it('does not count a record that a killed process left cut short, at whatever byte', async () => {
    const { images, file } = await filled();
    const { size } = await stat(file);
    const record = 32 + 6 * 4 + 4;
    expect((size - 20) % record).toBe(0);
    for (const cut of [1, 3, record - 1, record, record + 1, size - 21, size - 10, size]) {
      const bytes = await readFile(file);
      await truncate(file, size - cut);
      const lost = Math.min(12, Math.ceil(cut / record));
      const embedder = createEmbedder(tiny(), { cache: folder, batch: 4 });
      for (const [i, row] of embeddings(await all(embedder.images(sources))).entries())
        expectClose(row, images[i]!);
      await embedder.texts(captions);
      expect([cut, embedder.embedded.images + embedder.embedded.texts, embedder.damaged]).toEqual([
        cut,
        lost,
        0,
      ]);
      embedder.close();
      for (const other of await segments()) if (other !== file) await rm(other);
      await writeFile(file, bytes);
    }
  });

  it('notices a bit that flipped, wherever it is', async () => {
    const { images, file } = await filled();
    const whole = await readFile(file);
    const record = 32 + 6 * 4 + 4;
    for (const place of [20 + 5, 20 + 33, 20 + record * 3 + 40, 20 + record * 9 + record - 1]) {
      const bytes = Buffer.from(whole);
      bytes[place]! ^= 16;
      await writeFile(file, bytes);
      const embedder = createEmbedder(tiny(), { cache: folder, batch: 4 });
      for (const [i, row] of embeddings(await all(embedder.images(sources))).entries())
        expectClose(row, images[i]!);
      expect([place, embedder.embedded.images]).toEqual([place, 1]);
      embedder.close();
      for (const other of await segments()) if (other !== file) await rm(other);
    }
  });

  it('does not read a file that is something else', async () => {
    const { file } = await filled();
    await writeFile(file, 'something else of some length, whatever');
    const embedder = createEmbedder(tiny(), { cache: folder });
    expect(embedder.damaged).toBe(1);
    await all(embedder.images(sources));
    expect(embedder.embedded.images).toBe(10);
  });

  it('belongs to one model', async () => {
    await filled();
    const other = createEmbedder({ ...tiny(), fingerprint: 'b' }, { cache: folder });
    await all(other.images(sources));
    expect(other.embedded.images).toBe(10);
  });

  it('may be written by two at a time', async () => {
    const [a, b] = [
      createEmbedder(tiny(), { cache: folder, batch: 2 }),
      createEmbedder(tiny(), { cache: folder, batch: 3 }),
    ];
    await Promise.all([all(a.images(sources)), all(b.images(sources))]);
    a.close();
    b.close();
    const third = createEmbedder(idle(tiny()), { cache: folder });
    expect(embeddings(await all(third.images(sources)))).toHaveLength(10);
    expect(third.damaged).toBe(0);
  });

  it('says which directory cannot be used', async () => {
    const path = join(folder, 'file');
    await (await open(path, 'w')).close();
    expect(() => createEmbedder(tiny(), { cache: path })).toThrow(path);
  });
});
