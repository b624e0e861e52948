/**
 * Zero-shot classification: ImageNet and its variants, and fine-grained sets, as folders of classes or as shards. Prompts are OpenAI's
 * (github.com/openai/CLIP, `data/prompts.md` and the notebook of ImageNet), as CLIP_benchmark has them.
 *
 * Which folder is which class is never guessed: a folder that is no class of the set is an error.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ClassFolder,
  comparable,
  findClassFolders,
  isNumber,
  linesOf,
  nameOfFolder,
  picturesOf,
} from './class-folders';
import {
  IMAGENET_A_CLASSES,
  IMAGENET_CLASSES,
  IMAGENET_R_CLASSES,
  IMAGENET_SYNSETS,
  IMAGENET_TEMPLATES,
} from './imagenet-names';
import { findShards, pictureOf, readSamples, type Shards, textOf } from './shards';
import {
  type Classification,
  type ClassificationSuite,
  type LabelledImage,
  type Preparation,
  type Skipped,
  SuiteError,
} from './suite';

const SHARDS_LAYOUT = 'test/nshards.txt and test/<n>.tar (a picture and .cls a sample) with classnames.txt';

/** Loaders of folders and of shards hand on RGB. */
const LOADED: Preparation = { rgbFirst: true };

/** A variant of ImageNet. */
interface ImageNetOptions extends Pick<ClassificationSuite, 'name' | 'title' | 'size'> {
  /** Folder below the directory in which the classes may be, besides the directory itself. */
  readonly folder: string;
  /** Its classes among the 1000. Default: all. */
  readonly classes?: readonly number[];
}

const imageNet = ({ folder, classes: subset, ...suite }: ImageNetOptions): ClassificationSuite => {
  const indices = subset ?? IMAGENET_SYNSETS.map((_, i) => i);
  const synsets = indices.map((i) => IMAGENET_SYNSETS[i]!);
  const classes = indices.map((i) => IMAGENET_CLASSES[i]!);
  const named = `<synset, such as ${synsets[0]}>`;
  const numbered = subset ? '' : ', or folders named 0 to 999';
  const layout = `${folder}/${named}/<picture>${numbered}; or ${SHARDS_LAYOUT}`;
  const labels = labelsByName(classes, synsets);
  const labelOf = ({ name, path }: ClassFolder): number => {
    const label = labels.get(name) ?? labels.get(comparable(name));
    if (label !== undefined) return label;
    if (!subset && isNumber(name) && Number(name) < classes.length) return Number(name);
    throw new SuiteError(`${path}: "${name}" is no class of ${suite.title}; expected ${layout}`);
  };
  return {
    kind: 'classification',
    ...suite,
    prepare: LOADED,
    layout,
    metric: 'top-1',
    async read(directory) {
      const shards = await findShards(directory);
      const templates = await templatesIn(directory, IMAGENET_TEMPLATES);
      if (shards) {
        const given = (await linesOf(join(directory, 'classnames.txt'))) ?? classes;
        if (given.length !== classes.length) {
          throw new SuiteError(
            `${directory}/classnames.txt has ${given.length} names, and ${suite.title} ${classes.length} classes`,
          );
        }
        return { classes: given, templates, images: labelledSamples(shards, given.length) };
      }
      const folders = await findClassFolders(directory, [folder, 'val', 'test', '.']);
      if (!folders) throw notThere(directory, layout);
      const labelled = folders.map((one) => ({ ...one, label: labelOf(one) }));
      return { classes, templates, images: picturesOf(labelled) };
    },
  };
};

function labelsByName(classes: readonly string[], synsets: readonly string[]): Map<string, number> {
  const labels = new Map(synsets.map((synset, label) => [synset, label]));
  for (const [label, name] of classes.entries()) {
    // Where two classes have one name, a folder of that name could be either.
    if (classes.filter((other) => other === name).length === 1) labels.set(comparable(name), label);
  }
  return labels;
}

/** A set with classes of its own. */
interface OwnClassesOptions extends Pick<ClassificationSuite, 'name' | 'title' | 'size' | 'metric'> {
  readonly templates: readonly string[];
}

const ownClasses = ({ templates: usual, ...suite }: OwnClassesOptions): ClassificationSuite => {
  const layout =
    `test/<class>/<picture>, with classnames.txt where the folders are numbers; or ${SHARDS_LAYOUT}; ` +
    'zeroshot_classification_templates.txt, if there, counts more than the usual templates';
  return {
    kind: 'classification',
    ...suite,
    prepare: LOADED,
    layout,
    async read(directory) {
      const shards = await findShards(directory);
      const templates = await templatesIn(directory, usual);
      const classes = await linesOf(join(directory, 'classnames.txt'));
      if (shards) {
        if (!classes)
          throw new SuiteError(`${directory}/classnames.txt is missing: the name of each class, a line each`);
        return { classes, templates, images: labelledSamples(shards, classes.length) };
      }
      const folders = await findClassFolders(directory, ['test', 'val', 'images', '.']);
      if (!folders) throw notThere(directory, layout);
      return { ...namedFolders(directory, folders, classes), templates };
    },
  };
};

/** Which name belongs to which folder: the same name, or if folders are numbers, the same place. */
function namedFolders(
  directory: string,
  folders: readonly ClassFolder[],
  classes: readonly string[] | undefined,
): Pick<Classification, 'classes' | 'images'> {
  const numbers = folders.every(({ name }) => isNumber(name));
  if (!classes) {
    if (numbers)
      throw new SuiteError(
        `${directory}: its folders are numbers; put the names into classnames.txt, in the order of the numbers`,
      );
    return {
      classes: folders.map(({ name }) => nameOfFolder(name)),
      images: picturesOf(folders.map((folder, label) => ({ ...folder, label }))),
    };
  }
  const labels = new Map(classes.map((name, label) => [comparable(name), label]));
  const labelOf = ({ name, path }: ClassFolder, place: number): number => {
    const label = numbers ? place : labels.get(comparable(name));
    if (label === undefined) throw new SuiteError(`${path}: "${name}" is not in ${directory}/classnames.txt`);
    return label;
  };
  if (numbers && classes.length !== folders.length) {
    throw new SuiteError(
      `${directory}: ${folders.length} numbered folders, but ${classes.length} names in classnames.txt`,
    );
  }
  return {
    classes,
    images: picturesOf(folders.map((folder, place) => ({ ...folder, label: labelOf(folder, place) }))),
  };
}

async function* labelledSamples(shards: Shards, classes: number): AsyncGenerator<LabelledImage | Skipped> {
  for await (const sample of readSamples(shards)) {
    const image = pictureOf(sample);
    const text = textOf(sample, 'cls')?.trim();
    if (!image) yield { skipped: sample.name, reason: 'it has no picture' };
    else if (text === undefined) yield { skipped: sample.name, reason: 'it has no .cls' };
    else if (!/^\d+$/.test(text))
      yield { skipped: sample.name, reason: `its .cls is "${text}", not the number of a class` };
    else if (Number(text) >= classes) {
      throw new SuiteError(
        `${sample.name}: class ${text}, but classnames.txt has ${classes} names, numbered from 0`,
      );
    } else yield { image, label: Number(text) };
  }
}

async function templatesIn(directory: string, usual: readonly string[]): Promise<readonly string[]> {
  const path = join(directory, 'zeroshot_classification_templates.txt');
  const templates = (await linesOf(path)) ?? usual;
  const bad = templates.find((template) => !template.includes('{c}'));
  if (bad !== undefined)
    throw new SuiteError(`${path}: "${bad}" has no {c}, where the name of the class goes`);
  return templates;
}

const notThere = (directory: string, layout: string): SuiteError =>
  new SuiteError(
    `${directory}: ${existsSync(directory) ? 'has no folders of classes' : 'there is no such directory'}; expected ${layout}`,
  );

/** ImageNet, its variants, and fine-grained sets. Counts are those of the sets' test pictures. */
export const classificationSuites: readonly ClassificationSuite[] = [
  imageNet({ name: 'imagenet', title: 'ImageNet-1k', folder: 'val', size: 50_000 }),
  imageNet({
    name: 'imagenet-v2',
    title: 'ImageNet-V2',
    folder: 'imagenetv2-matched-frequency-format-val',
    size: 10_000,
  }),
  imageNet({
    name: 'imagenet-a',
    title: 'ImageNet-A',
    folder: 'imagenet-a',
    classes: IMAGENET_A_CLASSES,
    size: 7_500,
  }),
  imageNet({
    name: 'imagenet-r',
    title: 'ImageNet-R',
    folder: 'imagenet-r',
    classes: IMAGENET_R_CLASSES,
    size: 30_000,
  }),
  imageNet({ name: 'imagenet-sketch', title: 'ImageNet-Sketch', folder: 'sketch', size: 50_889 }),
  ownClasses({
    name: 'cars',
    title: 'Stanford Cars',
    size: 8_041,
    metric: 'top-1',
    templates: [
      'a photo of a {c}.',
      'a photo of the {c}.',
      'a photo of my {c}.',
      'i love my {c}!',
      'a photo of my dirty {c}.',
      'a photo of my clean {c}.',
      'a photo of my new {c}.',
      'a photo of my old {c}.',
    ],
  }),
  ownClasses({
    name: 'aircraft',
    title: 'FGVC Aircraft',
    size: 3_333,
    metric: 'mean per class',
    templates: ['a photo of a {c}, a type of aircraft.', 'a photo of the {c}, a type of aircraft.'],
  }),
  ownClasses({
    name: 'flowers',
    title: 'Oxford Flowers 102',
    size: 6_149,
    metric: 'mean per class',
    templates: ['a photo of a {c}, a type of flower.'],
  }),
  ownClasses({
    name: 'pets',
    title: 'Oxford-IIIT Pets',
    size: 3_669,
    metric: 'mean per class',
    templates: ['a photo of a {c}, a type of pet.'],
  }),
  ownClasses({
    name: 'food101',
    title: 'Food-101',
    size: 25_250,
    metric: 'top-1',
    templates: ['a photo of {c}, a type of food.'],
  }),
  ownClasses({
    name: 'cub',
    title: 'CUB-200-2011',
    size: 5_794,
    metric: 'top-1',
    templates: ['a photo of a {c}, a type of bird.'],
  }),
];
