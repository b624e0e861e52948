/** Images of any shape in patches. Against PyTorch, with a whole tower: `clip-in`'s towers.test.ts. */
import { evaluate, init, normal, randomKey, type Tensor, tensor } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { cutPatches, patchEmbedding, patchedImages, patchGrid, visionTransformer } from './index';

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

describe('patchGrid', () => {
  const side = fc.integer({ min: 1, max: 5000 });
  const sizes = fc.record({
    patchSize: fc.constantFrom(14, 16, 32),
    patches: fc.constantFrom(1, 16, 256, 1024),
  });

  it('has no more patches than allowed, and the next larger image of the same shape has', () =>
    checkProperty(
      fc.property(side, side, sizes, (height, width, options) => {
        const [rows, columns] = patchGrid(height, width, options);
        expect(rows * columns).toBeLessThanOrEqual(options.patches);
        // Scales at which a side gets one patch more; beyond 100 nothing is enlarged.
        const next =
          Math.min((rows * options.patchSize) / height, (columns * options.patchSize) / width) + 2e-5;
        if (next > 100) return;
        const along = (length: number) => Math.ceil((length * next) / options.patchSize);
        expect(along(height) * along(width)).toBeGreaterThan(options.patches);
      }),
    ));

  it('gives the grids that follow by hand', () => {
    expect(patchGrid(640, 640, { patchSize: 16, patches: 256 })).toEqual([16, 16]);
    // At 0.45 of the size, 13.5 by 18 patches; with a 19th column there would be 266.
    expect(patchGrid(480, 640, { patchSize: 16, patches: 256 })).toEqual([14, 18]);
    expect(patchGrid(1, 4000, { patchSize: 16, patches: 256 })).toEqual([1, 256]);
  });
});

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
    const patched = patchedImages([cutPatches(pixels, 12, 4)], { grid: 3, patches: 11 });
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
          const { patches, shape } = cutPatches(pixels, 4 * columns, 4);
          expect(shape).toEqual([rows, columns]);
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
    const images = [cutPatches(waves(8 * 16 * 3), 16, 4), cutPatches(waves(12 * 4 * 3), 4, 4)];
    const together = patchedImages(images, { grid: 3, patches: 10 });
    const noise = evaluate(normal(randomKey(5), [2, 10, 48]));
    const padded = together.patches.add(noise.mul(together.mask.not().cast('f32').expandDims(2)));
    const embedded = tower.apply(params, { ...together, patches: padded });
    for (const [i, image] of images.entries()) {
      const alone = patchedImages([image], { grid: 3, patches: 8 });
      await expectClose(embedded.slice([i, i + 1]), tower.apply(params, alone));
    }
  });

  it('are refused where they do not fit', () => {
    const image = cutPatches(waves(8 * 16 * 3), 16, 4);
    expect(() => patchedImages([image], { grid: 3, patches: 7 })).toThrow(
      'patchedImages: image 0 has 384 values in 2 by 4 patches; wants at most 7 patches of 48 values',
    );
    expect(() => cutPatches(waves(8 * 6 * 3), 6, 4)).toThrow('patchSize 4 does not divide width 6');
    const averaging = visionTransformer({ ...size, pool: 'mean' });
    const patched = patchedImages([image], { grid: 3, patches: 8 });
    expect(() => averaging.apply(averaging.init(randomKey(0)), patched)).toThrow(
      'patches of any grid need the pool attention; this one is mean',
    );
    const wrong = patchedImages([image], { grid: 4, patches: 8 });
    expect(() => tower.apply(tower.init(randomKey(0)), wrong)).toThrow('wants f32[1, 8, 9]');
  });
});
