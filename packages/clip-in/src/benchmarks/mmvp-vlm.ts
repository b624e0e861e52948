/**
 * MMVP-VLM (Tong et al. 2024, "Eyes Wide Shut?", arXiv:2401.06209): 135 pairs of images that CLIP confuses, in nine
 * visual patterns. Each pair has a statement for each image. The rule is that of the authors' `scripts/evaluate_vlm.py`:
 * "a photo of" before each statement, each statement chooses one of the two images, and a pair counts if both are right.
 *
 * Not here: MMVP, the set of questions for language models.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { meanShare, pairCorrect, type Share, sharesOf } from '../metrics';
import { check, findImage, locate, readCsv } from './files';
import { mmvpPatterns } from './published';
import type { Figures, Question, QuestionSuite, Skipped } from './suite';

const columns = ['Question ID', 'Type', 'Statement'] as const;
const rowSchema = z.object({
  'Question ID': z.coerce.number().int().positive(),
  Type: z.string().min(1),
  Statement: z.string().min(1),
});
type Row = z.infer<typeof rowSchema>;

/** Types as the table of questions and the folders have them, in the order of the patterns. */
const types = [
  'Orientation',
  'Presence',
  'State',
  'Quantity',
  'Spatial',
  'Color',
  'Structural Character',
  'Text',
  'Camera Perspective',
];
const pairsOfPattern = 15;
const rowsOfAll = 2 * pairsOfPattern * mmvpPatterns.length;

/** MMVP-VLM by the official rule, and by both directions. */
export const mmvpVlm: QuestionSuite = {
  kind: 'questions',
  name: 'mmvp-vlm',
  title: 'MMVP-VLM',
  layout:
    'Questions.csv (Question ID, Type, Statement; 270 rows, two a pair), and beside it ' +
    '"MLLM_VLM Images/<Type>/<Question ID>.jpg"',
  size: pairsOfPattern * mmvpPatterns.length,
  chance: 25,
  read: readPairs,
  score: (answers) => {
    const scores = Float32Array.from(answers.flatMap((answer) => [...answer.scores]));
    return figuresOf(
      scores,
      answers.map(({ question }) => question.group ?? ''),
    );
  },
};

async function* readPairs(directory: string): AsyncGenerator<Question | Skipped> {
  const table = locate(mmvpVlm, directory, ['Questions.csv', 'MMVP_VLM/Questions.csv'], 'the questions');
  const folder = locate(
    mmvpVlm,
    join(table, '..'),
    ['MLLM_VLM Images', 'MLLM_VLM_Images', 'MMVP_VLM_Images', 'MMVP_VLM Images', 'MMVP VLM Images'],
    'the folder of images',
  );
  const rows = await readCsv(table, columns);
  // The script takes the pattern from the place of the row. Where rows are missing, places have moved: then the type says it.
  const complete = rows.length === rowsOfAll;
  for (let i = 0; i < rows.length; i++) {
    const first = check(rowSchema, rows[i], `row ${i + 1} of Questions.csv`);
    if ('skipped' in first) {
      yield first;
      continue;
    }
    const second = rowSchema.safeParse(rows[i + 1]);
    if (!second.success || !isPair(first.record, second.data)) {
      yield alone(first.record);
      continue;
    }
    const pattern =
      mmvpPatterns[complete ? Math.floor(i / (2 * pairsOfPattern)) : patternOf(first.record.Type)];
    yield pairOf(folder, first.record, second.data, pattern);
    i++;
  }
}

/** Odd ids begin a pair, and the next one ends it. */
const isPair = (first: Row, second: Row): boolean =>
  first['Question ID'] % 2 === 1 && second['Question ID'] === first['Question ID'] + 1;

function alone(row: Row): Skipped {
  const id = row['Question ID'];
  const other = id % 2 === 1 ? id + 1 : id - 1;
  const place = id % 2 === 1 ? 'after it' : 'before it';
  return { skipped: `question ${id}`, reason: `its pair needs question ${other} in the row ${place}` };
}

const spaced = (name: string): string => name.replaceAll('_', ' ').trim().toLowerCase();

const patternOf = (type: string): number => types.findIndex((one) => spaced(one) === spaced(type));

function pairOf(folder: string, first: Row, second: Row, pattern: string | undefined): Question | Skipped {
  const [a, b] = [first['Question ID'], second['Question ID']];
  const id = `pair ${a}-${b}`;
  if (pattern === undefined) {
    return { skipped: id, reason: `its type ${first.Type} is none of ${types.join(', ')}` };
  }
  // Both from the folder of the first one, as in the script; the README draws the folders with underscores.
  const folders = [first.Type, first.Type.replaceAll(' ', '_')].map((type) => join(folder, type));
  const pathOf = (name: number) =>
    folders.map((one) => findImage(one, String(name))).find((path) => path !== undefined);
  const [imageA, imageB] = [pathOf(a), pathOf(b)];
  if (imageA === undefined || imageB === undefined) {
    const absent = imageA === undefined ? a : b;
    return { skipped: id, reason: `no image ${absent}.jpg or ${absent}.png in ${folders[0]}` };
  }
  const texts = [first, second].map(({ Statement }) => `a photo of ${Statement}`);
  return { id, images: [imageA, imageB], texts, group: pattern };
}

function figuresOf(scores: Float32Array, patterns: readonly string[]): Figures {
  const verdicts = pairCorrect(scores);
  const official = inOrder(sharesOf(verdicts.textToImage, patterns));
  const both = inOrder(sharesOf(verdicts.bothDirections, patterns));
  const short = official.filter(({ count }) => count !== pairsOfPattern);
  const absent = mmvpPatterns.filter((pattern) => !patterns.includes(pattern));
  return {
    main: meanShare(official),
    metric: `pairs right, mean of ${official.length === mmvpPatterns.length ? 'nine' : official.length} patterns`,
    rows: [
      ...official,
      ...both.map((share) => ({ ...share, section: bothDirections })),
      {
        name: 'mean of the patterns',
        value: meanShare(both),
        count: patterns.length,
        section: bothDirections,
      },
    ],
    ...((short.length > 0 || absent.length > 0) && {
      notes: [
        ...short.map(({ name, count }) => `${name}: ${count} pairs, of 15 in the benchmark`),
        ...absent.map((name) => `${name}: no pairs, so that it is missing in the mean`),
      ],
    }),
  };
}

/** The stricter rule: besides, each image chooses its own statement. */
const bothDirections = 'Both directions';

const inOrder = (shares: readonly Share[]): readonly Share[] =>
  mmvpPatterns.flatMap((pattern) => shares.filter(({ name }) => name === pattern));
