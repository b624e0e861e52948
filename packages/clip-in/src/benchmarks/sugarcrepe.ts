/**
 * SugarCrepe (Hsieh et al. 2023, arXiv:2306.14610): an image, its caption, and one that is wrong in one thing, made by
 * replacing, swapping or adding an object, an attribute or a relation. Right if the caption is the more similar one; there is no
 * prompt.
 *
 * The authors give seven figures and no average. `main` is their plain mean; the one by item is a row.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isHighest, meanShare, sharesOf } from '../metrics';
import { check, findImage, locate, missing, readJson } from './files';
import { sugarCrepeSubsets } from './published';
import {
  type Answer,
  type Figures,
  type Question,
  type QuestionSuite,
  type Skipped,
  SuiteError,
} from './suite';

/**
 * Items of each subset in the authors' files. The printed figures of swap_obj are shares of 246, so that the file had one more
 * then; both are taken for whole.
 */
const sizes: Readonly<Record<(typeof sugarCrepeSubsets)[number], number>> = {
  replace_obj: 1652,
  replace_att: 788,
  replace_rel: 1406,
  swap_obj: 245,
  swap_att: 666,
  add_obj: 2062,
  add_att: 692,
};

const itemSchema = z.object({
  filename: z.string().min(1),
  caption: z.string().min(1),
  negative_caption: z.string().min(1),
});

/** SugarCrepe, seven subsets. */
export const sugarCrepe: QuestionSuite = {
  kind: 'questions',
  name: 'sugarcrepe',
  title: 'SugarCrepe',
  layout:
    `data/<subset>.json for the subsets ${sugarCrepeSubsets.join(', ')}, ` +
    'and the images of COCO 2017 validation in val2017/<filename>',
  chance: 50,
  read: readSubsets,
  score: figuresOf,
};

async function* readSubsets(directory: string): AsyncGenerator<Question | Skipped> {
  const files = sugarCrepeSubsets.map((subset) => ({ subset, path: fileOf(directory, subset) }));
  const absent = files.filter(({ path }) => path === undefined).map(({ subset }) => `${subset}.json`);
  if (absent.length > 0)
    throw new SuiteError(missing(sugarCrepe, directory, ['data/', './'], absent.join(', ')));
  const places = [
    'val2017',
    'images/val2017',
    'coco/images/val2017',
    'coco/val2017',
    'data/coco/images/val2017',
  ];
  const folder = locate(sugarCrepe, directory, places, 'the folder of images');
  for (const { subset, path } of files) {
    // Keys are numbers as strings, with gaps where items were filtered out.
    const items = await readJson(path!, z.record(z.string(), z.unknown()));
    for (const [key, item] of Object.entries(items)) yield questionOf(folder, subset, key, item);
  }
}

const fileOf = (directory: string, subset: string): string | undefined =>
  [`data/${subset}.json`, `${subset}.json`].map((place) => join(directory, place)).find(existsSync);

function questionOf(folder: string, subset: string, key: string, item: unknown): Question | Skipped {
  const id = `${subset} ${key}`;
  const checked = check(itemSchema, item, id);
  if ('skipped' in checked) return checked;
  const { filename, caption, negative_caption } = checked.record;
  const image = findImage(folder, filename);
  if (image === undefined) return { skipped: id, reason: `no image ${filename} in ${folder}` };
  return { id, images: [image], texts: [caption, negative_caption], group: subset };
}

function figuresOf(answers: readonly Answer[]): Figures {
  const right = answers.map(({ scores }) => isHighest(scores, 0));
  const shares = sharesOf(
    right,
    answers.map(({ question }) => question.group ?? ''),
  );
  const rows = sugarCrepeSubsets.flatMap((subset) => shares.filter(({ name }) => name === subset));
  const partial = sugarCrepeSubsets.flatMap((subset) => {
    const count = rows.find(({ name }) => name === subset)?.count ?? 0;
    const whole = count === sizes[subset] || (subset === 'swap_obj' && count === 246);
    return whole ? [] : [`${subset}: ${count} of ${sizes[subset]} items`];
  });
  return {
    main: meanShare(rows),
    metric: `captions chosen, plain mean of ${rows.length === sugarCrepeSubsets.length ? 'seven' : rows.length} subsets`,
    rows: [
      ...rows,
      ...sharesOf(
        right,
        answers.map(() => weighted),
      ),
    ],
    ...(partial.length > 0 && { notes: partial }),
  };
}

const weighted = 'mean by item';
