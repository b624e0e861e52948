/**
 * Images of any size and shape for one tower, as SigLIP 2 NaFlex takes them (Tschannen et al. 2025, 2.4): each keeps its
 * shape and is cut into a grid of patches of its own. Resizing the pixels is not done here.
 */
import { type Device, type Tensor, tensor } from '@clipin/tensor';
import { checkDivides, checkSizes } from './check';
import { type GridShape, gridWeights } from './position-grid';

/** Images as lists of patches, filled up to the same length. */
export interface PatchedImages {
  /** f32 `[batch, patches, patch · patch · 3]`, each by (row, column, channel); anything where there is padding. */
  readonly patches: Tensor;
  /** bool `[batch, patches]`: which are real. */
  readonly mask: Tensor;
  /** f32 `[batch, patches, grid · grid]`: how the position of each patch is mixed of the learned ones. See `patchedImages`. */
  readonly positions: Tensor;
}

/** One image cut into patches, by row. */
export interface ImagePatches {
  /** `[rows · columns, patch · patch · 3]` */
  readonly patches: Float32Array;
  readonly shape: GridShape;
}

/** Options of `patchedImages`. */
export interface PatchedImagesOptions {
  /** Side of the square grid of learned positions. */
  readonly grid: number;
  /** Patches of each image with its padding; at least as many as the largest has. */
  readonly patches: number;
  readonly device?: Device;
}

/**
 * Fills images up to the same number of patches, and finds their positions: the learned grid resized to each image's
 * (bilinear, antialias).
 *
 * @throws RangeError when an image has more patches than there is room for, or its values do not fit its shape
 */
export function patchedImages(
  images: readonly ImagePatches[],
  { grid, patches, device }: PatchedImagesOptions,
): PatchedImages {
  checkSizes('patchedImages', { images: images.length, grid, patches });
  const values = (images[0] as ImagePatches).patches.length / pointsOf(images[0] as ImagePatches);
  const batch = images.length;
  const pixels = new Float32Array(batch * patches * values);
  const mask = new Int32Array(batch * patches);
  const positions = new Float32Array(batch * patches * grid * grid);
  images.forEach((image, i) => {
    const count = pointsOf(image);
    if (count > patches || image.patches.length !== count * values) {
      throw new RangeError(
        `patchedImages: image ${i} has ${image.patches.length} values in ${image.shape.join(' by ')} patches; ` +
          `wants at most ${patches} patches of ${values} values`,
      );
    }
    pixels.set(image.patches, i * patches * values);
    mask.fill(1, i * patches, i * patches + count);
    positions.set(gridWeights([grid, grid], image.shape, 'bilinear'), i * patches * grid * grid);
  });
  const on = { ...(device && { device }) };
  return {
    patches: tensor(pixels, [batch, patches, values], { dtype: 'f32', ...on }),
    mask: tensor(mask, [batch, patches], { dtype: 'bool', ...on }),
    positions: tensor(positions, [batch, patches, grid * grid], { dtype: 'f32', ...on }),
  };
}

const pointsOf = ({ shape: [rows, columns] }: ImagePatches): number => rows * columns;

/** Options of `patchGrid`. */
export interface PatchGridOptions {
  /** Side of a patch in pixels. */
  readonly patchSize: number;
  /** The most patches of an image. */
  readonly patches: number;
}

/**
 * The grid that an image of this size is resized to, with its shape kept as well as whole patches allow: the largest of at most
 * so many patches. The scale is found by halving an interval until it is shorter than 1e-5, as in transformers'
 * `Siglip2ImageProcessor`, so that the grids are the same.
 */
export function patchGrid(
  height: number,
  width: number,
  { patchSize, patches }: PatchGridOptions,
): GridShape {
  checkSizes('patchGrid', { height, width, patchSize, patches });
  const precision = 1e-5;
  const along = (side: number, scale: number) => Math.max(1, Math.ceil((side * scale) / patchSize));
  let [fits, tooLarge] = [precision / 10, 100];
  while (tooLarge - fits >= precision) {
    const scale = (fits + tooLarge) / 2;
    if (along(height, scale) * along(width, scale) <= patches) fits = scale;
    else tooLarge = scale;
  }
  return [along(height, fits), along(width, fits)];
}

/**
 * Cuts an image into patches.
 *
 * @param pixels - `[height, width, 3]`
 * @param width - in pixels; like the height a multiple of the patch's side
 */
export function cutPatches(pixels: Float32Array, width: number, patchSize: number): ImagePatches {
  checkSizes('cutPatches', { width, patchSize });
  const height = pixels.length / (3 * width);
  checkSizes('cutPatches', { height });
  checkDivides('cutPatches', ['width', width], ['patchSize', patchSize]);
  checkDivides('cutPatches', ['height', height], ['patchSize', patchSize]);
  const [rows, columns] = [height / patchSize, width / patchSize];
  const patches = new Float32Array(pixels.length);
  const line = 3 * patchSize; // values of one row of one patch
  for (let y = 0; y < height; y++) {
    for (let column = 0; column < columns; column++) {
      const patch = Math.floor(y / patchSize) * columns + column;
      const from = 3 * y * width + column * line;
      patches.set(pixels.subarray(from, from + line), (patch * patchSize + (y % patchSize)) * line);
    }
  }
  return { patches, shape: [rows, columns] };
}
