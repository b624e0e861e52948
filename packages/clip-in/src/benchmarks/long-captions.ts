/**
 * Retrieval with long captions, one an image: ShareGPT4V-1k and Urban-1k as Long-CLIP measures them (Zhang et al. 2024), and Densely
 * Captioned Images as FG-CLIP does (Xie et al. 2025).
 */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join, parse } from 'node:path';
import { JSONParser } from '@streamparser/json';
import { z } from 'zod';
import { messageOf } from '../thrown';
import { linesOf } from './class-folders';
import { check, findImage, locate, readJson } from './files';
import { type CaptionedImage, type RetrievalSuite, type Skipped, SuiteError } from './suite';

/** The first 1,000 items of ShareGPT4V's captions; line breaks become spaces. */
export const shareGpt4v: RetrievalSuite = {
  kind: 'retrieval',
  name: 'sharegpt4v-1k',
  title: 'ShareGPT4V-1k',
  size: 1000,
  layout:
    'share-captioner_coco_lcs_sam_1246k_1107.json (its first 1000 items), and the pictures below data/, such as ' +
    'data/sam/images/<name>.jpg',
  async *read(directory) {
    const files = ['share-captioner_coco_lcs_sam_1246k_1107.json', 'sharegpt4v-1k.json'];
    const path = locate(shareGpt4v, directory, files, 'the captions');
    const folder = locate(shareGpt4v, directory, ['data', 'images', '.'], 'the folder of images');
    let place = 0;
    for await (const item of firstItems(path, 1000)) {
      const name = `item ${place++}`;
      const checked = check(shareSchema, item, name);
      if ('skipped' in checked) yield checked;
      else yield written(folder, checked.record.image, checked.record.conversations[1].value, name);
    }
  },
};

const shareSchema = z.object({
  image: z.string().min(1),
  conversations: z.tuple([z.unknown(), z.object({ value: z.string() })]).rest(z.unknown()),
});

/** Urban-1k: pictures and captions by one number; the caption is the first line of its file. */
export const urban: RetrievalSuite = {
  kind: 'retrieval',
  name: 'urban-1k',
  title: 'Urban-1k',
  size: 1000,
  layout: 'image/<n>.jpg and caption/<n>.txt',
  async *read(directory) {
    const captions = locate(urban, directory, ['caption', 'Urban1k/caption'], 'the folder of captions');
    const images = locate(urban, join(captions, '..'), ['image'], 'the folder of images');
    const stems = new Set(
      (await readdir(captions)).filter((name) => name.endsWith('.txt')).map((name) => parse(name).name),
    );
    for (const stem of [...stems].sort(byNumber)) {
      const lines = await linesOf(join(captions, `${stem}.txt`)).catch((error: unknown) => {
        if (error instanceof SuiteError) return undefined;
        throw error;
      });
      if (lines?.[0] === undefined) yield { skipped: `${stem}.txt`, reason: 'it is empty' };
      else yield written(images, stem, lines[0], stem);
    }
    for (const name of await readdir(images)) {
      if (!stems.has(parse(name).name)) yield { skipped: name, reason: `no caption ${parse(name).name}.txt` };
    }
  },
};

/** Fields of one of DCI's files. */
type Caption = 'extra_caption' | 'short_caption';

/** DCI, 7,805 pictures that are squashed to the size of the model. */
const densely = (
  suite: Pick<RetrievalSuite, 'name' | 'title' | 'size'>,
  field: Caption,
  empty: 'kept' | 'left out',
): RetrievalSuite => {
  const made: RetrievalSuite = {
    kind: 'retrieval',
    ...suite,
    prepare: { resize: 'squash' },
    layout: `annotations/<n>.json (image, ${field}), and the pictures in photos/`,
    async *read(directory) {
      const places = [
        'annotations',
        'densely_captioned_images/annotations',
        'complete',
        'densely_captioned_images/complete',
      ];
      const folder = locate(made, directory, places, 'the folder of captions');
      const photos = locate(made, join(folder, '..'), ['photos', 'images'], 'the folder of images');
      for (const name of (await readdir(folder)).filter((one) => one.endsWith('.json')).sort(byNumber)) {
        const item = await denseItem(join(folder, name), name, field);
        if ('skipped' in item) yield item;
        else if (item.caption.trim() !== '' || empty === 'kept') {
          yield captioned(photos, item.image, item.caption, name);
        }
      }
    },
  };
  return made;
};

async function denseItem(
  path: string,
  name: string,
  field: Caption,
): Promise<{ image: string; caption: string } | Skipped> {
  const schema = z.object({ image: z.string().min(1), [field]: z.string() });
  try {
    const checked = check(schema, await readJson(path, z.unknown()), name);
    if ('skipped' in checked) return checked;
    const { image, [field]: caption } = checked.record;
    return { image: String(image), caption: String(caption) };
  } catch (error) {
    return { skipped: name, reason: messageOf(error) };
  }
}

/** All long captions of DCI, empty ones too, as FG-CLIP counts. */
export const dci = densely({ name: 'dci', title: 'DCI', size: 7805 }, 'extra_caption', 'kept');
/** DCI without the pictures whose long caption is empty. */
export const dciLong = densely({ name: 'dci-long', title: 'Long-DCI' }, 'extra_caption', 'left out');
/** DCI with short captions. */
export const dciShort = densely(
  { name: 'dci-short', title: 'DCI, short captions', size: 7805 },
  'short_caption',
  'kept',
);

/** A caption that must say something. */
const written = (folder: string, image: string, caption: string, name: string): CaptionedImage | Skipped =>
  caption.trim() === ''
    ? { skipped: name, reason: 'its caption is empty' }
    : captioned(folder, image, caption, name);

/** An image below a folder, or in it without the folders of its path, and its caption on one line. */
function captioned(folder: string, image: string, caption: string, name: string): CaptionedImage | Skipped {
  const path = findImage(folder, image) ?? findImage(folder, basename(image));
  if (path === undefined) return { skipped: name, reason: `no picture ${image} in ${folder}` };
  return { image: path, captions: [caption.replaceAll(/\r?\n/g, ' ')] };
}

const byNumber = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true });

/** The first items of a JSON list, of which the rest is not read: ShareGPT4V's is larger than any string can be. */
async function* firstItems(path: string, most: number): AsyncGenerator<unknown> {
  const found: unknown[] = [];
  let listed = true;
  const parser = new JSONParser({ paths: ['$.*'], keepStack: false });
  parser.onValue = ({ value, key }) => {
    listed &&= typeof key === 'number';
    found.push(value);
  };
  let given = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      const fault = faultOf(() => parser.write(chunk));
      if (!listed) throw new Error('it is no list');
      while (found.length > 0 && given < most) {
        given++;
        yield found.shift();
      }
      if (given === most) return;
      if (fault) throw fault;
    }
    if (!parser.isEnded) throw new Error('it ends too early');
  } catch (cause) {
    throw new SuiteError(`${path}: ${messageOf(cause)}`, { cause });
  }
}

/** What went wrong in a piece of the file: after the items that are wanted it does not matter. */
function faultOf(parse: () => void): unknown {
  try {
    parse();
    return undefined;
  } catch (fault) {
    return fault;
  }
}
