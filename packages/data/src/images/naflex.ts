/**
 * Pictures for SigLIP 2's NaFlex models (arXiv 2502.14786): resized near their own aspect ratio, so that whole patches cover them
 * and no more than a given number, and cut into these patches.
 */
import { cutBox, type DecodeOptions, decodeRaster, toRgb } from './decode';
import { normalize, type PerChannel } from './preprocess';
import { resample } from './resample';
import type { ImageSource } from './source';

/** How a picture becomes patches. */
export interface NaflexOptions extends DecodeOptions {
  /** Side of a patch, in pixels. */
  readonly patch: number;
  /** Most patches of a picture; each has rows for as many. */
  readonly maxPatches: number;
  /** Default: 0.5 for every channel. */
  readonly mean?: PerChannel;
  /** Default: 0.5 for every channel. */
  readonly std?: PerChannel;
  /** Default: bilinear, as SigLIP 2's own preprocessing. */
  readonly interpolation?: 'bicubic' | 'bilinear';
}

/** A picture in patches. */
export interface NaflexImage {
  /** `[maxPatches, patch · patch · 3]`, normalized, row by row of the grid; 0 where there is no patch. */
  readonly patches: Float32Array;
  /** `[maxPatches]`: 1 where there is a patch, else 0. */
  readonly mask: Int32Array;
  /** Rows and columns of patches. */
  readonly grid: readonly [rows: number, columns: number];
}

/** Scales are searched to this precision, from a tenth of it to 100. */
const PRECISION = 1e-5;

/**
 * Height and width to which a picture is resized: multiples of the patch, at the largest scale at which both, rounded up, make
 * no more than `maxPatches` patches. Small pictures are enlarged.
 */
export function naflexSize(
  height: number,
  width: number,
  { patch, maxPatches }: { patch: number; maxPatches: number },
): [height: number, width: number] {
  for (const [name, value] of Object.entries({ patch, maxPatches })) {
    if (Number.isInteger(value) && value > 0) continue;
    throw new RangeError(`naflexSize: ${name} must be a whole number from 1 up, got ${value}`);
  }
  const scaled = (side: number, scale: number) => Math.max(1, Math.ceil((side * scale) / patch)) * patch;
  let [low, high] = [PRECISION / 10, 100];
  while (high - low >= PRECISION) {
    const scale = (low + high) / 2;
    const patches = (scaled(height, scale) / patch) * (scaled(width, scale) / patch);
    if (patches <= maxPatches) low = scale;
    else high = scale;
  }
  return [scaled(height, low), scaled(width, low)];
}

/**
 * A picture as a NaFlex tower reads it. It is RGB before it is resized.
 * @throws ImageError if there is no picture, or a broken one
 */
export async function preprocessNaflex(source: ImageSource, options: NaflexOptions): Promise<NaflexImage> {
  const {
    patch,
    maxPatches,
    mean = [0.5, 0.5, 0.5],
    std = [0.5, 0.5, 0.5],
    interpolation = 'bilinear',
  } = options;
  const image = cutBox(source, toRgb(await decodeRaster(source, options)));
  const [height, width] = naflexSize(image.height, image.width, options);
  const pixels = normalize(resample(image, width, height, interpolation), { mean, std });
  const [rows, columns] = [height / patch, width / patch];
  const patches = new Float32Array(maxPatches * patch * patch * 3);
  const stride = patch * 3;
  for (let y = 0; y < height; y++) {
    for (let column = 0; column < columns; column++) {
      const number = Math.floor(y / patch) * columns + column;
      const from = (y * columns + column) * stride;
      patches.set(pixels.subarray(from, from + stride), (number * patch + (y % patch)) * stride);
    }
  }
  const mask = new Int32Array(maxPatches).fill(1, 0, rows * columns);
  return { patches, mask, grid: [rows, columns] };
}
