/**
 * Winoground (Thrush et al. 2022, arXiv:2204.03162): 400 times two images and two captions of the same words in another
 * order. Text score: each image chooses its caption. Image score: each caption chooses its image. Group score: both.
 *
 * The authors give three figures and no average. `main` is their mean, which CLIP-IN's Table 3 prints.
 */
import { join } from 'node:path';
import { z } from 'zod';
import { meanShare, pairCorrect, sharesOf } from '../metrics';
import { check, findImage, locate, readJsonLines } from './files';
import { findParquet, readParquet } from './parquet';
import type { Answer, Figures, Question, QuestionSuite, Skipped } from './suite';

const captions = { caption_0: z.string().min(1), caption_1: z.string().min(1) };
const about = { id: z.coerce.number(), collapsed_tag: z.string().nullish() };
/** Lines of `examples.jsonl` name the images. */
const lineSchema = z.object({
  ...about,
  ...captions,
  image_0: z.string().min(1),
  image_1: z.string().min(1),
});
/** Rows of parquet hold them. */
const picture = z.object({ bytes: z.instanceof(Uint8Array) });
const rowSchema = z.object({ ...about, ...captions, image_0: picture, image_1: picture });
const columns = Object.keys(rowSchema.shape);

/** Winoground. */
export const winoground: QuestionSuite = {
  kind: 'questions',
  name: 'winoground',
  title: 'Winoground',
  layout:
    'examples.jsonl with the unpacked images.zip beside it, images/<name>.png (both from data/ of facebook/winoground), ' +
    'or the parquet files of that data set',
  size: 400,
  chance: (25 + 25 + 100 / 6) / 3,
  // Some of its images are transparent; the authors convert before they resize.
  prepare: { rgbFirst: true },
  read: readExamples,
  score: figuresOf,
};

async function* readExamples(directory: string): AsyncGenerator<Question | Skipped> {
  const parquet = await findParquet(directory, ['.', 'data', 'test', 'default/test']);
  if (parquet.length > 0) {
    yield* fromParquet(parquet);
    return;
  }
  const places = ['examples.jsonl', 'data/examples.jsonl', 'metadata.jsonl', '*.parquet', 'data/*.parquet'];
  const lines = locate(winoground, directory, places, 'the captions');
  const around = join(lines, '..');
  const folder = locate(winoground, around, ['images', '../images'], 'the folder of images');
  for (const line of await readJsonLines(lines, lineSchema, (n) => `line ${n} of ${lines}`)) {
    yield 'skipped' in line ? line : fromLine(folder, line.record);
  }
}

function fromLine(folder: string, line: z.infer<typeof lineSchema>): Question | Skipped {
  const id = idOf(line.id);
  const names = [line.image_0, line.image_1];
  const images = names.map((name) => findImage(folder, name));
  const [first, second] = images;
  if (first === undefined || second === undefined) {
    return { skipped: id, reason: `no image ${names[images.indexOf(undefined)]}.png in ${folder}` };
  }
  return questionOf(line, [first, second]);
}

async function* fromParquet(files: readonly string[]): AsyncGenerator<Question | Skipped> {
  for (const file of files) {
    let at = 0;
    for await (const row of readParquet(file, columns)) {
      const checked = check(rowSchema, row, `row ${at++} of ${file}`);
      if ('skipped' in checked) {
        yield checked;
        continue;
      }
      const { id, image_0, image_1 } = checked.record;
      const images = [image_0, image_1].map(({ bytes }, i) => ({ name: `${idOf(id)}, image ${i}`, bytes }));
      yield questionOf(checked.record, images);
    }
  }
}

const idOf = (id: number): string => `example ${id}`;

const questionOf = (
  about_: { id: number; caption_0: string; caption_1: string; collapsed_tag?: string | null | undefined },
  images: Question['images'],
): Question => ({
  id: idOf(about_.id),
  images,
  texts: [about_.caption_0, about_.caption_1],
  ...(about_.collapsed_tag && { group: about_.collapsed_tag }),
});

function figuresOf(answers: readonly Answer[]): Figures {
  const scores = Float32Array.from(answers.flatMap((answer) => [...answer.scores]));
  const { imageToText, textToImage, bothDirections } = pairCorrect(scores);
  const verdicts = Object.entries({ text: imageToText, image: textToImage, group: bothDirections });
  const rows = verdicts.flatMap(([name, right]) =>
    sharesOf(
      right,
      right.map(() => name),
    ),
  );
  const tags = answers.map(({ question }) => question.group ?? 'no tag');
  const byTag = verdicts.flatMap(([name, right]) =>
    sharesOf(right, tags).map((share) => ({ ...share, name, section: share.name })),
  );
  const sections = [...new Set(tags)];
  return {
    main: meanShare(rows),
    metric: 'mean of text, image and group score',
    rows: [...rows, ...sections.flatMap((tag) => byTag.filter(({ section }) => section === tag))],
  };
}
