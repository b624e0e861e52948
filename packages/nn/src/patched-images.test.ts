/** Images of any shape in patches. Against PyTorch, with a whole tower: `clip-in`'s towers.test.ts. */
import { evaluate, init, normal, randomKey, type Tensor, tensor } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ImagePatches, patchEmbedding, patchedImages, visionTransformer } from './index';

beforeAll(async () => {
  await init({ device: 'reference' });
});

const waves = (size: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(0.37 * i));

async function expectClose(actual: Tensor, wanted: Tensor) {
  expect(actual.shape).toEqual(wanted.shape);
  const [got, values] = [await actual.data(), await wanted.data()];
  values.forEach((value, i) => {
    expect(got[i]).toBeCloseTo(value, 6);
  });
}

/** An image of `[rows · 4, columns · 4, 3]` values, cut pixel by pixel. */
function cut(pixels: Float32Array, rows: number, columns: number): ImagePatches {
  const patches = Float32Array.from(pixels, (_, i) => {
    const [patch, inside] = [Math.floor(i / 48), i % 48];
    const y = 4 * Math.floor(patch / columns) + Math.floor(inside / 12);
    const x = 4 * (patch % columns) + Math.floor((inside % 12) / 3);
    return pixels[3 * (y * 4 * columns + x) + (inside % 3)] as number;
  });
  return { patches, grid: [rows, columns] };
}
const patchSize = 4;

describe('images in patches', () => {
  const size = { imageSize: 12, patchSize: 4, width: 8, depth: 1, heads: 2, outputs: 8 };
  const tower = visionTransformer({
    ...size,
    pool: 'attention',
    patchBias: true,
    lnPre: false,
    projection: false,
  });

  it('are embedded like images, where the grid is the learned one', async () => {
    const params = evaluate(tower.init(randomKey(1)));
    const pixels = waves(12 * 12 * 3);
    const patched = patchedImages([cut(pixels, 3, 3)], { patchSize, positions: 3, patches: 11 });
    await expectClose(tower.apply(params, patched), tower.apply(params, tensor(pixels, [1, 12, 12, 3])));
  });

  it('are cut as patchEmbedding cuts', () =>
    checkProperty(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        async (rows, columns) => {
          const layer = patchEmbedding({ patchSize: 4, width: 5, bias: true });
          const params = { ...evaluate(layer.init(randomKey(2))), bias: tensor([1, 2, 3, 4, 5]) };
          const pixels = waves(rows * columns * 48);
          const { patches } = cut(pixels, rows, columns);
          await expectClose(
            layer.apply(params, tensor(patches, [1, rows * columns, 48])),
            layer.apply(params, tensor(pixels, [1, 4 * rows, 4 * columns, 3])),
          );
        },
      ),
      { numRuns: 16 },
    ));

  it('do not see each other, nor what fills them up', async () => {
    const params = evaluate(tower.init(randomKey(1)));
    const images = [cut(waves(8 * 16 * 3), 2, 4), cut(waves(12 * 4 * 3), 3, 1)];
    const together = patchedImages(images, { patchSize, positions: 3, patches: 10 });
    const noise = evaluate(normal(randomKey(5), [2, 10, 48]));
    const padded = together.patches.add(noise.mul(together.mask.not().cast('f32').expandDims(2)));
    const embedded = tower.apply(params, { ...together, patches: padded });
    for (const [i, image] of images.entries()) {
      const alone = patchedImages([image], { patchSize, positions: 3, patches: 8 });
      await expectClose(embedded.slice([i, i + 1]), tower.apply(params, alone));
    }
  });

  it('are refused where they do not fit', () => {
    const image = cut(waves(8 * 16 * 3), 2, 4);
    expect(() => patchedImages([image], { patchSize, positions: 3, patches: 7 })).toThrow(
      'patchedImages: image 0 has 384 values for 2 by 4 patches; wants at most 7 patches of 48 values',
    );
    const short = { ...image, patches: image.patches.subarray(1) };
    expect(() => patchedImages([short], { patchSize, positions: 3, patches: 8 })).toThrow(
      'image 0 has 383 values',
    );
    const averaging = visionTransformer({ ...size, pool: 'mean' });
    const patched = patchedImages([image], { patchSize, positions: 3, patches: 8 });
    expect(() => averaging.apply(averaging.init(randomKey(0)), patched)).toThrow(
      'patches of any grid need the pool attention; this one is mean',
    );
    const wrong = patchedImages([image], { patchSize, positions: 4, patches: 8 });
    expect(() => tower.apply(tower.init(randomKey(0)), wrong)).toThrow('wants f32[1, 8, 9]');
  });
});
