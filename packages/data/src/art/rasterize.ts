/**
 * From SVG text to a sprite: a square of premultiplied RGBA with the drawing trimmed to what it covers and centred.
 * Also the area-averaging resize that the renderer uses.
 */
import { Resvg } from '@resvg/resvg-js';

/** Pixels, four values each (red, green, blue, alpha), colours premultiplied by alpha. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8Array | Float32Array;
}

/** Alpha at or below this is haze of antialiasing and does not count as drawing. */
const FAINT = 12;

/**
 * Draws an SVG so that its visible part just fits a square.
 * @param size - side of the square in pixels
 * @returns premultiplied RGBA bytes, `[size, size, 4]`
 */
export function rasterize(svg: string, size: number): Uint8Array {
  const drawn = new Resvg(svg, {
    fitTo: { mode: 'width', value: Math.ceil(size * 1.25) },
    font: { loadSystemFonts: false },
  }).render();
  const pixels: Pixels = { width: drawn.width, height: drawn.height, data: new Uint8Array(drawn.pixels) };
  const box = visibleBox(pixels);
  if (!box) throw new Error('rasterize: the drawing is empty');
  const scale = size / Math.max(box.width, box.height);
  const width = Math.max(1, Math.round(box.width * scale));
  const height = Math.max(1, Math.round(box.height * scale));
  const fitted = resizeArea(crop(pixels, box), width, height);
  const out = new Uint8Array(size * size * 4);
  const left = (size - width) >> 1;
  const top = (size - height) >> 1;
  for (let y = 0; y < height; y++) {
    for (let i = 0; i < width * 4; i++) {
      out[((top + y) * size + left) * 4 + i] = Math.round(fitted.data[y * width * 4 + i] ?? 0);
    }
  }
  return out;
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

function visibleBox({ width, height, data }: Pixels): Box | undefined {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if ((data[(y * width + x) * 4 + 3] ?? 0) <= FAINT) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  return right < 0 ? undefined : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

function crop(from: Pixels, box: Box): Pixels {
  const data = new Float32Array(box.width * box.height * 4);
  for (let y = 0; y < box.height; y++) {
    const start = ((box.top + y) * from.width + box.left) * 4;
    data.set(from.data.subarray(start, start + box.width * 4), y * box.width * 4);
  }
  return { width: box.width, height: box.height, data };
}

/** Resizes by averaging the source area under each new pixel. */
export function resizeArea(from: Pixels, width: number, height: number): Pixels & { data: Float32Array } {
  const line = from.width * 4;
  const squeezed = averageLines(from.data, 1, line, from.height, height);
  const data = averageLines(squeezed, height, 4, from.width, width);
  return { width, height, data };
}

/**
 * Averages along the middle axis of `[outer, from, inner]`, to `[outer, to, inner]`.
 * Each new line is the mean of the old ones under it, by the share that each covers.
 */
function averageLines(
  data: ArrayLike<number>,
  outer: number,
  inner: number,
  from: number,
  to: number,
): Float32Array {
  const out = new Float32Array(outer * to * inner);
  const step = from / to;
  for (let line = 0; line < to; line++) {
    const [start, end] = [line * step, (line + 1) * step];
    for (let source = Math.floor(start); source < Math.min(from, Math.ceil(end)); source++) {
      const share = (Math.min(end, source + 1) - Math.max(start, source)) / step;
      if (share < 1e-9) continue;
      for (let block = 0; block < outer; block++) {
        const target = (block * to + line) * inner;
        const origin = (block * from + source) * inner;
        for (let i = 0; i < inner; i++) out[target + i] = out[target + i]! + data[origin + i]! * share;
      }
    }
  }
  return out;
}
