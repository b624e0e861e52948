/**
 * Pillow's resampling of 8-bit images, bit by bit: a separable filter that widens when the image shrinks (antialias), applied
 * along rows and then along columns, with weights of 22 fractional bits and a rounded 8-bit image in between. Published
 * models were measured on pixels that were made so. libvips' own resizing, and that of browsers, differ by many grey levels.
 *
 * Only pixels: which size an image should get is the matter of `preprocess`.
 */

/** Filters, named as Pillow does. */
export type Interpolation = 'nearest' | 'bilinear' | 'bicubic';

/** 8-bit pixels of interleaved channels: `[height, width, channels]`. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** The part of the resized image that is wanted, in its pixels. */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

interface Filter {
  /** Beyond this distance the filter is 0. */
  readonly support: number;
  weight(distance: number): number;
}

/** Pillow's sharpness of the bicubic filter. */
const CUBIC = -0.5;

const FILTERS: Record<Exclude<Interpolation, 'nearest'>, Filter> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * CUBIC : 0;
    },
  },
};

/** Fractional bits of a weight: 32, less 8 of a pixel, less 2 of room for weights that add up to more than 1 and are negative. */
const PRECISION = 22;

/** For each wanted output pixel the first input pixel, how many there are, and their weights, `size` apart. */
interface Taps<Weights = Int32Array> {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Weights;
  readonly size: number;
}

/**
 * Resizes an image to `width` × `height` as `PIL.Image.resize` does, and returns the wanted region of the result, which is
 * all that is computed of it.
 */
export function resample(
  image: Pixels,
  width: number,
  height: number,
  interpolation: Interpolation = 'bicubic',
  region: Region = { left: 0, top: 0, width, height },
): Pixels {
  if (interpolation === 'nearest') return nearest(image, width, height, region);
  const filter = FILTERS[interpolation];
  const across =
    width === image.width ? undefined : taps(filter, image.width, width, region.left, region.width);
  const down =
    height === image.height ? undefined : taps(filter, image.height, height, region.top, region.height);
  // Of the input only the rows are resized that some wanted row is made of.
  const rows = down ? rowsOf(down) : { top: region.top, height: region.height };
  const narrow = across
    ? alongRows(image, across, rows)
    : crop(image, { left: region.left, top: rows.top, width: region.width, height: rows.height });
  return down ? alongColumns(narrow, down, rows.top) : narrow;
}

/** The region of an image, which lies inside it. */
export function crop({ width, channels, data }: Pixels, region: Region): Pixels {
  const stride = region.width * channels;
  const out = new Uint8Array(region.height * stride);
  for (let y = 0; y < region.height; y++) {
    const from = ((region.top + y) * width + region.left) * channels;
    out.set(data.subarray(from, from + stride), y * stride);
  }
  return { width: region.width, height: region.height, channels, data: out };
}

function nearest(
  { width, height, channels, data }: Pixels,
  toWidth: number,
  toHeight: number,
  region: Region,
): Pixels {
  const out = new Uint8Array(region.width * region.height * channels);
  // Pillow walks in equal steps and adds them up; the centre of an output pixel says which input pixel it is.
  const columns = positions(width, toWidth, region.left, region.width);
  const rows = positions(height, toHeight, region.top, region.height);
  let at = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * width + column) * channels;
      for (let c = 0; c < channels; c++) out[at++] = data[from + c]!;
    }
  }
  return { width: region.width, height: region.height, channels, data: out };
}

function positions(from: number, to: number, start: number, count: number): Int32Array {
  const step = from / to;
  const found = new Int32Array(count);
  let position = step * 0.5;
  for (let i = 0; i < start + count; i++) {
    if (i >= start) found[i - start] = position;
    position += step;
  }
  return found;
}

/** The weights of one axis, which add up to 1 at each output pixel. */
function exactTaps(
  { support: radius, weight }: Filter,
  from: number,
  to: number,
  start: number,
  wanted: number,
): Taps<Float64Array> {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = radius * stretch;
  const inverse = 1 / stretch;
  const size = 4 * Math.ceil((Math.ceil(support) * 2 + 1) / 4); // a multiple of four, filled up with 0
  const first = new Int32Array(wanted);
  const count = new Int32Array(wanted);
  const weights = new Float64Array(wanted * size);
  for (let i = 0; i < wanted; i++) {
    const center = (start + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const high = Math.min(from, Math.trunc(center + support + 0.5));
    const own = weights.subarray(i * size, i * size + high - low);
    let sum = 0;
    for (let k = 0; k < own.length; k++) sum += own[k] = weight((k + low - center + 0.5) * inverse);
    if (sum !== 0) for (let k = 0; k < own.length; k++) own[k] = own[k]! / sum;
    first[i] = low;
    count[i] = own.length;
  }
  return { first, count, weights, size };
}

function taps(filter: Filter, from: number, to: number, start: number, wanted: number): Taps {
  const exact = exactTaps(filter, from, to, start, wanted);
  // The conversion to integers cuts towards 0.
  const weights = Int32Array.from(
    exact.weights,
    (share) => share * (1 << PRECISION) + (share < 0 ? -0.5 : 0.5),
  );
  return { ...exact, weights };
}

function rowsOf({ first, count }: Taps<unknown>): { top: number; height: number } {
  const last = first.length - 1;
  return { top: first[0]!, height: first[last]! + count[last]! - first[0]! };
}

/** Added to a sum so that cutting off its fraction rounds it. The arrays it is cut off into clamp to 0 and 255. */
const HALF = 1 << (PRECISION - 1);

function alongRows(image: Pixels, taps: Taps, rows: { top: number; height: number }): Pixels {
  const { width, channels, data } = image;
  const { first, count, weights, size } = taps;
  const wanted = first.length;
  const out = new Uint8ClampedArray(rows.height * wanted * channels);
  let at = 0;
  for (let y = 0; y < rows.height; y++) {
    const row = (rows.top + y) * width * channels;
    for (let x = 0; x < wanted; x++) {
      const [from, to] = [x * size, x * size + count[x]!];
      let pixel = row + first[x]! * channels;
      if (channels === 3) {
        let [red, green, blue] = [HALF, HALF, HALF];
        for (let k = from; k < to; k++, pixel += 3) {
          const weight = weights[k]!;
          red = (red + Math.imul(data[pixel]!, weight)) | 0;
          green = (green + Math.imul(data[pixel + 1]!, weight)) | 0;
          blue = (blue + Math.imul(data[pixel + 2]!, weight)) | 0;
        }
        out[at++] = red >> PRECISION;
        out[at++] = green >> PRECISION;
        out[at++] = blue >> PRECISION;
        continue;
      }
      for (let c = 0; c < channels; c++, pixel++) {
        let sum = HALF;
        for (let k = from, i = pixel; k < to; k++, i += channels) sum += data[i]! * weights[k]!;
        out[at++] = sum >> PRECISION;
      }
    }
  }
  return { width: wanted, height: rows.height, channels, data: new Uint8Array(out.buffer) };
}

/** `top`: the row of the whole image that is row 0 of this one. */
function alongColumns({ width, channels, data }: Pixels, taps: Taps, top: number): Pixels {
  const { first, count, weights, size } = taps;
  const stride = width * channels;
  const out = new Uint8ClampedArray(first.length * stride);
  const sums = new Int32Array(stride);
  for (let y = 0; y < first.length; y++) {
    sums.fill(HALF);
    const last = count[y]! - 1;
    const row = (tap: number) => data.subarray((first[y]! - top + Math.min(tap, last)) * stride);
    for (let k = 0; k <= last; k += 4) {
      // Beyond the last tap the weights are 0, and its row stands in.
      const rows = [row(k), row(k + 1), row(k + 2), row(k + 3)] as const;
      addRows(sums, rows, weights.subarray(y * size + k, y * size + k + 4));
    }
    for (let i = 0; i < stride; i++) out[y * stride + i] = sums[i]! >> PRECISION;
  }
  return { width, height: first.length, channels, data: new Uint8Array(out.buffer) };
}

/** Adds four weighted rows to the sums; one after another, each sum would be loaded and stored for each. */
function addRows(
  sums: Int32Array,
  [row0, row1, row2, row3]: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array],
  weights: Int32Array,
): void {
  const [weight0, weight1, weight2, weight3] = [weights[0]!, weights[1]!, weights[2]!, weights[3]!];
  for (let i = 0; i < sums.length; i++) {
    const pair0 = Math.imul(row0[i]!, weight0) + Math.imul(row1[i]!, weight1);
    const pair1 = Math.imul(row2[i]!, weight2) + Math.imul(row3[i]!, weight3);
    sums[i] = (sums[i]! + pair0 + pair1) | 0;
  }
}

/** 16-bit grey: `[height, width]`. */
interface Grey16 {
  readonly width: number;
  readonly height: number;
  readonly data: Uint16Array;
}

/**
 * The same for 16-bit grey, which Pillow resizes with exact weights and rounds half away from zero. Between the axes it goes
 * beyond 0 and 65,535; the result is clamped.
 */
export function resampleGrey16(
  image: Grey16,
  width: number,
  height: number,
  interpolation: 'bilinear' | 'bicubic',
  region: Region,
): Uint16Array {
  const filter = FILTERS[interpolation];
  const across = exactTaps(filter, image.width, width, region.left, region.width);
  const down = exactTaps(filter, image.height, height, region.top, region.height);
  const rows = rowsOf(down);
  const narrow = new Int32Array(rows.height * region.width);
  for (let y = 0; y < rows.height; y++) {
    for (let x = 0; x < region.width; x++) {
      const from = (rows.top + y) * image.width + across.first[x]!;
      narrow[y * region.width + x] = weighted(image.data, from, 1, across, x);
    }
  }
  const out = new Uint16Array(region.height * region.width);
  for (let y = 0; y < region.height; y++) {
    for (let x = 0; x < region.width; x++) {
      const from = (down.first[y]! - rows.top) * region.width + x;
      const value = weighted(narrow, from, region.width, down, y);
      out[y * region.width + x] = Math.min(Math.max(value, 0), 65535);
    }
  }
  return out;
}

function weighted(
  data: Uint16Array | Int32Array,
  from: number,
  step: number,
  { count, weights, size }: Taps<Float64Array>,
  i: number,
): number {
  let sum = 0;
  for (let k = 0; k < count[i]!; k++) sum += data[from + k * step]! * weights[i * size + k]!;
  return Math.sign(sum) * Math.floor(Math.abs(sum) + 0.5);
}
