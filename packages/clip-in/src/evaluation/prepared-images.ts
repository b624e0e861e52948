/** A picture as the image tower of a model reads it: a square of pixels or, for NaFlex, patches of a grid of its own. */
import {
  type ImageSource,
  type NaflexImage,
  type PreprocessOptions,
  preprocess,
  preprocessNaflex,
} from '@clipin/data';
import type { VisionConfig } from '../configurations';

/** `[size, size, 3]`, or patches. */
export type PreparedImage = Float32Array | NaflexImage;

/** Side of the grid of learned positions. */
export const gridOf = ({ imageSize, patchSize }: VisionConfig): number => Math.floor(imageSize / patchSize);

/** The most patches of an image, which is as many as there are learned positions: 256 in the published models. */
export const mostPatches = (vision: VisionConfig): number => gridOf(vision) ** 2;

/**
 * Prepares a picture. For NaFlex the way of resizing does not count, and it is bilinear unless told otherwise.
 *
 * @throws ImageError if there is no picture, or a broken one
 */
export function prepareImage(
  vision: VisionConfig,
  source: ImageSource,
  options: PreprocessOptions,
): Promise<PreparedImage> {
  if (!vision.naflex) return preprocess(source, options);
  const { size, resize, ...others } = options;
  return preprocessNaflex(source, { ...others, patch: vision.patchSize, maxPatches: mostPatches(vision) });
}
