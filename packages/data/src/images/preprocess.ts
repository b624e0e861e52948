/**
 * From picture files to what image towers read: resized as Pillow does, cut and normalized as torchvision does, in the order
 * of OpenAI's CLIP and of open_clip.
 */
import { CLIP_MEAN, CLIP_STD } from '../scenes/render';
import { decodeImage } from './decode';
import { crop, type Pixels, type Region, resample } from './resample';
import { type Box, ImageError, type ImageSource, nameOf, partsOf } from './source';

/** Three numbers, for red, green and blue. */
export type PerChannel = readonly [number, number, number];

/** How a picture becomes the input of a tower. */
export interface PreprocessOptions {
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
  const { width, height, data } = await decodeImage(source);
  const image = cutBox(source, { width, height, channels: 3, data });
  const { size, interpolation = 'bicubic' } = options;
  if (options.resize === 'squash') return resample(image, size, size, interpolation);
  const [newWidth, newHeight] = shorterSide(image.width, image.height, size);
  const region: Region = {
    left: roundHalfEven((newWidth - size) / 2),
    top: roundHalfEven((newHeight - size) / 2),
    width: size,
    height: size,
  };
  return resample(image, newWidth, newHeight, interpolation, region);
}

/** torchvision's rule: the shorter side becomes `size`, the longer one keeps the ratio, rounded down. */
export function shorterSide(width: number, height: number, size: number): [width: number, height: number] {
  const [short, long] = width <= height ? [width, height] : [height, width];
  const longer = Math.trunc((size * long) / short);
  return width <= height ? [size, longer] : [longer, size];
}

/** Python's `round`, by which torchvision places its centre crop. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Pillow's crop: corners rounded, black outside. */
function cutBox(source: ImageSource, image: Pixels): Pixels {
  const { box } = partsOf(source);
  if (!box) return image;
  const [left, top, right, bottom] = corners(source, box);
  const out = new Uint8Array((right - left) * (bottom - top) * image.channels);
  const inside: Region = {
    left: Math.max(left, 0),
    top: Math.max(top, 0),
    width: Math.min(right, image.width) - Math.max(left, 0),
    height: Math.min(bottom, image.height) - Math.max(top, 0),
  };
  const result = { width: right - left, height: bottom - top, channels: image.channels, data: out };
  if (inside.width <= 0 || inside.height <= 0) return result;
  const part = crop(image, inside);
  for (let y = 0; y < inside.height; y++) {
    const row = part.data.subarray(y * inside.width * 3, (y + 1) * inside.width * 3);
    out.set(row, ((inside.top - top + y) * result.width + inside.left - left) * image.channels);
  }
  return result;
}

function corners(source: ImageSource, [x, y, width, height]: Box): Box {
  const [left, top, right, bottom] = [x, y, x + width, y + height].map(roundHalfEven) as [
    number,
    number,
    number,
    number,
  ];
  if (!(right > left && bottom > top)) {
    throw new ImageError(
      nameOf(source),
      `the box must be at least 1 × 1 pixel, got [${[x, y, width, height].join(', ')}]`,
    );
  }
  return [left, top, right, bottom];
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
