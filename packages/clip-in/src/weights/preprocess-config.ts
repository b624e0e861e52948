/** `preprocessor_config.json` of Hugging Face's `transformers`, and open_clip's `preprocess_cfg`, to and from our options. */
import { CLIP_PREPROCESS, type PreprocessOptions, SIGLIP_PREPROCESS } from '@clipin/data';
import { z } from 'zod';
import { type Json, toJson } from '../checkpoint';
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

const openClipSchema = z.object({
  preprocess_cfg: z
    .object({
      size: z.union([side, z.tuple([side, side])]).optional(),
      mean: perChannel.optional(),
      std: perChannel.optional(),
      interpolation: z.enum(['bicubic', 'bilinear']).optional(),
      resize_mode: z.enum(['shortest', 'squash']).optional(),
    })
    .prefault({}),
});

/**
 * Our options of the `preprocess_cfg` of an `open_clip_config.json`. What it leaves out is as in OpenAI's CLIP, which are
 * open_clip's defaults too.
 */
export function preprocessOfOpenClip(json: unknown, file: string, size: number): PreprocessOptions {
  const { preprocess_cfg: read } = parseAs(
    openClipSchema,
    json,
    file,
    "open_clip's configuration of preprocessing",
  );
  const defaults = CLIP_PREPROCESS(size);
  return {
    size,
    resize: read.resize_mode === 'squash' ? 'squash' : 'shorter-side',
    mean: read.mean ?? defaults.mean,
    std: read.std ?? defaults.std,
    interpolation: read.interpolation ?? 'bicubic',
  };
}

/** The `preprocess_cfg` of our options. */
export const toOpenClipPreprocess = ({ size, resize, mean, std, interpolation }: PreprocessOptions): Json =>
  toJson({
    size,
    mean,
    std,
    interpolation: interpolation ?? 'bicubic',
    resize_mode: resize === 'squash' ? 'squash' : 'shortest',
  });

/** The `preprocessor_config.json` of our options. */
export function toHuggingFacePreprocess(
  options: PreprocessOptions,
  family: 'clip' | 'siglip' | 'naflex',
  patchSize: number,
): Json {
  const { size, resize, mean, std, interpolation = 'bicubic' } = options;
  const square = { height: size, width: size };
  const common = {
    do_convert_rgb: true,
    do_normalize: true,
    do_rescale: true,
    do_resize: true,
    image_mean: mean,
    image_std: std,
    resample: interpolation === 'bicubic' ? 3 : 2,
    rescale_factor: 1 / 255,
  };
  const crops = resize === 'shorter-side';
  if (family === 'naflex') {
    const type = { image_processor_type: 'Siglip2ImageProcessor', processor_class: 'Siglip2Processor' };
    const patches = { patch_size: patchSize, max_num_patches: (size / patchSize) ** 2 };
    return toJson({ ...common, ...type, ...patches });
  }
  if (family === 'siglip' && !crops) {
    const type = { image_processor_type: 'SiglipImageProcessor', processor_class: 'SiglipProcessor' };
    return toJson({ ...common, ...type, size: square });
  }
  // CLIP's processor stretches to a square as well, where it is given both sides.
  const sizes = crops
    ? { size: { shortest_edge: size }, do_center_crop: true, crop_size: square }
    : { size: square, do_center_crop: false };
  const type = { image_processor_type: 'CLIPImageProcessor', processor_class: 'CLIPProcessor' };
  return toJson({ ...common, ...type, ...sizes });
}
