/** Sizes, crops, boxes, normalization and patches, against Pillow's and torchvision's results and their rules written out. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage } from './decode';
import { naflexSize, preprocessNaflex } from './naflex';
import { CLIP_PREPROCESS, preprocess, preprocessPixels, SIGLIP_PREPROCESS, shorterSide } from './preprocess';
import type { Box } from './source';

const reference = join(import.meta.dirname, '../../reference');
const picture = (name: string) => join(reference, 'images', name);
const { made, boxes, naflex } = JSON.parse(readFileSync(join(reference, 'images.json'), 'utf8')) as {
  made: { size: number };
  boxes: Box[];
  naflex: { of: [number, number, number, number]; size: [number, number] }[];
};
const expected = async (name: string): Promise<Uint8Array> =>
  await sharp(join(reference, 'expected', `${name}.png`))
    .removeAlpha()
    .raw()
    .toBuffer();
const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
};

describe('preprocess', () => {
  test('takes a path, or bytes with a name', async () => {
    const path = picture('rgb.jpg');
    const options = CLIP_PREPROCESS(32);
    const bytes = readFileSync(path);
    expect(await preprocess({ name: 'a', bytes }, options)).toEqual(await preprocess(path, options));
  });

  test('subtracts the mean and divides by the deviation, in f32', async () => {
    for (const options of [CLIP_PREPROCESS(20), SIGLIP_PREPROCESS(20)]) {
      const { data } = await preprocessPixels(picture('rgb.png'), options);
      const values = await preprocess(picture('rgb.png'), options);
      const exact = Array.from(data, (v, i) => (v / 255 - options.mean[i % 3]!) / options.std[i % 3]!);
      expect(values.length).toBe(20 * 20 * 3);
      expect(largestDifference(values, exact)).toBeLessThan(1e-6);
    }
    expect(SIGLIP_PREPROCESS(224)).toMatchObject({ resize: 'squash', mean: [0.5, 0.5, 0.5] });
  });

  test('cuts boxes as Pillow crops: rounded, black outside', async () => {
    const all = await expected('boxes');
    const length = all.length / boxes.length;
    for (const [i, box] of boxes.entries()) {
      const source = { source: picture('large.jpg'), box };
      const { data } = await preprocessPixels(source, CLIP_PREPROCESS(made.size));
      expect(largestDifference(data, all.subarray(i * length, (i + 1) * length))).toBeLessThanOrEqual(1);
      const cut = await decodeImage(source);
      expect([cut.width, cut.height]).toEqual([Math.round(box[2]), Math.round(box[3])]);
    }
  });

  test('turns photographs upright only when asked to', async () => {
    for (const name of ['orientation-6.jpg', 'orientation-7.jpg']) {
      const upright = await decodeImage(picture(name), { orient: true });
      expect([upright.width, upright.height]).toEqual([44, 61]);
      expect(largestDifference(upright.data, await expected(`${name}.upright`))).toBeLessThanOrEqual(1);
      const { width, height, data } = await decodeImage(picture(name));
      expect([width, height]).toEqual([61, 44]);
      expect(data).not.toEqual(upright.data);
    }
  });

  test('reads AVIF, of which Pillow 9 knows nothing to compare with', async () => {
    const lossless = await sharp(picture('rgb.png'))
      .avif({ lossless: true, chromaSubsampling: '4:4:4' })
      .toBuffer();
    const { width, height, data } = await decodeImage({ name: 'a.avif', bytes: lossless });
    expect([width, height]).toEqual([61, 44]);
    expect(largestDifference(data, (await decodeImage(picture('rgb.png'))).data)).toBeLessThanOrEqual(4);
  });

  test('several at once are the same as one after the other', async () => {
    const names = ['rgb.jpg', 'rgba.png', 'palette.gif', 'cmyk.jpg', 'grey-16-bit.png', 'rgb.webp'];
    const run = (name: string) => preprocess(picture(name), CLIP_PREPROCESS(24));
    const together = await Promise.all(names.map(run));
    for (const [i, name] of names.entries()) expect(together[i]).toEqual(await run(name));
  });
});

test('the shorter side becomes the size, the longer is cut down to whole pixels', () => {
  checkProperty(
    fc.property(
      fc.integer({ min: 1, max: 9000 }),
      fc.integer({ min: 1, max: 9000 }),
      fc.constantFrom(224, 336, 32),
      (w, h, size) => {
        const [width, height] = shorterSide(w, h, size);
        expect(Math.min(width, height)).toBe(size);
        const longer = BigInt(size) * BigInt(Math.max(w, h));
        expect(BigInt(Math.max(width, height))).toBe(longer / BigInt(Math.min(w, h)));
      },
    ),
  );
  expect(shorterSide(640, 480, 224)).toEqual([298, 224]);
});

describe('NaFlex', () => {
  test.each(naflex)('size of $of', ({ of: [height, width, patch, maxPatches], size }) => {
    expect(naflexSize(height, width, { patch, maxPatches })).toEqual(size);
  });

  test('makes as many patches as fit', () => {
    const side = fc.integer({ min: 1, max: 3000 });
    checkProperty(
      fc.property(
        side,
        side,
        fc.constantFrom(8, 14, 16),
        fc.integer({ min: 64, max: 1024 }),
        (h, w, patch, maxPatches) => {
          fc.pre(Math.max(h, w) / Math.min(h, w) < maxPatches / 2);
          const [height, width] = naflexSize(h, w, { patch, maxPatches });
          expect([height % patch, width % patch]).toEqual([0, 0]);
          expect((height / patch) * (width / patch)).toBeLessThanOrEqual(maxPatches);
          // At a scale that gives both sides a patch more, it would be too many, or the picture is at its largest.
          const [more, wider] = [height / patch + 1, width / patch + 1];
          expect(more * wider > maxPatches || height >= h * 99).toBe(true);
        },
      ),
    );
  });

  test('cuts the resized picture into patches, row by row', async () => {
    const { patches, mask, grid } = await preprocessNaflex(picture('large.jpg'), {
      patch: 14,
      maxPatches: 64,
    });
    const [rows, columns] = grid;
    const resized = await expected('naflex');
    expect(resized.length).toBe(rows * columns * 14 * 14 * 3);
    expect(patches.length).toBe(64 * 14 * 14 * 3);
    const flat = Array.from(resized, (_, i) => {
      const [pixel, channel] = [Math.floor(i / 3), i % 3];
      const [y, x] = [Math.floor(pixel / (columns * 14)), pixel % (columns * 14)];
      const number = Math.floor(y / 14) * columns + Math.floor(x / 14);
      return patches[((number * 14 + (y % 14)) * 14 + (x % 14)) * 3 + channel]!;
    });
    const levels = flat.map((value) => (value * 0.5 + 0.5) * 255);
    expect(largestDifference(levels, resized)).toBeLessThanOrEqual(1.001);
    const count = rows * columns;
    expect([...mask]).toEqual(Array.from({ length: 64 }, (_, i) => Number(i < count)));
    expect(patches.subarray(count * 14 * 14 * 3).every((value) => value === 0)).toBe(true);
  });

  test('refuses sizes that are none', async () => {
    expect(() => naflexSize(4, 4, { patch: 0, maxPatches: 9 })).toThrow(
      /patch must be a whole number from 1 up, got 0/,
    );
    await expect(preprocessNaflex(picture('strip.png'), { patch: 16, maxPatches: 0.5 })).rejects.toThrow(
      /maxPatches must be a whole number/,
    );
  });
});
