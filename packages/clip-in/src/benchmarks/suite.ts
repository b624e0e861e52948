/**
 * What a benchmark is to the engine: where its questions are, and how answers become figures. Three kinds: questions that are
 * judged by the cosines of their own images and texts, classification, and retrieval. One file a benchmark, beside this one, reads the layout
 * of its download and scores. How images and texts are embedded, kept and counted is `evaluation/run-suite.ts`.
 *
 * A suite never guesses: what cannot be read is yielded as {@link Skipped} with a reason, and stands beside the figure. A directory that is not
 * its layout at all is an Error that says what was expected.
 */
import type { ImageSource, PreprocessOptions } from '@clipin/data';

/** An item that takes no part, and why. */
export interface Skipped {
  /** Which one: its id, row or file. */
  readonly skipped: string;
  readonly reason: string;
}

/** A few images and texts that are compared with each other: a pair, a caption and its negatives, a query and its keys. */
export interface Question {
  /** Names it in the list of skipped items. */
  readonly id: string;
  readonly images: readonly ImageSource[];
  readonly texts: readonly string[];
  /** What its figure is counted with: a pattern, a subset, a relation. */
  readonly group?: string;
  /** Index of the right image or text, where it is not the same for all questions of the suite. */
  readonly answer?: number;
}

/** A question and what the model says of it. Images that were given as bytes have become their names. */
export interface Answer {
  readonly question: Question;
  /** Cosines, `[images, texts]`. */
  readonly scores: Float32Array;
}

/** One line of a suite's table. */
export interface FigureRow {
  /** The name that the benchmark prints, unique within its section. */
  readonly name: string;
  /** In percent. */
  readonly value: number;
  /** Questions behind the value. */
  readonly count: number;
  /** Heading under which the row stands, where a suite has several tables: a direction, a stricter rule. */
  readonly section?: string;
}

/** The figures of a suite, in percent. A value without questions behind it is left out, never 0 or NaN. */
export interface Figures {
  /** The figure that papers quote. */
  readonly main: number;
  /** What that is: "pairs right, mean of nine patterns". */
  readonly metric: string;
  readonly rows: readonly FigureRow[];
  /** What a reader must know to compare: a pattern without questions, a rule of which there are several. */
  readonly notes?: readonly string[];
}

/** What may differ from a model's own way to prepare images; see `PreprocessOptions`. */
export type Preparation = Partial<Pick<PreprocessOptions, 'resize' | 'rgbFirst'>>;

/** What every suite says of itself. */
export interface SuiteBase {
  /** As in `--suite`: lower case, digits and hyphens. */
  readonly name: string;
  /** As papers write it. */
  readonly title: string;
  /** What files are expected below the directory; for help and errors. */
  readonly layout: string;
  /** Questions or images of the whole benchmark. Another number stands beside the figure. */
  readonly size?: number;
  /** How images are prepared, where the code of the published figures does it in another way than that of the model. */
  readonly prepare?: Preparation;
}

/** A benchmark of questions, each judged by the cosines of its own images and texts. */
export interface QuestionSuite extends SuiteBase {
  readonly kind: 'questions';
  /** Share of right answers of a model that guesses, in percent, for the main figure. */
  readonly chance?: number;
  /** The questions, one after another; images as paths or bytes, none of them decoded. */
  read(directory: string): AsyncIterable<Question | Skipped>;
  /** Ties are wrong, and so is NaN. Called with at least one answer. */
  score(answers: readonly Answer[]): Figures;
}

/** An image and the number of its class. */
export interface LabelledImage {
  readonly image: ImageSource;
  readonly label: number;
}

/** What is classified, and by which texts. */
export interface Classification {
  readonly classes: readonly string[];
  /** Each with `{c}` where the name of a class goes. */
  readonly templates: readonly string[];
  readonly images: AsyncIterable<LabelledImage | Skipped>;
}

/** Zero-shot classification. */
export interface ClassificationSuite extends SuiteBase {
  readonly kind: 'classification';
  /** The figure that papers quote. */
  readonly metric: 'top-1' | 'mean per class';
  read(directory: string): Promise<Classification>;
}

/** An image and its captions, at least one. */
export interface CaptionedImage {
  readonly image: ImageSource;
  readonly captions: readonly string[];
}

/** Retrieval in both directions; any of an image's captions counts as its own. */
export interface RetrievalSuite extends SuiteBase {
  readonly kind: 'retrieval';
  read(directory: string): AsyncIterable<CaptionedImage | Skipped>;
}

/** A benchmark. */
export type Suite = QuestionSuite | ClassificationSuite | RetrievalSuite;

/** Whether an item is one that takes no part. */
export const isSkipped = (item: object): item is Skipped => 'skipped' in item;

/** A directory that is not the layout of its suite, or has nothing left to score. Other suites of a run go on. */
export class SuiteError extends Error {
  override readonly name = 'SuiteError';
}
