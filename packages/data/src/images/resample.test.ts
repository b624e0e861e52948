/** Properties of the resampler, and a plain float64 one beside it. Its exactness is held against Pillow in odd-images.test.ts. */
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { crop, type Interpolation, type Pixels, resample } from './resample';

const FILTERS: Interpolation[] = ['nearest', 'bilinear', 'bicubic'];
const side = fc.integer({ min: 1, max: 40 });
const filter = fc.constantFrom(...FILTERS);

const pixels = fc
  .tuple(side, side, fc.constantFrom(1, 3, 4))
  .chain(([width, height, channels]) =>
    fc
      .uint8Array({ minLength: width * height * channels, maxLength: width * height * channels })
      .map((data): Pixels => ({ width, height, channels, data })),
  );

const map = (image: Pixels, change: (value: number) => number): Pixels => ({
  ...image,
  data: image.data.map(change),
});

/** Each row of pixels the other way round. */
function mirrored({ width, height, channels, data }: Pixels): Pixels {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + (width - 1 - x)) * channels;
      out.set(data.subarray(from, from + channels), (y * width + x) * channels);
    }
  }
  return { width, height, channels, data: out };
}

/** Rows become columns. */
function transposed({ width, height, channels, data }: Pixels): Pixels {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * channels;
      out.set(data.subarray(from, from + channels), (x * height + y) * channels);
    }
  }
  return { width: height, height: width, channels, data: out };
}

/**
 * What rounding alone may change: a tie after the first axis is one level, which the second axis carries on, and where it rounds a tie
 * it may be one more.
 */
const TIES = 2;

const largestDifference = (a: Uint8Array, b: ArrayLike<number>) => {
  expect(a.length).toBe(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
};

describe('resample', () => {
  test('a constant picture stays constant', () => {
    checkProperty(
      fc.property(side, side, side, side, fc.nat(255), filter, (width, height, w, h, value, name) => {
        const image = { width, height, channels: 3, data: new Uint8Array(width * height * 3).fill(value) };
        const { data } = resample(image, w, h, name);
        expect(data.length).toBe(w * h * 3);
        expect(data.every((v) => v === value)).toBe(true);
      }),
    );
  });

  test('its own size changes nothing', () => {
    checkProperty(
      fc.property(pixels, filter, (image, name) => {
        expect(resample(image, image.width, image.height, name)).toEqual(image);
      }),
    );
  });

  test('a region is that part of the whole', () => {
    checkProperty(
      fc.property(pixels, side, side, filter, fc.infiniteStream(fc.nat()), (image, w, h, name, numbers) => {
        const pick = (limit: number) => numbers.next().value % limit;
        const [left, top] = [pick(w), pick(h)];
        const region = { left, top, width: 1 + pick(w - left), height: 1 + pick(h - top) };
        expect(resample(image, w, h, name, region)).toEqual(crop(resample(image, w, h, name), region));
      }),
    );
  });

  test('a mirrored picture comes out mirrored, but for ties of rounding', () => {
    checkProperty(
      fc.property(
        pixels,
        side,
        side,
        fc.constantFrom<Interpolation>('bilinear', 'bicubic'),
        (image, w, h, name) => {
          const [there, back] = [
            resample(mirrored(image), w, h, name),
            mirrored(resample(image, w, h, name)),
          ];
          expect(largestDifference(there.data, back.data)).toBeLessThanOrEqual(TIES);
        },
      ),
    );
  });

  test('the negative comes out as the negative, but for ties of rounding', () => {
    checkProperty(
      fc.property(pixels, side, side, filter, (image, w, h, name) => {
        const negative = map(
          resample(
            map(image, (value) => 255 - value),
            w,
            h,
            name,
          ),
          (value) => 255 - value,
        );
        expect(largestDifference(negative.data, resample(image, w, h, name).data)).toBeLessThanOrEqual(TIES);
      }),
    );
  });

  test('the mean of two pictures comes out as the mean of both, but for rounding', () => {
    checkProperty(
      fc.property(pixels, side, side, fc.nat(), (image, w, h, seed) => {
        // Without negative weights nothing is clamped, so that only the three roundings of a value differ.
        const other = map(image, (value) => (value * 7 + seed) % 256);
        const even = (a: number, b: number) => (a + b) >> 1;
        const mean = { ...image, data: image.data.map((value, i) => even(value, other.data[i]!)) };
        const [a, b, both] = [image, other, mean].map((one) => resample(one, w, h, 'bilinear').data);
        expect(
          largestDifference(
            both!,
            a!.map((value, i) => even(value, b![i]!)),
          ),
        ).toBeLessThanOrEqual(2);
      }),
    );
  });

  test('is near a convolution in float64 that rounds after each axis', () => {
    checkProperty(
      fc.property(pixels, side, side, fc.constantFrom('bilinear', 'bicubic'), (image, w, h, name) => {
        const rows = convolved(image, w, name);
        const both = transposed(convolved(transposed(rows), h, name));
        expect(largestDifference(resample(image, w, h, name).data, both.data)).toBeLessThanOrEqual(1);
      }),
    );
  });
});

/** Kernels as the textbooks write them. */
const KERNELS = {
  bilinear: { radius: 1, at: (x: number) => 1 - Math.abs(x) },
  bicubic: {
    radius: 2, // Keys (1981), a = -1/2
    at: (x: number) => {
      const d = Math.abs(x);
      return d <= 1 ? 1.5 * d ** 3 - 2.5 * d ** 2 + 1 : -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2;
    },
  },
};

/** Along rows: each output pixel is the mean, weighted by the stretched kernel, of the input pixels whose centres it covers. */
function convolved(image: Pixels, width: number, name: 'bilinear' | 'bicubic'): Pixels {
  const { radius, at } = KERNELS[name];
  const scale = image.width / width;
  const stretch = Math.max(1, scale);
  const data = new Uint8Array(width * image.height * image.channels);
  for (let x = 0; x < width; x++) {
    const center = (x + 0.5) * scale;
    const covered = [...Array(image.width).keys()].filter((k) => {
      return Math.abs(k + 0.5 - center) / stretch < radius;
    });
    const weights = covered.map((k) => at((k + 0.5 - center) / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    for (let y = 0; y < image.height; y++) {
      for (let c = 0; c < image.channels; c++) {
        const value = covered.reduce(
          (total, k, i) => total + image.data[(y * image.width + k) * image.channels + c]! * weights[i]!,
          0,
        );
        const rounded = Math.round(value / sum);
        data[(y * width + x) * image.channels + c] = Math.min(255, Math.max(0, rounded));
      }
    }
  }
  return { ...image, width, data };
}
