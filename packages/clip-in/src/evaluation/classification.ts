/** Zero-shot classification: a row for each class from its texts, and where the own class of each image stands among all. */
import { rowNames } from '../benchmarks/published';
import type {
  Classification,
  ClassificationSuite,
  Figures,
  LabelledImage,
  Skipped,
} from '../benchmarks/suite';
import { averagePrompts } from '../metrics';
import type { Embedder } from './embedder';
import { type Embeddings, ranksAmong, similarity } from './ranks';
import { type ItemImages, Rows, type Tally, withEmbeddings } from './stream';

/** Texts that are embedded at a time; those of a class stay together. */
const TEXTS_AT_ONCE = 1024;
/** Images that are compared with the classes at a time. */
const IMAGES_AT_ONCE = 512;

/** Each item has one image. */
export const LABELLED_IMAGES: ItemImages<LabelledImage> = { imagesOf: ({ image }) => [image] };

/** The text of a class by a template. */
export const promptOf = (template: string, name: string): string => template.replaceAll('{c}', () => name);

/**
 * A row for each class: its texts by all templates embedded, averaged, normalized again.
 *
 * @param onProgress - told how many classes are done
 */
export async function classEmbeddings(
  { classes, templates }: Pick<Classification, 'classes' | 'templates'>,
  embedder: Embedder,
  onProgress: (done: number) => void = () => undefined,
): Promise<Embeddings> {
  const { width } = embedder;
  const rows = new Float32Array(classes.length * width);
  const atOnce = Math.max(1, Math.floor(TEXTS_AT_ONCE / templates.length));
  for (let start = 0; start < classes.length; start += atOnce) {
    const some = classes.slice(start, start + atOnce);
    const texts = some.flatMap((name) => templates.map((template) => promptOf(template, name)));
    rows.set(averagePrompts(await embedder.texts(texts), templates.length, width), start * width);
    onProgress(start + some.length);
  }
  return { rows, count: classes.length, width };
}

/** Places of images among the classes, collected. */
export class ClassificationScore {
  readonly #right1: Float64Array;
  readonly #count: Float64Array;
  #right5 = 0;
  #images = 0;

  constructor(
    readonly classes: readonly string[],
    readonly embeddings: Embeddings,
  ) {
    this.#right1 = new Float64Array(classes.length);
    this.#count = new Float64Array(classes.length);
  }

  /**
   * Compares images with all classes. Of equally similar classes the wrong one wins, but of two with one name, of which ImageNet
   * has two pairs, the first, as an argmax takes it.
   */
  async add(images: Embeddings, labels: readonly number[]): Promise<void> {
    const { classes, embeddings } = this;
    const { above, tied } = await ranksAmong(images, embeddings, {
      own: (image) => similarity(images, image, embeddings, labels[image]!),
      skip: (image, other) => {
        const label = labels[image]!;
        return other === label || (other > label && classes[other] === classes[label]);
      },
    });
    for (const [i, label] of labels.entries()) {
      const before = above[i]! + tied[i]!;
      this.#images++;
      this.#count[label]!++;
      if (before === 0) this.#right1[label]!++;
      if (before < 5) this.#right5++;
    }
  }

  figures(metric: ClassificationSuite['metric']): Figures {
    const images = this.#images;
    const perClass = [...this.#count].flatMap((count, c) =>
      count > 0 ? [(100 * this.#right1[c]!) / count] : [],
    );
    const top1 = (100 * sum(this.#right1)) / images;
    const mean = sum(perClass) / perClass.length;
    const empty = this.classes.length - perClass.length;
    const twice = this.classes.filter((name, i) => this.classes.indexOf(name) < i);
    return {
      main: metric === 'top-1' ? top1 : mean,
      metric: metric === 'top-1' ? 'top-1 accuracy' : 'accuracy, mean of the classes',
      rows: [
        { name: rowNames.topOne, value: top1, count: images },
        ...(this.classes.length > 5
          ? [{ name: 'top-5', value: (100 * this.#right5) / images, count: images }]
          : []),
        { name: 'mean of the classes', value: mean, count: images },
      ],
      notes: [
        ...(empty > 0 ? [`${empty} of ${this.classes.length} classes have no image.`] : []),
        ...(twice.length > 0
          ? [
              `Several classes are called ${twice.map((name) => `“${name}”`).join(', ')}; the first of them is taken.`,
            ]
          : []),
      ],
    };
  }
}

/** Embeds classes and images, and scores them; undefined if there is nothing to score. */
export async function askClassification(
  task: Omit<Classification, 'images'>,
  items: AsyncIterable<LabelledImage | Skipped>,
  metric: ClassificationSuite['metric'],
  embedder: Embedder,
  tally: Tally,
  onClasses?: (done: number) => void,
): Promise<Figures | undefined> {
  const score = new ClassificationScore(task.classes, await classEmbeddings(task, embedder, onClasses));
  const images = new Rows(embedder.width);
  let labels: number[] = [];
  const compare = async () => {
    await score.add(images.all(), labels);
    images.clear();
    labels = [];
  };
  for await (const [{ label }, [row]] of withEmbeddings(items, LABELLED_IMAGES, embedder, tally)) {
    images.add(row!);
    labels.push(label);
    if (labels.length === IMAGES_AT_ONCE) await compare();
  }
  await compare();
  return tally.taken === 0 ? undefined : score.figures(metric);
}

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
