/**
 * ARO's tests of word order (Yuksekgonul et al. 2023, arXiv:2210.01936), COCO-Order and Flickr30k-Order: an image, its caption, and
 * four times the same words in another order. The figure is the share of captions that are chosen over all their shuffles.
 *
 * The authors shuffle anew at each run. So captions are read from a file where there is one, such as their `test_cases` saved
 * as JSON, and are otherwise shuffled here (`shuffled-captions.ts`), which the notes of a figure then say.
 *
 * A shuffle that came out as the caption itself is no rival: it ties, and the authors' argmax takes the caption, which stands first.
 * Any other tie is wrong here, and right there.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { randomAt } from '@clipin/data';
import { z } from 'zod';
import { isHighest, sharesOf } from '../metrics';
import { check, findImage, locate, readJson } from './files';
import type { Answer, Figures, Question, QuestionSuite, Skipped } from './suite';

const optionsSchema = z.object({ image: z.string().min(1), caption_options: z.array(z.string()).min(2) });
const captionsSchema = z.object({ image: z.string().min(1), caption: z.array(z.string()).min(1) });
const entries = z.array(z.unknown());

/** What differs between both. */
interface OrderTest {
  readonly name: string;
  readonly title: string;
  /** Captions of the test split, a list of `{ image, caption: […] }`. */
  readonly captions: string;
  /** Captions and shuffles, a list of `{ image, caption_options: [caption, …shuffles] }`. */
  readonly options: string;
  /** An image as the files name it. */
  readonly image: string;
  /** Captions of the test split. */
  readonly size: number;
}

/** Draws of the shuffles. */
const seed = 0;
/** The group of questions whose captions were shuffled here. */
const here = 'shuffled here';

function orderSuite({ name, title, captions, options, image, size }: OrderTest): QuestionSuite {
  const suite: QuestionSuite = {
    kind: 'questions',
    name,
    title,
    layout:
      `${captions} (a list of {image, caption: […]}) and the images that it names, such as ${image}; or, for given ` +
      `shuffles, ${options} (a list of {image, caption_options: [caption, shuffles…]}) in its place`,
    chance: 20,
    size,
    async *read(directory) {
      const given = [options, `annotations/${options}`]
        .map((place) => join(directory, place))
        .find(existsSync);
      const places = [captions, `annotations/${captions}`];
      const file = given ?? locate(suite, directory, [...places, options], 'the captions');
      const items = await readJson(file, entries);
      const roots = ['.', 'images', 'coco'].map((place) => join(directory, place));
      if (given !== undefined) yield* withOptions(items, roots);
      else yield* withShuffles(items, roots, name);
    },
    score: figuresOf,
  };
  return suite;
}

async function* withOptions(
  items: readonly unknown[],
  roots: readonly string[],
): AsyncGenerator<Question | Skipped> {
  for (const [i, item] of items.entries()) {
    const checked = check(optionsSchema, item, `caption ${i}`);
    if ('skipped' in checked) yield checked;
    else yield questionOf(roots, checked.record.image, checked.record.caption_options, `caption ${i}`);
  }
}

async function* withShuffles(
  items: readonly unknown[],
  roots: readonly string[],
  name: string,
): AsyncGenerator<Question | Skipped> {
  // Only now: loading the lexicon of its tagger takes a third of the start of any command.
  const { cleanCaption, shuffledCaptions } = await import('./shuffled-captions');
  for (const [i, item] of items.entries()) {
    const checked = check(captionsSchema, item, `image ${i}`);
    if ('skipped' in checked) {
      yield checked;
      continue;
    }
    for (const [j, caption] of checked.record.caption.entries()) {
      const shuffles = shuffledCaptions(caption, randomAt(seed, `${name}/${j}`, i));
      const texts = [cleanCaption(caption), ...shuffles];
      yield questionOf(roots, checked.record.image, texts, `image ${i}, caption ${j}`, here);
    }
  }
}

function questionOf(
  roots: readonly string[],
  name: string,
  [caption = '', ...shuffles]: readonly string[],
  id: string,
  group?: string,
): Question | Skipped {
  const image = roots.map((root) => findImage(root, name)).find((path) => path !== undefined);
  if (image === undefined) return { skipped: id, reason: `no image ${name} in ${roots[0]}` };
  const rivals = shuffles.filter((one) => unspaced(one) !== unspaced(caption));
  return { id, images: [image], texts: [caption, ...rivals], ...(group !== undefined && { group }) };
}

/** Shuffles have spaces around punctuation, which tokenizers do not see. */
const unspaced = (text: string): string => text.replaceAll(' ', '');

function figuresOf(answers: readonly Answer[]): Figures {
  const right = answers.map(({ scores }) => isHighest(scores, 0));
  const rows = sharesOf(
    right,
    answers.map(() => 'captions chosen'),
  );
  const shuffledHere = answers.some(({ question }) => question.group === here);
  return {
    main: rows[0]?.value ?? 0,
    metric: 'captions chosen over four shuffles',
    rows,
    ...(shuffledHere && {
      notes: ["shuffled by this package, seeded, with other parts of speech than the authors' spaCy"],
    }),
  };
}

/** COCO-Order: 25,010 captions of Karpathy's test split. */
export const cocoOrder = orderSuite({
  name: 'coco-order',
  title: 'COCO-Order',
  captions: 'coco_karpathy_test.json',
  options: 'coco_order.json',
  image: 'val2014/COCO_val2014_000000391895.jpg',
  size: 25_010,
});

/** Flickr30k-Order: 5,000 captions of Karpathy's test split. */
export const flickr30kOrder = orderSuite({
  name: 'flickr30k-order',
  title: 'Flickr30k-Order',
  captions: 'flickr30k_test.json',
  options: 'flickr30k_order.json',
  image: 'flickr30k-images/1007129816.jpg',
  size: 5000,
});
