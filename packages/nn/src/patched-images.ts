/**
 * Images of any size and shape for one tower, as SigLIP 2 NaFlex takes them (Tschannen et al. 2025, 2.4): each keeps its
 * shape and is cut into a grid of patches of its own. Resizing and cutting it is the business of `preprocessNaflex` of
 * `@clipin/data`.
 */
import { type Device, type Tensor, tensor } from '@clipin/tensor';
import { checkSizes } from './check';
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

/** One image cut into patches, such as `preprocessNaflex` of `@clipin/data` gives it. */
export interface ImagePatches {
  /** `[rows · columns, patch · patch · 3]`, by row of the grid; what follows is padding and is not read. */
  readonly patches: Float32Array;
  readonly grid: GridShape;
}

/** Options of `patchedImages`. */
export interface PatchedImagesOptions {
  /** Side of the square grid of learned positions. */
  readonly positions: number;
  /** Side of a patch in pixels. */
  readonly patchSize: number;
  /** Patches of each image with its padding; at least as many as the largest has. */
  readonly patches: number;
  readonly device?: Device;
}

/**
 * Fills images up to the same number of patches, and finds their positions: the learned grid resized to each image's
 * (bilinear, antialias).
 *
 * @throws RangeError when an image has more patches than there is room for, or fewer values than its grid has
 */
export function patchedImages(
  images: readonly ImagePatches[],
  { positions: side, patchSize, patches, device }: PatchedImagesOptions,
): PatchedImages {
  const batch = images.length;
  checkSizes('patchedImages', { images: batch, positions: side, patchSize, patches });
  const values = patchSize * patchSize * 3;
  const pixels = new Float32Array(batch * patches * values);
  const mask = new Int32Array(batch * patches);
  const positions = new Float32Array(batch * patches * side * side);
  images.forEach((image, i) => {
    const [rows, columns] = image.grid;
    const count = rows * columns;
    if (count > patches || image.patches.length < count * values) {
      throw new RangeError(
        `patchedImages: image ${i} has ${image.patches.length} values for ${rows} by ${columns} patches; ` +
          `wants at most ${patches} patches of ${values} values`,
      );
    }
    pixels.set(image.patches.subarray(0, count * values), i * patches * values);
    mask.fill(1, i * patches, i * patches + count);
    positions.set(gridWeights([side, side], image.grid, 'bilinear'), i * patches * side * side);
  });
  const on = { ...(device && { device }) };
  return {
    patches: tensor(pixels, [batch, patches, values], { dtype: 'f32', ...on }),
    mask: tensor(mask, [batch, patches], { dtype: 'bool', ...on }),
    positions: tensor(positions, [batch, patches, side * side], { dtype: 'f32', ...on }),
  };
}
