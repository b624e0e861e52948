/**
 * Retrieval with short captions: COCO and Flickr30k on Karpathy's test splits, from the files of CLIP_benchmark or from Karpathy's own, and
 * any set of captioned shards.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { linesOf } from './class-folders';
import { check, findImage, locate, readJson } from './files';
import { findShards, pictureOf, readSamples, type Shards, textOf } from './shards';
import { type CaptionedImage, type RetrievalSuite, type Skipped, SuiteError } from './suite';

const SHARDS_LAYOUT = 'test/nshards.txt and test/<n>.tar (a picture and .txt a sample, one caption a line)';

/** COCO, 5,000 images of val2014; each has five captions, some more, and all of them count. */
export const coco: RetrievalSuite = {
  kind: 'retrieval',
  name: 'coco',
  title: 'COCO, Karpathy test',
  prepare: { rgbFirst: true },
  size: 5000,
  layout: `coco_test_karpathy.json or dataset_coco.json, and the pictures in val2014/; or ${SHARDS_LAYOUT}`,
  async *read(directory) {
    const shards = await findShards(directory);
    if (shards) return yield* captionedSamples(shards);
    const own = join(directory, 'coco_test_karpathy.json');
    if (existsSync(own))
      yield* cocoCaptions(own, folderOf(coco, directory, ['val2014', 'images/val2014', 'images']));
    else yield* karpathy(coco, directory, 'dataset_coco.json', ['.', 'images']);
  },
};

/** Flickr30k, 1,000 images with five captions each. */
export const flickr30k: RetrievalSuite = {
  kind: 'retrieval',
  name: 'flickr30k',
  title: 'Flickr30k, Karpathy test',
  prepare: { rgbFirst: true },
  size: 1000,
  layout:
    'flickr30k_test_karpathy.txt (a heading, then "<name>.jpg,<caption>" a line) or dataset_flickr30k.json, and the pictures ' +
    `in flickr30k-images/; or ${SHARDS_LAYOUT}`,
  async *read(directory) {
    const shards = await findShards(directory);
    if (shards) return yield* captionedSamples(shards);
    const own = join(directory, 'flickr30k_test_karpathy.txt');
    const places = ['flickr30k-images', 'flickr30k_images', 'Images', 'images', '.'];
    if (existsSync(own)) yield* captionLines(own, folderOf(flickr30k, directory, places));
    else yield* karpathy(flickr30k, directory, 'dataset_flickr30k.json', places);
  },
};

/** Any captioned shards. */
export const captionedShards: RetrievalSuite = {
  kind: 'retrieval',
  name: 'captions',
  title: 'Captioned shards',
  prepare: { rgbFirst: true },
  layout: SHARDS_LAYOUT,
  async *read(directory) {
    const shards = await findShards(directory);
    if (!shards) throw new SuiteError(`${directory} has no shards; expected ${SHARDS_LAYOUT}`);
    yield* captionedSamples(shards);
  },
};

const folderOf = (suite: RetrievalSuite, directory: string, places: readonly string[]): string =>
  locate(suite, directory, places, 'the folder of images');

async function* captionedSamples(shards: Shards): AsyncGenerator<CaptionedImage | Skipped> {
  for await (const sample of readSamples(shards)) {
    const image = pictureOf(sample);
    const captions = (textOf(sample, 'txt') ?? '').split(/\r?\n/).filter((line) => line.trim() !== '');
    if (!image) yield { skipped: sample.name, reason: 'it has no picture' };
    else if (captions.length === 0) yield { skipped: sample.name, reason: 'it has no caption' };
    else yield { image, captions };
  }
}

const cocoSchema = z.object({
  images: z.array(z.object({ id: z.number(), file_name: z.string().min(1) })),
  annotations: z.array(z.object({ image_id: z.number(), caption: z.string() })),
});

/** Captions in the format of COCO: images and annotations apart, in no common order. */
async function* cocoCaptions(path: string, folder: string): AsyncGenerator<CaptionedImage | Skipped> {
  const { images, annotations } = await readJson(path, cocoSchema);
  const captions = new Map<number, string[]>(images.map(({ id }) => [id, []]));
  for (const { image_id, caption } of annotations) {
    const own = captions.get(image_id);
    if (own) own.push(caption);
    else yield { skipped: `caption "${caption}"`, reason: `the file has no image ${image_id}` };
  }
  for (const { id, file_name } of images) yield captioned(folder, file_name, captions.get(id) ?? []);
}

/** Lines `<name>.jpg,<caption>` after a heading. A caption may have commas, and quotes are part of it. */
async function* captionLines(path: string, folder: string): AsyncGenerator<CaptionedImage | Skipped> {
  const captions = new Map<string, string[]>();
  const lines = (await linesOf(path)) ?? [];
  for (const [i, line] of lines.entries()) {
    const [, name, caption] = /^(.+?\.jpg),(.*)$/i.exec(line) ?? [];
    if (name === undefined || caption === undefined) {
      if (i > 0) yield { skipped: `"${line}"`, reason: `a line of ${path} should be "<name>.jpg,<caption>"` };
      continue;
    }
    captions.set(name, [...(captions.get(name) ?? []), caption]);
  }
  for (const [name, own] of captions) yield captioned(folder, name, own);
}

const karpathySchema = z.object({ images: z.array(z.unknown()) });
const karpathyImage = z.object({
  filename: z.string().min(1),
  filepath: z.string().optional(),
  split: z.string(),
  sentences: z.array(z.object({ raw: z.string() })),
});

/** Karpathy's own files hold all splits; COCO's name the folder of each picture. */
async function* karpathy(
  suite: RetrievalSuite,
  directory: string,
  file: string,
  places: readonly string[],
): AsyncGenerator<CaptionedImage | Skipped> {
  const path = locate(suite, directory, [file], 'the captions');
  const folder = folderOf(suite, directory, places);
  for (const [i, item] of (await readJson(path, karpathySchema)).images.entries()) {
    const checked = check(karpathyImage, item, `image ${i} of ${file}`);
    if ('skipped' in checked) yield checked;
    else if (checked.record.split === 'test') {
      const { filepath = '.', filename, sentences } = checked.record;
      yield captioned(
        folder,
        join(filepath, filename),
        sentences.map(({ raw }) => raw),
      );
    }
  }
}

function captioned(folder: string, name: string, captions: readonly string[]): CaptionedImage | Skipped {
  const image = findImage(folder, name);
  if (image === undefined) return { skipped: name, reason: `no such picture in ${folder}` };
  const kept = captions.filter((caption) => caption.trim() !== '');
  return kept.length > 0 ? { image, captions: kept } : { skipped: name, reason: 'it has no caption' };
}
