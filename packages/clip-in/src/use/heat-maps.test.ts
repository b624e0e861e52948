import { CLIP_PREPROCESS, SIGLIP_PREPROCESS } from '@clipin/data';
import { init, randomKey, tensor } from '@clipin/tensor';
import { interpolateInferno } from 'd3-scale-chromatic';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import type { VisionConfig } from '../configurations';
import { createEmbedder } from '../evaluation/embedder';
import { dualEncoder } from '../model';
import type { PretrainedModel } from '../weights/load-pretrained';
import { heatMapFigure } from './heat-map-figure';
import { type HeatMaps, heatMaps } from './heat-maps';
import { loadNamed, logitsOf, SMALL_WORLD } from './load-model';
import { sceneDrawer, tinyPicture } from './pictures.test-helpers';

let pretrained: PretrainedModel;
beforeAll(async () => {
  await init({ device: 'wasm', threads: 1 });
  pretrained = await loadNamed(SMALL_WORLD);
});

describe('maps', () => {
  it('are of the model that embeds the whole picture', async () => {
    const apple = {
      item: 'red-apple',
      place: 'left',
      size: 'large',
      mirrored: false,
      upsideDown: false,
      shift: [0, 0],
    } as const;
    const picture = { name: 'p', bytes: sceneDrawer(48)({ background: 'blue', objects: [apple] }) };
    const embedder = createEmbedder(pretrained);
    const maps = await heatMaps(pretrained, embedder, picture, 'a red apple');
    expect(maps).toMatchObject({ grid: [6, 6], ownShape: false, covered: 1, pool: 'class', heads: 3 });
    expect([maps.attention.length, maps.similarity.length]).toEqual([36, 36]);
    // The class token keeps a share for itself.
    const share = maps.attention.reduce((a, b) => a + b);
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(1);
    const [text, image] = [await embedder.texts(['a red apple']), await only(embedder.images([picture]))];
    expect(maps.cosine).toBeCloseTo(
      text.reduce((sum, value, i) => sum + value * image[i]!, 0),
      5,
    );
    for (const value of maps.similarity) expect(Math.abs(value)).toBeLessThanOrEqual(1.0001);
  });

  it('are the mean of the heads, and products of patches and text', async () => {
    const { config, image } = pretrained.model;
    const width = config.embedding;
    const patches = Float32Array.from({ length: 36 * width }, (_, i) => Math.sin(i));
    const attention = Float32Array.from({ length: 3 * 36 }, (_, i) => i / 1000);
    const features = () => ({
      embedding: tensor(patches.slice(0, width), [1, width]),
      patches: tensor(patches, [1, 36, width]),
      attention: tensor(attention, [1, 3, 36]),
    });
    const model = { ...pretrained.model, image: { ...image, features } };
    const words = Float32Array.from({ length: width }, (_, i) => Math.cos(i * i));
    const embedder = { texts: async () => words };
    const picture = { name: 'p', bytes: tinyPicture(1) };
    const maps = await heatMaps({ ...pretrained, model }, embedder, picture, 'x');
    for (let patch = 0; patch < 36; patch++) {
      expect(maps.attention[patch]).toBeCloseTo((patch + (36 + patch) + (72 + patch)) / 3000, 6);
      const row = patches.subarray(patch * width, (patch + 1) * width);
      expect(maps.similarity[patch]).toBeCloseTo(
        row.reduce((sum, value, i) => sum + value * words[i]!, 0),
        4,
      );
    }
    expect(maps.cosine).toBeCloseTo(maps.similarity[0]!, 6);
  });

  /** A model of random weights whose tower is of another kind. */
  const other = (vision: Partial<VisionConfig>): PretrainedModel => {
    const { config } = pretrained.model;
    const model = dualEncoder({ ...config, logitBias: true, vision: { ...config.vision, ...vision } });
    const size = model.config.vision.imageSize;
    return { ...pretrained, model, params: model.init(randomKey(3)), preprocess: SIGLIP_PREPROCESS(size) };
  };
  const wide = async () => {
    const bytes = await sharp({ create: { width: 90, height: 30, channels: 3, background: '#3060c0' } })
      .png()
      .toBuffer();
    return { name: 'wide.png', bytes };
  };

  it.each<[string, Partial<VisionConfig>, Partial<HeatMaps>]>([
    ['a probe', { pool: 'attention', imageSize: 27 }, { grid: [3, 3], covered: 24 / 27, pool: 'attention' }],
    ['a mean', { pool: 'mean' }, { grid: [6, 6], covered: 1, pool: 'mean' }],
    [
      'pictures in their own shape',
      { pool: 'attention', naflex: true },
      { grid: [3, 9], ownShape: true, covered: 1 },
    ],
  ])('are of towers with %s', async (_, vision, expected) => {
    const loaded = other(vision);
    const embedder = createEmbedder(loaded);
    const maps = await heatMaps(loaded, embedder, await wide(), 'a star');
    expect(maps).toMatchObject(expected);
    const count = maps.grid[0] * maps.grid[1];
    expect([maps.attention.length, maps.similarity.length]).toEqual([count, count]);
    // Such pools look at nothing but patches, so that none of the attention is left for padding or a class token.
    expect(maps.attention.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    const [text, image] = [await embedder.texts(['a star']), await only(embedder.images([await wide()]))];
    expect(maps.cosine).toBeCloseTo(
      text.reduce((sum, value, i) => sum + value * image[i]!, 0),
      5,
    );
    expect(await logitsOf(loaded)).toEqual({ scale: expect.closeTo(10, 4), bias: -10 });
  });

  it('refuse an empty text and what is no picture', async () => {
    const embedder = createEmbedder(pretrained);
    const picture = { name: 'p.png', bytes: tinyPicture(1) };
    await expect(heatMaps(pretrained, embedder, picture, ' ')).rejects.toThrow('the text is empty');
    const broken = { name: 'b.png', bytes: Buffer.from('broken') };
    await expect(heatMaps(pretrained, embedder, broken, 'a star')).rejects.toThrow('b.png: ');
  });
});

describe('the figure', () => {
  const side = 384;
  const left = (panel: number) => 24 + panel * (side + 24);
  const hot = 6; // row 1, column 2 of 4
  const maps: HeatMaps = {
    grid: [4, 4],
    ownShape: false,
    covered: 1,
    attention: Float32Array.from({ length: 16 }, (_, i) => (i === hot ? 0.5 : 0.01)),
    similarity: new Float32Array(16).fill(0.2),
    cosine: 0.25,
    pool: 'class',
    heads: 3,
  };
  const draw = async (more: Partial<HeatMaps> = {}, text = 'a red apple') => {
    const bytes = await sharp({ create: { width: 40, height: 30, channels: 3, background: '#3060c0' } })
      .png()
      .toBuffer();
    const png = await heatMapFigure({
      image: { name: 'p', bytes },
      text,
      maps: { ...maps, ...more },
      preprocess: CLIP_PREPROCESS(48),
      model: 'small-world',
    });
    const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([3 * side + 4 * 24, 84 + side + 62]);
    return (x: number, y: number) => [
      ...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3),
    ];
  };
  const lightness = (rgb: readonly number[]) => rgb.reduce((a, b) => a + b);
  const rgb = (hex: string) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  /** Colour on the grey that the picture has. */
  const mixed = (at: number) => {
    const grey = 40 + 0.7 * (0.2126 * 0x30 + 0.7152 * 0x60 + 0.0722 * 0xc0);
    return rgb(interpolateInferno(at)).map((value) => 0.38 * grey + 0.62 * value);
  };
  const near = (actual: readonly number[], expected: readonly number[], by: number) =>
    actual.forEach((value, i) => {
      expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(by);
    });

  it('shows the picture, and the hottest patch where it is', async () => {
    const at = await draw();
    near(at(left(0) + 200, 84 + 200), [0x30, 0x60, 0xc0], 1);
    const cell = side / 4;
    const [x, y] = [left(1) + 2.5 * cell, 84 + 1.5 * cell];
    near(at(x, y), mixed(1), 3);
    near(at(left(1) + 3, 84 + side - 4), mixed(0), 3);
    for (let row = 0; row < 4; row++)
      for (let column = 0; column < 4; column++) {
        if (row * 4 + column === hot) continue;
        const other = at(left(1) + (column + 0.5) * cell, 84 + (row + 0.5) * cell);
        expect(lightness(other)).toBeLessThan(lightness(at(x, y)) / 2);
      }
    // A map without differences has one colour.
    near(at(left(2) + 20, 84 + 20), mixed(0), 2);
    near(at(left(2) + 300, 84 + 350), mixed(0), 2);
  });

  it('has the colours of the scale in its legend', async () => {
    const at = await draw();
    const y = 84 + side + 18 + 5;
    for (const panel of [1, 2])
      for (const share of [0.02, 0.25, 0.5, 0.75, 0.98])
        near(at(Math.round(left(panel) + share * side), y), rgb(interpolateInferno(share)), 6);
  });

  it('leaves grey what no patch covers', async () => {
    const at = await draw({ covered: 0.75 });
    const [r, g, b] = at(left(1) + 300, 84 + 300);
    expect([g, b]).toEqual([r, r]);
  });

  it('shows a picture that is taken whole in the shape of its grid', async () => {
    const at = await draw({ grid: [2, 8], ownShape: true });
    near(at(left(0) + 380, 84 + 90), [0x30, 0x60, 0xc0], 1);
    near(at(left(0) + 380, 84 + 100), [255, 255, 255], 0);
    const [x, y] = [left(1) + 6.5 * 48, 84 + 24];
    near(at(x, y), mixed(1), 4);
  });

  it('writes the text over its map, long ones in two lines', async () => {
    const [short, long] = [
      await draw(),
      await draw({}, 'a red apple to the left of a green apple and a very small yellow star above them all'),
    ];
    const ink = (at: Awaited<ReturnType<typeof draw>>, panel: number, from: number, to: number) => {
      let dark = 0;
      for (let y = from; y < to; y++)
        for (let x = left(panel); x < left(panel) + side; x++) if (lightness(at(x, y)) < 300) dark++;
      return dark;
    };
    for (const panel of [0, 1, 2]) expect(ink(short, panel, 32, 54)).toBeGreaterThan(100);
    expect(ink(short, 2, 8, 30)).toBe(0);
    expect(ink(long, 2, 8, 30)).toBeGreaterThan(100);
  });
});

async function only(results: ReturnType<ReturnType<typeof createEmbedder>['images']>): Promise<Float32Array> {
  for await (const result of results) {
    if ('error' in result) throw result.error;
    return result.embedding;
  }
  throw new Error('nothing');
}
