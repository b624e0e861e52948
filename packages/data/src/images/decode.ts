/** Picture files to pixels, as Pillow decodes them. */
import sharp from 'sharp';
import { ImageError, type ImageSource, nameOf, readSource } from './source';

/** 8-bit RGB: `[height, width, 3]`. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/**
 * Decodes a picture to 8-bit RGB, as `PIL.Image.open(file).convert('RGB')` does.
 * @throws ImageError if there is no picture, or a broken one
 */
export async function decodeImage(source: ImageSource): Promise<RgbImage> {
  const bytes = await readSource(source);
  try {
    const { data, info } = await sharp(bytes, { ignoreIcc: true, failOn: 'truncated' })
      .removeAlpha()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data };
  } catch (cause) {
    throw new ImageError(nameOf(source), cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
