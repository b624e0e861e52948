/** Odd pictures against Pillow and torchvision: `reference/odd_images.py` made the pictures and what should come of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeImage } from './decode';
import { CLIP_PREPROCESS, preprocessPixels, SIGLIP_PREPROCESS } from './preprocess';

const reference = join(import.meta.dirname, '../../reference');
const { made, images } = JSON.parse(readFileSync(join(reference, 'images.json'), 'utf8')) as {
  made: { size: number };
  images: { name: string; mode: string; width: number; height: number }[];
};

/** The pixels of an expected picture; an RGB PNG without anything odd. */
const expected = async (name: string): Promise<Uint8Array> =>
  await sharp(join(reference, 'expected', `${name}.png`))
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer();

/** Largest difference of two pictures, in grey levels. */
function difference(a: Uint8Array, b: Uint8Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

describe.each(images)('$name ($mode)', ({ name, width, height }) => {
  const path = join(reference, 'images', name);
  // Decoders of lossy formats may round otherwise in another version; everything else is exact.
  const tolerance = /\.(jpg|webp)$/.test(name) ? 1 : 0;

  test('decodes as in Pillow', async () => {
    const image = await decodeImage(path);
    expect([image.width, image.height]).toEqual([width, height]);
    expect(difference(image.data, await expected(`${name}.decoded`))).toBeLessThanOrEqual(tolerance);
  });

  test('is resized and cut as by torchvision, in both orders', async () => {
    const [clip, squash] = [CLIP_PREPROCESS(made.size), SIGLIP_PREPROCESS(made.size)];
    const parts = [clip, { ...clip, rgbFirst: true }, squash, { ...squash, rgbFirst: true }];
    const all = await expected(name);
    const length = all.length / parts.length;
    for (const [i, options] of parts.entries()) {
      const { data } = await preprocessPixels(path, options);
      expect(difference(data, all.subarray(i * length, (i + 1) * length))).toBeLessThanOrEqual(tolerance);
    }
  });
});
