/** What a report shows. Plain data that evaluation and training hand over; nothing here computes or draws. */
import type { Json } from '../checkpoint';
import type { PairReport, Retrieval } from '../metrics';

/** All figures of one model, shares in percent. */
export interface Evaluation extends Omit<PairReport, 'counts'> {
  /** Pair accuracy of each kind of edit, by MMVP's rule. */
  readonly perKind: Readonly<Record<string, number>>;
  /** Pictures and captions that find each other, by the kind of caption. */
  readonly retrieval: { readonly short: Retrieval; readonly long: Retrieval };
  /** Zero-shot classification of single objects: the right class comes first. */
  readonly classification: number;
}

/** A picture: red, green and blue bytes, `[height, width, 3]`. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** One chart of lines over steps. */
export interface Curve {
  readonly title: string;
  readonly lines: readonly {
    readonly name: string;
    /** Step and value, by rising step. */
    readonly points: readonly (readonly [step: number, value: number])[];
  }[];
}

/** Similarities of a pair, `[picture, text]`: source and source, source and target, target and source, target and target. */
export type PairScores = readonly [number, number, number, number];

/** An edit and how the model told its two pictures apart. */
export interface PairExample {
  readonly pattern: string;
  readonly instruction: string;
  readonly source: Picture;
  readonly target: Picture;
  readonly sourceCaption: string;
  readonly targetCaption: string;
  readonly before: PairScores;
  readonly after: PairScores;
}

/** A caption and the pictures that the trained model finds for it, the most similar first. */
export interface QueryExample {
  readonly caption: string;
  readonly found: readonly { readonly picture: Picture; readonly right: boolean }[];
  /** Rank of the right picture, from 1, among how many. */
  readonly rank: number;
  readonly gallery: number;
}

/** A single object, and the class that the model gave it. */
export interface ClassifiedExample {
  readonly picture: Picture;
  readonly label: string;
  readonly before: string;
  readonly after: string;
}

/** A whole report. */
export interface ReportData {
  readonly title: string;
  /** A sentence or two on what was done. */
  readonly summary: string;
  /** As the command prints it, such as `wasm (2 threads)`. */
  readonly device: string;
  /** Duration of the run. */
  readonly seconds: number;
  /** More facts for the head of the page, such as `{ parameters: '0.9 million' }`. */
  readonly facts?: Readonly<Record<string, string>>;
  readonly config: Json;
  readonly before: Evaluation;
  readonly after: Evaluation;
  /** How many pairs each pattern has. */
  readonly pairCounts: Readonly<Record<string, number>>;
  readonly curves: readonly Curve[];
  readonly pairs: readonly PairExample[];
  readonly queries: readonly QueryExample[];
  readonly classified: readonly ClassifiedExample[];
  /** What must be said of the pictures' authors and licences, one a line. */
  readonly credits: readonly string[];
}
