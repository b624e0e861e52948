/** Classifying, indexing and searching with the model of this package, on scenes that it was not trained on. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { init } from '@clipin/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEmbedder, type Embedder } from '../evaluation/embedder';
import { encodersOf } from '../evaluation/encoders';
import { evaluationSets, type Measurement, measure } from '../evaluation/measure';
import { openWorld } from '../training/world';
import type { PretrainedModel } from '../weights/load-pretrained';
import { classifier } from './classify';
import { indexFolder } from './index-folder';
import { cutTexts, indexModelOf, loadNamed, logitsOf, SMALL_WORLD } from './load-model';
import { openIndex } from './picture-index';
import { sceneDrawer } from './pictures.test-helpers';
import { searchIndex } from './search-index';

const sets = evaluationSets({ hand: 'noto', split: 'test', pairsPerKind: 1, gallery: 60 });
const scenes = sets.gallery;
const draw = sceneDrawer(48);

let place: string;
let pretrained: PretrainedModel;
let embedder: Embedder;
let measured: Measurement;
const pictures = () => join(place, 'pictures');

beforeAll(async () => {
  await init({ device: 'wasm', threads: 1 });
  pretrained = await loadNamed(SMALL_WORLD);
  embedder = createEmbedder(pretrained);
  const { model, params } = pretrained;
  measured = await measure(encodersOf(model)(params), sets, openWorld(['noto']), 48);
  place = await mkdtemp(join(tmpdir(), 'use-'));
  await mkdir(pictures());
  for (const [i, { scene }] of scenes.entries()) await writeFile(join(pictures(), `${i}.png`), draw(scene));
});
afterAll(() => rm(place, { recursive: true }));

describe('searching a folder', () => {
  const directory = () => join(place, 'index');
  beforeAll(async () => {
    const model = indexModelOf(pretrained, SMALL_WORLD);
    expect(model).toMatchObject({ source: SMALL_WORLD, name: SMALL_WORLD, width: 128 });
    const report = await indexFolder({ folder: pictures(), directory: directory(), model, embedder });
    expect(report).toMatchObject({ pictures: 60, embedded: 60, complete: true });
  });

  it('finds pictures by what they show', async () => {
    using index = await openIndex(directory());
    let first = 0;
    for (const [i, { short }] of scenes.entries()) {
      const [best] = await searchIndex(index, embedder, { query: { text: short }, top: 1 });
      if (best?.path === `${i}.png`) first++;
    }
    // The measurement draws the same scenes itself, in floating point instead of files.
    expect(
      Math.abs((first / scenes.length) * 100 - (measured.retrieval.short.textToImage[1] ?? 0)),
    ).toBeLessThan(4);
    expect(first).toBeGreaterThan(40);
  });

  it('finds a picture by itself, and as many as are asked for', async () => {
    using index = await openIndex(directory());
    const matches = await searchIndex(index, embedder, {
      query: { like: join(pictures(), '7.png') },
      top: 5,
    });
    expect(matches).toHaveLength(5);
    expect(matches[0]?.path).toBe('7.png');
    expect(matches[0]?.score).toBeCloseTo(1, 5);
    expect(await searchIndex(index, embedder, { query: { text: 'a star' }, top: 1000 })).toHaveLength(60);
  });

  it('refuses what cannot be looked for', async () => {
    using index = await openIndex(directory());
    await expect(searchIndex(index, embedder, { query: { text: '  ' }, top: 1 })).rejects.toThrow(
      'the text is empty',
    );
    await expect(searchIndex(index, embedder, { query: { text: 'a star' }, top: 0 })).rejects.toThrow(
      'top must be',
    );
    await expect(
      searchIndex(index, embedder, { query: { like: join(place, 'no.png') }, top: 1 }),
    ).rejects.toThrow('no.png: there is no such file');
  });
});

it('names what a picture shows, as often as the measurement says', async () => {
  const { scenes: single, prompts } = sets.classes;
  const { classify } = await classifier(embedder, { labels: prompts, logits: await logitsOf(pretrained) });
  const sources = single.map((scene, i) => ({ name: String(i), bytes: draw(scene) }));
  let right = 0;
  let at = 0;
  for await (const result of classify(sources)) {
    if ('error' in result) throw result.error;
    if (result.scores[0]?.label === prompts[at++]) right++;
    expect(result.scores.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 8);
  }
  expect(at).toBe(prompts.length);
  expect(Math.abs((right / at) * 100 - measured.classification)).toBeLessThan(2);
  // By chance: half a percent.
  expect(right / at).toBeGreaterThan(0.2);
});

describe('what a model is told', () => {
  it('reads its factor and its bias', async () => {
    const [scale] = await pretrained.params.logitScale.data();
    expect(await logitsOf(pretrained)).toEqual({ scale: Math.exp(scale!) });
  });

  it('warns of texts that it does not read to their end', () => {
    const long =
      'a red apple and a green apple and a star and a key and a hat and a red heart and a blue heart and a pig';
    expect(cutTexts(pretrained, ['a star', long])).toEqual([
      `"${long.slice(0, 57)}…" has ${pretrained.tokenizer.encode(long).length} tokens, of which the model reads the first 28`,
    ]);
  });

  it('says when it does not know a word', () => {
    expect(() => cutTexts(pretrained, ['a zeppelin'])).toThrow(
      /the model small-world cannot read "a zeppelin"; .*cut vocabulary/,
    );
  });

  it('gives an index another fingerprint when pictures are prepared in another way', () => {
    const squashed: PretrainedModel = {
      ...pretrained,
      preprocess: { ...pretrained.preprocess, resize: 'squash' },
    };
    expect(indexModelOf(squashed, SMALL_WORLD).fingerprint).not.toBe(
      indexModelOf(pretrained, SMALL_WORLD).fingerprint,
    );
    expect(indexModelOf(pretrained, '.').source).toBe(process.cwd());
    expect(indexModelOf(pretrained, 'openai/clip-vit-base-patch32').source).toBe(
      'openai/clip-vit-base-patch32',
    );
  });
});
