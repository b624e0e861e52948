/** Pillow's `resize` of a picture in its own mode, as RGB: which way a mode goes is Pillow's, step by step. */
import { type Raster, timesOf255, toRgb } from './decode';
import { crop, type Pixels, type Region, resample, resampleGrey16 } from './resample';

/**
 * The wanted region of a picture resized to `width` × `height`, converted to RGB after that: palettes by the nearest pixel, transparent
 * pictures with their colours multiplied by alpha, inks as inks, 16-bit grey with 16 bits.
 */
export function resizeToRgb(
  raster: Raster,
  width: number,
  height: number,
  interpolation: 'bilinear' | 'bicubic',
  region: Region,
): Pixels {
  if (width === raster.width && height === raster.height) return crop(toRgb(raster), region);
  const size = { width: region.width, height: region.height };
  if (raster.mode === 'rgb') {
    return resample(raster, width, height, raster.indexed ? 'nearest' : interpolation, region);
  }
  if (raster.mode === 'grey16') {
    const data = resampleGrey16(raster, width, height, interpolation, region);
    return toRgb({ mode: 'grey16', ...size, data });
  }
  if (raster.mode === 'cmyk') {
    return toRgb({ mode: 'cmyk', ...resample(raster, width, height, interpolation, region) });
  }
  const seen = resample(multiplyByAlpha(raster), width, height, interpolation, region);
  return toRgb({ mode: 'rgba', ...divideByAlpha(seen) });
}

function multiplyByAlpha(image: Pixels): Pixels {
  const data = new Uint8Array(image.data);
  for (let i = 0; i < data.length; i += 4) {
    const alpha = data[i + 3]!;
    if (alpha === 255) continue;
    for (let c = 0; c < 3; c++) data[i + c] = timesOf255(data[i + c]!, alpha);
  }
  return { ...image, data };
}

function divideByAlpha(image: Pixels): Pixels {
  const data = new Uint8Array(image.data);
  for (let i = 0; i < data.length; i += 4) {
    const alpha = data[i + 3]!;
    if (alpha === 0 || alpha === 255) continue;
    for (let c = 0; c < 3; c++) data[i + c] = Math.min(255, Math.trunc((255 * data[i + c]!) / alpha));
  }
  return { ...image, data };
}
