/** Runs one suite on one model: reads, embeds, scores, and says what was left out. */
import type { ImageSource } from '@clipin/data';
import { type Figures, type Skipped, type Suite, SuiteError } from '../benchmarks/suite';
import { askClassification, LABELLED_IMAGES } from './classification';
import { type Embedder, type Embeds, TextError } from './embedder';
import { askQuestions, QUESTION_IMAGES } from './questions';
import { askRetrieval, RETRIEVAL_IMAGES } from './retrieval';
import { measured, suiteError, Tally } from './stream';

/** What a suite says of a model. */
export interface SuiteResult {
  readonly suite: string;
  readonly title: string;
  readonly figures: Figures;
  /** Items that took part: questions, or images. */
  readonly items: number;
  /** Items that did not. */
  readonly skipped: readonly Skipped[];
}

/** Options of {@link runSuite}. */
export interface RunSuiteOptions {
  /** Told after each item, and before them after some classes; how many there are is unknown where shards are read. */
  readonly onProgress?: (what: 'items' | 'classes', done: number, total: number | undefined) => void;
}

/**
 * Runs a suite.
 *
 * @param directory - the layout of the suite
 * @throws SuiteError if that is not what the directory is, or if nothing of it can be scored; other errors are those of the device and of the cache
 */
export async function runSuite(
  suite: Suite,
  directory: string,
  embedder: Embedder,
  { onProgress = () => undefined }: RunSuiteOptions = {},
): Promise<SuiteResult> {
  const asked = preparing(embedder, suite);
  const tallyOf = (total: number | undefined) =>
    new Tally(total, (...progress) => onProgress('items', ...progress));
  const begin = async <T extends object>(
    items: AsyncIterable<T | Skipped>,
    imagesOf: (item: T) => readonly ImageSource[],
  ) => {
    const list = await measured(items, imagesOf);
    return { items: list.items, tally: tallyOf(list.total) };
  };

  const score = async (): Promise<{ figures: Figures | undefined; tally: Tally }> => {
    switch (suite.kind) {
      case 'questions': {
        const { items, tally } = await begin(suite.read(directory), QUESTION_IMAGES.imagesOf);
        const answers = await askQuestions(items, asked, tally);
        return { figures: answers.length === 0 ? undefined : suite.score(answers), tally };
      }
      case 'retrieval': {
        const { items, tally } = await begin(suite.read(directory), RETRIEVAL_IMAGES.imagesOf);
        return { figures: await askRetrieval(items, asked, tally), tally };
      }
      case 'classification': {
        const task = await suite.read(directory).catch((error: unknown) => {
          throw suiteError(error);
        });
        const { items, tally } = await begin(task.images, LABELLED_IMAGES.imagesOf);
        const onClasses = (done: number) => onProgress('classes', done, task.classes.length);
        return {
          figures: await askClassification(task, items, suite.metric, asked, tally, onClasses),
          tally,
        };
      }
    }
  };

  const before = embedder.cut;
  const { figures, tally } = await score();
  if (!figures) throw nothingLeft(suite, directory, tally.skipped);
  return {
    suite: suite.name,
    title: suite.title,
    figures: withNotes(checked(suite, figures), [...sizeNote(suite, tally), ...cutNote(embedder, before)]),
    items: tally.taken,
    skipped: tally.skipped,
  };
}

/** The embedder, which prepares images in the way of a suite. A text that it cannot read fails the suite alone. */
const preparing = ({ width, images, texts }: Embedder, { prepare }: Suite): Embeds => ({
  width,
  images: (sources) => images(sources, prepare),
  texts: (list) =>
    texts(list).catch((error: unknown) => {
      throw error instanceof TextError ? suiteError(error) : error;
    }),
});

function nothingLeft(suite: Suite, directory: string, skipped: readonly Skipped[]): SuiteError {
  const [first] = skipped;
  const why = first
    ? `all ${skipped.length} items were skipped, first ${first.skipped}: ${first.reason}`
    : 'it has no items';
  return new SuiteError(`nothing to score in ${directory}; ${why}\nexpected: ${suite.layout}`);
}

/** A figure that is no percentage is a fault of the suite, and never printed. */
function checked(suite: Suite, figures: Figures): Figures {
  const bad = [{ name: figures.metric, value: figures.main }, ...figures.rows].find(
    ({ value }) => !(value >= 0 && value <= 100 + 1e-9),
  );
  if (bad) throw new Error(`${suite.name}: "${bad.name}" came out as ${bad.value}, which is no percentage`);
  return figures;
}

/** Says so where the directory holds another number of items than the benchmark has. */
function sizeNote({ size }: Suite, { taken, skipped }: Tally): string[] {
  const found = taken + skipped.length;
  if (size === undefined || found === size) return [];
  return [`The benchmark has ${size.toLocaleString('en')} items; here are ${found.toLocaleString('en')}.`];
}

/** Long captions say more than most models read. */
function cutNote({ cut, contextLength }: Embedder, before: number): string[] {
  const count = cut - before;
  if (count === 0) return [];
  const which = count === 1 ? '1 text is' : `${count.toLocaleString('en')} texts are`;
  return [
    `${which} longer than the ${contextLength} tokens that the model reads; what is beyond them was cut off.`,
  ];
}

const withNotes = (figures: Figures, notes: readonly string[]): Figures =>
  notes.length === 0 ? figures : { ...figures, notes: [...notes, ...(figures.notes ?? [])] };
