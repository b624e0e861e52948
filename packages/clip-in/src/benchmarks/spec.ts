/**
 * SPEC (Peng et al. 2024, "Synthesize, Diagnose, and Optimize", arXiv:2312.00081): images that differ only in size, place,
 * existence or number, and texts that say so. Six subsets, each asked in both directions: an image chooses among texts, a
 * text among images. A direction's figure is the mean of its subsets; `main` is the mean of both directions, as CLIP-IN's
 * Table 3 has it.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { isHighest, meanShare, type Share, sharesOf } from '../metrics';
import { check, findImage, locate, readJson } from './files';
import type { Answer, FigureRow, Figures, Question, QuestionSuite, Skipped } from './suite';

const subsets = [
  'absolute_size',
  'relative_size',
  'absolute_spatial',
  'relative_spatial',
  'existence',
  'count',
] as const;

/** The directions: their file, and their row. */
const directions = [
  { file: 'text2image', name: 'text to image' },
  { file: 'image2text', name: 'image to text' },
] as const;
type Direction = (typeof directions)[number];

const itemSchema = z
  .object({ query: z.string(), keys: z.array(z.string()).min(2), label: z.number().int().min(0) })
  .refine(({ keys, label }) => label < keys.length, 'label is none of the keys');

/** SPEC. */
export const spec: QuestionSuite = {
  kind: 'questions',
  name: 'spec',
  title: 'SPEC',
  layout:
    `the unpacked data.zip of wjpoom/SPEC: folders ${subsets.join(', ')}, ` +
    'each with image2text.json, text2image.json and the images that they name',
  prepare: { rgbFirst: true },
  read: readSubsets,
  score: figuresOf,
};

async function* readSubsets(directory: string): AsyncGenerator<Question | Skipped> {
  for (const subset of subsets) {
    for (const direction of directions) {
      const places = ['', 'data/'].map((place) => `${place}${subset}/${direction.file}.json`);
      const file = locate(spec, directory, places, `${subset}/${direction.file}.json`);
      const items = await readJson(file, z.array(z.unknown()));
      for (const [i, item] of items.entries()) {
        yield questionOf(join(file, '..'), direction, subset, `${subset}/${direction.file} ${i}`, item);
      }
    }
  }
}

function questionOf(
  folder: string,
  direction: Direction,
  subset: string,
  id: string,
  item: unknown,
): Question | Skipped {
  const checked = check(itemSchema, item, id);
  if ('skipped' in checked) return checked;
  const { query, keys, label } = checked.record;
  const toText = direction.file === 'image2text';
  const names = toText ? [query] : keys;
  const found = names.map((name) => findImage(folder, name));
  const images = found.filter((path) => path !== undefined);
  if (images.length < names.length) {
    return { skipped: id, reason: `no image ${names[found.indexOf(undefined)]} in ${folder}` };
  }
  const group = `${direction.name}/${subset}`;
  return { id, images, texts: toText ? keys : [query], group, answer: label };
}

function figuresOf(answers: readonly Answer[]): Figures {
  const right = answers.map(({ question, scores }) => isHighest(scores, question.answer ?? 0));
  const shares = sharesOf(
    right,
    answers.map(({ question }) => question.group ?? ''),
  );
  const tables = directions.map(({ name: direction }) => tableOf(shares, direction));
  const means = tables.flatMap(({ mean }) => mean);
  return {
    main: meanShare(means),
    metric: 'right choices, mean of six subsets and both directions',
    rows: [...means, ...tables.flatMap(({ rows }) => rows)],
    ...(shares.length < 2 * subsets.length && { notes: absent(shares) }),
  };
}

/** The subsets of a direction and their mean, which is missing where they are. */
function tableOf(
  shares: readonly Share[],
  direction: string,
): { mean: readonly Share[]; rows: readonly FigureRow[] } {
  const rows = subsets.flatMap((subset) =>
    shares
      .filter(({ name }) => name === `${direction}/${subset}`)
      .map((share) => ({ ...share, name: subset, section: direction })),
  );
  const count = rows.reduce((sum, row) => sum + row.count, 0);
  return { mean: rows.length > 0 ? [{ name: direction, value: meanShare(rows), count }] : [], rows };
}

const absent = (shares: readonly Share[]): readonly string[] =>
  directions
    .flatMap(({ name }) => subsets.map((subset) => `${name}/${subset}`))
    .filter((group) => !shares.some(({ name }) => name === group))
    .map((group) => `${group}: no questions, so that it is missing in the mean`);
