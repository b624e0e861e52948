/**
 * Picture files to pixels, as Pillow opens them: `sharp` decodes, and what Pillow does otherwise is done here (colour
 * profiles and gamma are left aside, transparency shows the colour below it, 16-bit grey is clipped).
 * A picture stays in its own mode, as Pillow has it, until `toRgb`.
 */
import sharp, { type FailOnOptions, type Metadata, type Sharp } from 'sharp';
import { gifFrame, pngHasAlpha, tiffFacts } from './headers';
import type { Pixels } from './resample';
import { type Box, ImageError, type ImageSource, nameOf, partsOf, readSource } from './source';

/** 8-bit RGB: `[height, width, 3]`. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** How pictures are decoded. */
export interface DecodeOptions {
  /**
   * Turn the picture upright as its EXIF orientation says. Default: false, as Pillow and so the reference code of CLIP,
   * with which published figures were measured. Set it for photographs that people took. A TIFF is always turned, by Pillow too.
   */
  readonly orient?: boolean;
}

/** A picture in a mode of Pillow: what its `resize` does depends on it. */
export type Raster =
  /** RGB, or grey three times; `indexed`: it had a palette or two levels, and Pillow resizes it by the nearest pixel. */
  | (Pixels & { readonly mode: 'rgb'; readonly indexed: boolean })
  | (Pixels & { readonly mode: 'rgba' | 'cmyk' })
  /** 16-bit grey, one channel. */
  | { readonly mode: 'grey16'; readonly width: number; readonly height: number; readonly data: Uint16Array };

/** Pixels of a picture that is decoded at all: 2²⁸, as of a photograph of 20,000 × 13,400. */
export const PIXEL_LIMIT = 2 ** 28;

/** The formats that are read, by sharp's names; Pillow reads them too. */
const FORMATS = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif', 'heif'];
const SPACES = ['srgb', 'rgb', 'rgb16', 'b-w', 'grey16', 'cmyk'];

/**
 * Decodes a picture to 8-bit RGB, as `PIL.Image.open(file).convert('RGB')` does, and cuts out its box, if it has one. Of an animation
 * it is the first frame.
 * @throws ImageError if there is no picture, or one that is broken, too large, or of a kind that is not read
 */
export async function decodeImage(source: ImageSource, options: DecodeOptions = {}): Promise<RgbImage> {
  const { width, height, data } = cutBox(source, toRgb(await decodeRaster(source, options)));
  return { width, height, data };
}

/** The picture in its own mode, whole. */
export async function decodeRaster(
  source: ImageSource,
  { orient = false }: DecodeOptions = {},
): Promise<Raster> {
  const bytes = await readSource(source);
  const name = nameOf(source);
  const metadata = await attempt(name, () => sharp(bytes, { limitInputPixels: false }).metadata());
  checkKind(name, metadata);
  const tiff = metadata.format === 'tiff' ? tiffFacts(bytes) : undefined;
  if (tiff && !tiff.complete) throw new ImageError(name, 'cannot be decoded: the TIFF is cut off');
  const autoOrient = orient || tiff !== undefined;
  const options = { ignoreIcc: true, limitInputPixels: PIXEL_LIMIT, autoOrient };
  return await strictly(metadata.format, (failOn) =>
    attempt(name, () => rasterOf(sharp(bytes, { ...options, failOn }), bytes, metadata)),
  );
}

/** Decodes so that a picture of which a part is missing is an error, and one with harmless oddities is none. */
async function strictly<T>(format: string, decode: (failOn: FailOnOptions) => Promise<T>): Promise<T> {
  if (format === 'tiff') return await decode('error'); // one that is cut off counts as an error only
  if (format !== 'jpeg') return await decode('truncated');
  try {
    return await decode('warning');
  } catch (error) {
    // Most warnings are harmless, such as bytes too many before a marker. With these, a part of the picture is missing.
    if (/premature end of data segment|bad Huffman code/.test(String(error))) throw error;
    return await decode('truncated');
  }
}

async function attempt<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    // libvips names the function that failed, then what it met; nothing of the picture is shown in its stead.
    // It says so again for every part that is broken.
    const lines = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    const message = [...new Set(lines.map((line) => line.trim()))].filter((line) => line !== '').join(' ');
    throw new ImageError(name, `cannot be decoded: ${message}`, { cause });
  }
}

function checkKind(name: string, { format, space, depth, width, height }: Metadata): void {
  if (!FORMATS.includes(format)) {
    throw new ImageError(name, `is ${format}, expected one of ${FORMATS.join(', ')}`);
  }
  if (!SPACES.includes(space) || !(depth === 'uchar' || depth === 'ushort')) {
    throw new ImageError(
      name,
      `has ${depth} samples of ${space}, expected 8 or 16 bits of grey, RGB or CMYK`,
    );
  }
  if (width * height > PIXEL_LIMIT) {
    const [pixels, limit] = [width * height, PIXEL_LIMIT].map((count) => count.toLocaleString('en'));
    throw new ImageError(
      name,
      `is ${width} × ${height} = ${pixels} pixels large, more than the limit of ${limit}`,
    );
  }
}

async function rasterOf(picture: Sharp, bytes: Uint8Array, metadata: Metadata): Promise<Raster> {
  const { format, space, depth } = metadata;
  if (depth === 'ushort') return await deep(picture, metadata, format !== 'png' || pngHasAlpha(bytes));
  if (space === 'cmyk') {
    // Of JPEGs, all are taken for inverted, as Adobe writes them: by libvips, too.
    const inks = await raw(picture.pipelineColourspace('cmyk').toColourspace('cmyk'));
    return { mode: 'cmyk', ...firstChannels(inks, 4) };
  }
  const pixels = await raw(picture.toColourspace('srgb'));
  if (format === 'gif') return gifRaster(pixels, bytes);
  const keepsAlpha = pixels.channels === 4 && !(format === 'png' && !pngHasAlpha(bytes));
  if (keepsAlpha) return { mode: 'rgba', ...pixels };
  const indexed =
    metadata.isPalette || metadata.bitsPerSample === 1 || (format === 'tiff' && tiffFacts(bytes).palette);
  return { mode: 'rgb', indexed, ...firstChannels(pixels, 3) };
}

async function raw(picture: Sharp): Promise<Pixels> {
  const { data, info } = await picture.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: info.channels, data };
}

/** 16 bits: of colours Pillow keeps the upper 8, and grey it keeps whole. */
async function deep(picture: Sharp, { space, channels }: Metadata, alpha: boolean): Promise<Raster> {
  const grey = space === 'grey16' && (channels === 1 || !alpha);
  const { data, info } = await picture
    .toColourspace(grey ? 'grey16' : 'rgb16')
    .raw({ depth: 'ushort' })
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const samples = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
  if (grey) {
    const single = info.channels === 1 ? samples : samples.filter((_, i) => i % info.channels === 0);
    return { mode: 'grey16', width, height, data: single };
  }
  const upper = {
    width,
    height,
    channels: info.channels,
    data: Uint8Array.from(samples, (value) => value >> 8),
  };
  if (alpha && info.channels === 4) return { mode: 'rgba', ...upper };
  return { mode: 'rgb', indexed: false, ...firstChannels(upper, 3) };
}

/** A decoder leaves transparent pixels empty; in Pillow they have the colour of their index. */
function gifRaster(pixels: Pixels, bytes: Uint8Array): Raster {
  const frame = gifFrame(bytes);
  const { width, height, channels, data } = pixels;
  const out = firstChannels(pixels, 3);
  if (!frame) return { mode: 'rgb', indexed: true, ...out };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const [column, row] = [x - frame.left, y - frame.top];
      const inside = column >= 0 && column < frame.width && row >= 0 && row < frame.height;
      if (inside && (channels < 4 || data[4 * i + 3] !== 0)) continue;
      out.data.set(frame.hidden, 3 * i);
    }
  }
  return { mode: 'rgb', indexed: !frame.grey, ...out };
}

function firstChannels({ width, height, channels, data }: Pixels, kept: number): Pixels {
  if (channels === kept) return { width, height, channels, data };
  const out = new Uint8Array(width * height * kept);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < kept; c++) out[i * kept + c] = data[i * channels + c]!;
  }
  return { width, height, channels: kept, data: out };
}

/** Pillow's `convert('RGB')`: alpha is dropped, inks are multiplied naively, 16-bit grey is clipped at 255 (not scaled). */
export function toRgb(raster: Raster): Pixels {
  if (raster.mode === 'rgb') return raster;
  const { mode, width, height } = raster;
  if (mode === 'rgba') return firstChannels(raster, 3);
  const data = new Uint8Array(width * height * 3);
  if (mode === 'grey16') {
    raster.data.forEach((value, i) => {
      data.fill(Math.min(value, 255), 3 * i, 3 * i + 3);
    });
  } else {
    for (let i = 0; i < width * height; i++) {
      const white = 255 - raster.data[4 * i + 3]!;
      for (let c = 0; c < 3; c++) data[3 * i + c] = white - timesOf255(raster.data[4 * i + c]!, white);
    }
  }
  return { width, height, channels: 3, data };
}

/** `a · b / 255`, rounded, as Pillow computes it. */
export function timesOf255(a: number, b: number): number {
  const product = a * b + 128;
  return ((product >> 8) + product) >> 8;
}

/** Pillow's `crop` of an RGB picture: corners rounded, black outside. */
export function cutBox(source: ImageSource, image: Pixels): Pixels {
  const { box } = partsOf(source);
  if (!box) return image;
  const [left, top, right, bottom] = corners(source, box);
  const [width, height] = [right - left, bottom - top];
  const data = new Uint8Array(width * height * 3);
  const [from, to] = [Math.max(left, 0), Math.min(right, image.width)];
  for (let y = Math.max(top, 0); y < Math.min(bottom, image.height) && from < to; y++) {
    const row = y * image.width;
    data.set(image.data.subarray((row + from) * 3, (row + to) * 3), ((y - top) * width + from - left) * 3);
  }
  return { width, height, channels: 3, data };
}

function corners(source: ImageSource, [x, y, width, height]: Box): Box {
  const [left, top, right, bottom] = [x, y, x + width, y + height].map(roundHalfEven) as [
    number,
    number,
    number,
    number,
  ];
  if (right > left && bottom > top && (right - left) * (bottom - top) <= PIXEL_LIMIT)
    return [left, top, right, bottom];
  throw new ImageError(
    nameOf(source),
    `a box is [x, y, width, height] in pixels, at least 1 × 1 and at most ${PIXEL_LIMIT.toLocaleString('en')} of them`,
  );
}

/** Python's `round`, by which Pillow places boxes and torchvision its centre crop. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
