/** What every tokenizer is. */

/** Turns text into ids. */
export interface Tokenizer {
  /** Number of ids; ids are below it. */
  readonly size: number;
  /** Id that fills a row up after the end token. */
  readonly pad: number;
  /** Id before the text; undefined where a family has none (SigLIP). */
  readonly start?: number;
  /** Id after the text. Of CLIP's ids it is the highest, so that argmax over a row finds it. */
  readonly end: number;
  /** Where `loadTokenizer` read it, so that another thread can too; undefined where the family's comes with this package. */
  readonly directory?: string;
  /** Ids of one text with start (if there is one) and end, neither cut nor padded. */
  encode(text: string): number[];
}

/** A tokenizer whose rows begin with a token, as CLIP's do. */
export interface StartedTokenizer extends Tokenizer {
  readonly start: number;
}

/** Refuses what is no text, by name. */
export function checkText(text: string): void {
  if (typeof text !== 'string') throw new TypeError(`encode: text must be a string, got ${typeof text}`);
}
