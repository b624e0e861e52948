/**
 * ARO's Visual Genome tests (Yuksekgonul et al. 2023, "When and why vision-language models behave like bags-of-words",
 * arXiv:2210.01936): a box of a picture, a caption, and the same with its two objects, or their attributes, exchanged. The
 * picture is cut to the box first. Right if the true caption is the more similar one.
 *
 * Figures are means over kinds, not items, as in the authors' notebook: over relations, without those of a
 * long list (`aro-relations.ts`); over pairs of attributes that have at least 25 items. What does not enter the mean is not read.
 * `main` is the mean of both, as CLIP-IN's Table 3 has it. The tests of word order are in `aro-order.ts`.
 */
import { dirname } from 'node:path';
import { z } from 'zod';
import { isHighest, meanShare, type Share, sharesOf } from '../metrics';
import { symmetricRelations } from './aro-relations';
import { check, findImage, locate, readJson } from './files';
import type { Answer, FigureRow, Figures, Question, QuestionSuite, Skipped } from './suite';

const item = {
  image_path: z.string().min(1),
  bbox_x: z.number(),
  bbox_y: z.number(),
  bbox_w: z.number().positive(),
  bbox_h: z.number().positive(),
  true_caption: z.string().min(1),
  false_caption: z.string().min(1),
};
const relationSchema = z.object({ ...item, relation_name: z.string().min(1) });
const attributionSchema = z.object({ ...item, attributes: z.tuple([z.string(), z.string()]) });
type Item = z.infer<z.ZodObject<typeof item>>;

/** Pairs of attributes with fewer items do not count. */
const fewestItems = 25;

/** Visual Genome relation and attribution. */
export const aro: QuestionSuite = {
  kind: 'questions',
  name: 'aro',
  title: 'ARO',
  layout:
    'visual_genome_relation.json, visual_genome_attribution.json, and the unpacked vgr_vga_images.zip, images/<image_path>',
  chance: 50,
  read: readTests,
  score: figuresOf,
};

async function* readTests(directory: string): AsyncGenerator<Question | Skipped> {
  const fileOf = (name: string) => locate(aro, directory, [name, `data/${name}`], name);
  const relations = fileOf('visual_genome_relation.json');
  const attributions = fileOf('visual_genome_attribution.json');
  const images = locate(aro, dirname(relations), ['images', '../images'], 'the folder of images');
  yield* relationsOf(relations, images);
  yield* attributionsOf(attributions, images);
}

async function* relationsOf(path: string, folder: string): AsyncGenerator<Question | Skipped> {
  for (const [i, one] of (await readJson(path, z.array(z.unknown()))).entries()) {
    const checked = check(relationSchema, one, `relation ${i}`);
    if ('skipped' in checked) yield checked;
    else if (!symmetricRelations.has(checked.record.relation_name)) {
      yield questionOf(folder, checked.record, `relation ${i}`, `relation/${checked.record.relation_name}`);
    }
  }
}

async function* attributionsOf(path: string, folder: string): AsyncGenerator<Question | Skipped> {
  const items = (await readJson(path, z.array(z.unknown()))).map((one, i) =>
    check(attributionSchema, one, `attribution ${i}`),
  );
  const sizes = new Map<string, number>();
  for (const one of items) {
    if (!('skipped' in one)) sizes.set(pairOf(one.record), (sizes.get(pairOf(one.record)) ?? 0) + 1);
  }
  for (const [i, one] of items.entries()) {
    if ('skipped' in one) yield one;
    else if (sizes.get(pairOf(one.record))! >= fewestItems) {
      yield questionOf(folder, one.record, `attribution ${i}`, `attribution/${pairOf(one.record)}`);
    }
  }
}

const pairOf = ({ attributes: [first, second] }: { attributes: readonly [string, string] }): string =>
  `${first}, ${second}`;

function questionOf(folder: string, one: Item, id: string, group: string): Question | Skipped {
  const source = findImage(folder, one.image_path);
  if (source === undefined) return { skipped: id, reason: `no image ${one.image_path} in ${folder}` };
  const box = [one.bbox_x, one.bbox_y, one.bbox_w, one.bbox_h] as const;
  return { id, images: [{ source, box }], texts: [one.true_caption, one.false_caption], group };
}

/** The tests: what their groups begin with, which is also the name of their row, and the heading of their kinds. */
const tests = [
  { name: 'relation', section: 'Relations' },
  { name: 'attribution', section: 'Pairs of attributes' },
];

function figuresOf(answers: readonly Answer[]): Figures {
  const shares = sharesOf(
    answers.map(({ scores }) => isHighest(scores, 0)),
    answers.map(({ question }) => question.group ?? ''),
  );
  const tables = tests.map(({ name, section }) => tableOf(shares, name, section));
  const means = tables.flatMap(({ mean }) => mean);
  const absent = tests.filter(({ name }) => !means.some((mean) => mean.name === name));
  return {
    main: meanShare(means),
    metric:
      absent.length === 0
        ? 'captions chosen, mean of relation and attribution, each the mean of its kinds'
        : `captions chosen, mean over kinds of ${means[0]?.name ?? 'neither test'}`,
    rows: [...means, ...tables.flatMap(({ rows }) => rows)],
    ...(absent.length > 0 && { notes: absent.map(({ name }) => `${name}: no questions`) }),
  };
}

/** The kinds of a test in the order of their names, and their mean, which is missing where they are. */
function tableOf(
  shares: readonly Share[],
  test: string,
  section: string,
): { mean: readonly Share[]; rows: readonly FigureRow[] } {
  const rows = shares
    .filter(({ name }) => name.startsWith(`${test}/`))
    .map((share) => ({ ...share, name: share.name.slice(test.length + 1), section }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const count = rows.reduce((sum, row) => sum + row.count, 0);
  return { mean: rows.length > 0 ? [{ name: test, value: meanShare(rows), count }] : [], rows };
}
