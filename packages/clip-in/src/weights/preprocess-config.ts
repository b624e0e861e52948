/** `preprocessor_config.json` of Hugging Face's `transformers`, and open_clip's `preprocess_cfg`, to and from our options. */
import { CLIP_PREPROCESS, type PreprocessOptions, SIGLIP_PREPROCESS } from '@clipin/data';
import { z } from 'zod';
import { parseAs } from './json-file';

const side = z.int().min(1);
const perChannel = z.tuple([z.number(), z.number(), z.number()]);

/** Pillow's numbers of its filters. */
const RESAMPLING = { 2: 'bilinear', 3: 'bicubic' } as const;

/** A side, or a size in the form of newer files. */
const sides = z.union([side, z.object({ shortest_edge: side }), z.object({ height: side, width: side })]);

const processor = z.object({
  size: sides.optional(),
  crop_size: sides.optional(),
  do_center_crop: z.boolean().optional(),
  image_mean: perChannel.optional(),
  image_std: perChannel.optional(),
  resample: z.union([z.literal(2), z.literal(3)]).optional(),
});

/**
 * Our options of a `preprocessor_config.json`. What it leaves out is as CLIP or SigLIP have it.
 *
 * @param size - side of the images that the model takes
 * @throws Error naming the file if its images are not square or not of the model's size
 */
export function preprocessOfHuggingFace(
  json: unknown,
  file: string,
  size: number,
  family: 'clip' | 'siglip',
): PreprocessOptions {
  const read = parseAs(processor, json, file, 'the configuration of an image processor');
  const defaults = family === 'clip' ? CLIP_PREPROCESS(size) : SIGLIP_PREPROCESS(size);
  const crops = read.do_center_crop ?? family === 'clip';
  const given = { size: read.size, ...(crops && { crop_size: read.crop_size }) };
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && !isSide(value, size)) {
      throw new Error(
        `${file}: ${name} is ${JSON.stringify(value)}; the model takes images of ${size} by ${size}`,
      );
    }
  }
  return {
    ...defaults,
    resize: crops ? 'shorter-side' : 'squash',
    mean: read.image_mean ?? defaults.mean,
    std: read.image_std ?? defaults.std,
    interpolation: RESAMPLING[read.resample ?? 3],
  };
}

const isSide = (value: z.output<typeof sides>, size: number): boolean =>
  typeof value === 'number' ? value === size : Object.values(value).every((given) => given === size);
