/**
 * From picture files to what image towers read: resized as Pillow does, cut and normalized as torchvision does, in the order
 * of OpenAI's CLIP and of open_clip.
 */
import { CLIP_MEAN, CLIP_STD } from '../scenes/render';
import { cutBox, type DecodeOptions, decodeRaster, type Raster, roundHalfEven, toRgb } from './decode';
import type { Pixels } from './resample';
import { resizeToRgb } from './resize';
import { type ImageSource, partsOf } from './source';

/** Three numbers, for red, green and blue. */
export type PerChannel = readonly [number, number, number];

/** How a picture becomes the input of a tower. */
export interface PreprocessOptions extends DecodeOptions {
  /** Side of the square, in pixels. */
  readonly size: number;
  /** `shorter-side` keeps the aspect ratio and cuts out the centre; `squash` does not. */
  readonly resize: 'shorter-side' | 'squash';
  /** Taken from channels between 0 and 1 … */
  readonly mean: PerChannel;
  /** … which are then divided by this. */
  readonly std: PerChannel;
  /** Default: bicubic. */
  readonly interpolation?: 'bicubic' | 'bilinear';
  /**
   * Convert to RGB before resizing. Default: false, as OpenAI's and open_clip's transforms, which resize a picture in its own
   * mode (a palette by the nearest pixel, transparent colours multiplied by alpha). Loaders of folders and shards (torchvision,
   * webdataset) convert first. JPEGs and other pictures that are RGB or grey come out the same.
   */
  readonly rgbFirst?: boolean;
}

/** What OpenAI's CLIP and most of open_clip's models read. */
export const CLIP_PREPROCESS = (size: number): PreprocessOptions => ({
  size,
  resize: 'shorter-side',
  mean: [CLIP_MEAN[0], CLIP_MEAN[1], CLIP_MEAN[2]],
  std: [CLIP_STD[0], CLIP_STD[1], CLIP_STD[2]],
});

/** What SigLIP and SigLIP 2 of one fixed size read. */
export const SIGLIP_PREPROCESS = (size: number): PreprocessOptions => ({
  size,
  resize: 'squash',
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
});

/**
 * A picture as an image tower reads it: `[size, size, 3]`, normalized.
 * @throws ImageError if there is no picture, or a broken one
 */
export async function preprocess(source: ImageSource, options: PreprocessOptions): Promise<Float32Array> {
  return normalize(await preprocessPixels(source, options), options);
}

/** The same before it is normalized: `[size, size, 3]`, 8-bit RGB. */
export async function preprocessPixels(source: ImageSource, options: PreprocessOptions): Promise<Pixels> {
  const { size, interpolation = 'bicubic', rgbFirst = false } = options;
  if (!Number.isInteger(size) || size < 1) {
    throw new RangeError(`preprocess: size must be a whole number from 1 up, got ${size}`);
  }
  const decoded = await decodeRaster(source, options);
  const early = rgbFirst || partsOf(source).box !== undefined;
  const raster: Raster = early ? { ...cutBox(source, toRgb(decoded)), mode: 'rgb', indexed: false } : decoded;
  if (options.resize === 'squash') {
    return resizeToRgb(raster, size, size, interpolation, { left: 0, top: 0, width: size, height: size });
  }
  const [width, height] = shorterSide(raster.width, raster.height, size);
  const [left, top] = [width, height].map((side) => roundHalfEven((side - size) / 2)) as [number, number];
  return resizeToRgb(raster, width, height, interpolation, { left, top, width: size, height: size });
}

/** torchvision's rule: the shorter side becomes `size`, the longer one keeps the ratio, rounded down. */
export function shorterSide(width: number, height: number, size: number): [width: number, height: number] {
  const [short, long] = width <= height ? [width, height] : [height, width];
  const longer = Math.trunc((size * long) / short);
  return width <= height ? [size, longer] : [longer, size];
}

/** Channels from 0 to 255 to normalized f32; the 256 values of a channel are computed once, rounded as PyTorch rounds. */
export function normalize(
  { data, channels }: Pixels,
  { mean, std }: { mean: PerChannel; std: PerChannel },
): Float32Array {
  const f = Math.fround;
  const tables = mean.map((m, c) =>
    Float32Array.from({ length: 256 }, (_, value) => f(f(f(value / 255) - f(m)) / f(std[c]!))),
  );
  const out = new Float32Array(data.length);
  for (let c = 0; c < channels; c++) {
    const table = tables[c]!;
    for (let i = c; i < data.length; i += channels) out[i] = table[data[i]!]!;
  }
  return out;
}
