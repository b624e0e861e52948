/**
 * Learned positions for other sizes: the grid of an image tower resized as a picture, and the list of a text tower
 * stretched. All of it is a matrix of weights, computed on the host in float64, times the learned vectors.
 */
import { concatenate, type Tensor, tensor } from '@clipin/tensor';
import { checkInput, checkSizes } from './check';

/** Rows and columns of a grid of patches. */
export type GridShape = readonly [rows: number, columns: number];

/** How values between the points of a grid are found. */
export type GridMethod = 'bilinear' | 'bicubic';

const kernels: Readonly<Record<GridMethod, { support: number; at: (x: number) => number }>> = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, at: (x) => keys(Math.abs(x)) },
};

/** Keys's cubic (1981, eq. 4) with a = −1/2, which PIL and PyTorch use with antialias. */
const keys = (x: number): number => {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
};

/**
 * Weights `[to, from]` that resize a row of `from` points to `to`, centres aligned as those of pixels; making it smaller,
 * the kernel is widened so that every point counts (antialias).
 */
function lineWeights(from: number, to: number, method: GridMethod): Float64Array {
  const { support, at } = kernels[method];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const weights = new Float64Array(to * from);
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support * stretch + 0.5));
    const stop = Math.min(from, Math.trunc(center + support * stretch + 0.5));
    const row = weights.subarray(i * from, (i + 1) * from);
    for (let j = start; j < stop; j++) row[j] = at((j + 0.5 - center) / stretch);
    const total = row.reduce((sum, weight) => sum + weight, 0);
    for (let j = start; j < stop; j++) row[j] = (row[j] as number) / total;
  }
  return weights;
}

/** Weights that resize a grid: `[rows · columns of to, rows · columns of from]`, points by row. */
export function gridWeights(from: GridShape, to: GridShape, method: GridMethod): Float64Array {
  checkSizes('gridWeights', { fromRows: from[0], fromColumns: from[1], toRows: to[0], toColumns: to[1] });
  const down = lineWeights(from[0], to[0], method);
  const across = lineWeights(from[1], to[1], method);
  const weights = new Float64Array(to[0] * to[1] * from[0] * from[1]);
  let at = 0;
  for (let row = 0; row < to[0]; row++) {
    for (let column = 0; column < to[1]; column++) {
      for (let y = 0; y < from[0]; y++) {
        const weight = down[row * from[0] + y] as number;
        for (let x = 0; x < from[1]; x++) {
          weights[at++] = weight * (across[column * from[1] + x] as number);
        }
      }
    }
  }
  return weights;
}

/** Options of `resizePositions`. */
export interface ResizePositionsOptions {
  /** The grid that the positions are to have. */
  readonly to: GridShape;
  /** The grid that they have. Default: a square. */
  readonly from?: GridShape;
  /** Default: `bicubic`. */
  readonly method?: GridMethod;
}

/**
 * Positions of an image tower for another resolution: `[tokens, width]` → `[new tokens, width]`. A vector more than the grid
 * has points is the class token's, comes first and stays. The same as open_clip's `resize_pos_embed`: bicubic, antialias.
 *
 * @throws RangeError when the positions are no such grid
 */
export function resizePositions(
  positions: Tensor,
  { to, from = squareOf(positions), method = 'bicubic' }: ResizePositionsOptions,
): Tensor {
  checkInput('resizePositions', positions, ['tokens', 'width']);
  const [tokens] = positions.shape as readonly [number, number];
  const points = from[0] * from[1];
  const extra = tokens - points;
  if (extra !== 0 && extra !== 1) {
    throw new RangeError(
      `resizePositions: ${tokens} positions are no grid of ${from.join(' by ')}, with or without a class token`,
    );
  }
  const weights = tensor(gridWeights(from, to, method), [to[0] * to[1], points], {
    dtype: 'f32',
    device: positions.device,
  });
  const resized = weights.matmul(positions.slice([extra]));
  return extra === 0 ? resized : concatenate([positions.slice([0, 1]), resized]);
}

function squareOf(positions: Tensor): GridShape {
  const side = Math.floor(Math.sqrt(positions.shape[0] as number));
  return [side, side];
}

/** Options of `stretchPositions`. */
export interface StretchPositionsOptions {
  /** How many of the first positions stay as they are. Default: 20. */
  readonly keep?: number;
  /** How many times as many the others become. Default: 4. */
  readonly factor?: number;
}

/**
 * Positions of a text tower for longer texts, as in Long-CLIP (Zhang et al. 2024, 3.1): the first `keep` stay, between the
 * others come new ones on straight lines, and after the last on the line of the last two. `[tokens, width]` →
 * `[keep + factor · (tokens − keep), width]`: 77 become 248.
 */
export function stretchPositions(
  positions: Tensor,
  { keep = 20, factor = 4 }: StretchPositionsOptions = {},
): Tensor {
  checkInput('stretchPositions', positions, ['tokens', 'width']);
  checkSizes('stretchPositions', { factor });
  const [tokens] = positions.shape as readonly [number, number];
  const others = tokens - keep;
  if (!Number.isInteger(keep) || keep < 0 || others < 2) {
    throw new RangeError(
      `stretchPositions: keep is ${keep}; wants 0 to ${tokens - 2}, two less than there are`,
    );
  }
  const weights = new Float64Array(others * factor * others);
  for (let i = 0; i < others * factor; i++) {
    const start = Math.min(Math.floor(i / factor), others - 2);
    const part = i / factor - start;
    weights[i * others + start] = 1 - part;
    weights[i * others + start + 1] = part;
  }
  const lines = tensor(weights, [others * factor, others], { dtype: 'f32', device: positions.device });
  return concatenate([positions.slice([0, keep]), lines.matmul(positions.slice([keep]))]);
}
