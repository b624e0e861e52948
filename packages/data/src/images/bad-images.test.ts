/** What is no picture, or a broken one, is an ImageError that says so; never pixels. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeImage } from './decode';
import { CLIP_PREPROCESS, preprocess } from './preprocess';
import { ImageError } from './source';

const folder = join(import.meta.dirname, '../../reference/images');
const read = (name: string) => readFileSync(join(folder, name));
const bytesOf = (text: string) => new TextEncoder().encode(text);

async function errorOf(name: string, bytes: Uint8Array): Promise<ImageError> {
  const error: unknown = await decodeImage({ name, bytes }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ImageError);
  return error as ImageError;
}

describe('a file that is cut off', () => {
  test.each([
    'rgb.jpg',
    'progressive.jpg',
    'cmyk.jpg',
    'rgb.png',
    'palette.png',
    'grey-16-bit.png',
    'transparent.gif',
    'rgb.webp',
    'rgba.webp',
    'rgb.tiff',
    'grey-16-bit.tiff',
    'palette.tiff',
  ])('%s', async (name) => {
    const whole = read(name);
    for (const share of [0.01, 0.3, 0.6, 0.9]) {
      const error = await errorOf(name, whole.subarray(0, Math.ceil(whole.length * share)));
      expect(error.message).toMatch(`${name}: cannot be decoded`);
      expect(error.image).toBe(name);
    }
  });
});

test('whatever is changed in a file, it decodes whole or is an ImageError', { timeout: 60_000 }, async () => {
  const names = [
    'rgb.jpg',
    'palette-4-bit.png',
    'grey-16-bit.png',
    'transparent.gif',
    'rgba.webp',
    'rgb.tiff',
  ];
  const change = fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(255));
  const changes = fc.array(change, { minLength: 1, maxLength: 4 });
  await checkProperty(
    fc.asyncProperty(fc.constantFrom(...names), changes, fc.boolean(), async (name, list, early) => {
      const bytes = new Uint8Array(read(name));
      // Half of the changes are in the headers.
      const reach = early ? Math.min(200, bytes.length) : bytes.length;
      for (const [where, value] of list) bytes[Math.floor(where * reach)] = value;
      try {
        const { width, height, data } = await decodeImage({ name, bytes });
        expect(data.length).toBe(width * height * 3);
      } catch (error) {
        expect(error).toBeInstanceOf(ImageError);
      }
    }),
    { numRuns: 300 },
  );
});

describe('a JPEG', () => {
  const whole = read('large.jpg');
  const end = whole.subarray(-2);

  test('that lacks a part, but has its end, is not filled up with grey', async () => {
    for (const share of [0.4, 0.7, 0.95]) {
      const parts = [whole.subarray(0, Math.floor(whole.length * share)), end];
      const error = await errorOf('part.jpg', Buffer.concat(parts));
      expect(error.message).toMatch(/part.jpg: cannot be decoded: .*premature end of data segment/);
    }
  });

  test('with bytes too many before a marker decodes, as in Pillow', async () => {
    const bytes = Buffer.concat([whole.subarray(0, -2), Buffer.from([0, 1, 2, 3]), end]);
    const { data } = await decodeImage({ name: 'more.jpg', bytes });
    expect(data).toEqual((await decodeImage({ name: 'large.jpg', bytes: whole })).data);
  });
});

describe('no picture', () => {
  test('nothing, text, pages', async () => {
    expect((await errorOf('a.jpg', new Uint8Array())).message).toBe(
      'a.jpg: the file is empty, expected a picture',
    );
    expect((await errorOf('b.jpg', bytesOf('not a picture'))).message).toMatch(/b.jpg: cannot be decoded/);
    expect((await errorOf('c.jpg', bytesOf('<!doctype html><html><body>404</body></html>'))).message).toMatch(
      /c.jpg: cannot be decoded/,
    );
  });

  test('a drawing is not rasterized', async () => {
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>';
    expect((await errorOf('d.svg', bytesOf(svg))).message).toMatch(
      /d.svg: is svg, expected one of jpeg, png/,
    );
  });

  test('a path without a file', async () => {
    const missing = join(folder, 'missing.jpg');
    await expect(decodeImage(missing)).rejects.toThrow(`${missing}: there is no such file`);
    await expect(decodeImage(folder)).rejects.toThrow(`${folder}: cannot be read (EISDIR)`);
  });
});

test('a picture beyond the limit names its size and the limit', async () => {
  const bytes = new Uint8Array(read('rgb.png'));
  new DataView(bytes.buffer).setUint32(16, 60_000);
  new DataView(bytes.buffer).setUint32(20, 50_000);
  const error = await errorOf('huge.png', bytes);
  expect(error.message).toBe(
    'huge.png: is 60000 × 50000 = 3,000,000,000 pixels large, more than the limit of 268,435,456',
  );
});

test('options that make no picture are refused', async () => {
  const source = join(folder, 'rgb.png');
  await expect(preprocess(source, CLIP_PREPROCESS(0))).rejects.toThrow(
    /size must be a whole number from 1 up, got 0/,
  );
  await expect(preprocess({ source, box: [3, 3, 0, 5] }, CLIP_PREPROCESS(8))).rejects.toThrow(
    /rgb.png \[3, 3, 0, 5\]: a box is \[x, y, width, height\] in pixels, at least 1 × 1/,
  );
  await expect(preprocess({ source, box: [0, 0, Number.NaN, 5] }, CLIP_PREPROCESS(8))).rejects.toThrow(
    ImageError,
  );
});
