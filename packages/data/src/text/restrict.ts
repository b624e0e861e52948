/**
 * A tokenizer cut to the ids that some texts use, so that a small model needs a small embedding.
 * New ids: padding 0; the pieces in use 1, 2, … in CLIP's order; then start; the end token last and highest.
 */
import type { StartedTokenizer } from './tokenizer';

/** What a cut tokenizer is saved as: the ids of the full vocabulary that it keeps, ascending, start and end included. */
export interface RestrictedVocabulary {
  format: 'clip-in vocabulary 1';
  ids: number[];
}

/** A tokenizer with a small vocabulary. */
export interface RestrictedTokenizer extends StartedTokenizer {
  /** Plain data from which {@link restoreTokenizer} makes the tokenizer again. */
  toJSON(): RestrictedVocabulary;
}

/** Cuts a tokenizer to the ids in use in the given texts. */
export function restrict(full: StartedTokenizer, texts: Iterable<string>): RestrictedTokenizer {
  const used = new Set([full.start, full.end]);
  for (const text of texts) for (const id of full.encode(text)) used.add(id);
  return restoreTokenizer(full, { format: 'clip-in vocabulary 1', ids: [...used].sort((a, b) => a - b) });
}

/**
 * The cut tokenizer of a saved vocabulary.
 * @throws Error if the vocabulary is not one, or does not fit the full tokenizer
 */
export function restoreTokenizer(
  full: StartedTokenizer,
  vocabulary: RestrictedVocabulary,
): RestrictedTokenizer {
  const ids = checkVocabulary(full, vocabulary);
  const newIds = new Map(ids.map((id, i) => [id, i + 1]));
  return {
    size: ids.length + 1,
    pad: 0,
    start: newIds.get(full.start)!,
    end: newIds.get(full.end)!,
    encode(text) {
      return full.encode(text).map((id) => newIds.get(id) ?? refuse(full, newIds, text));
    },
    toJSON: () => ({ format: 'clip-in vocabulary 1', ids: [...ids] }),
  };
}

function refuse(full: StartedTokenizer, newIds: ReadonlyMap<number, number>, text: string): never {
  const words = text.split(/\s+/u).filter((word) => full.encode(word).some((id) => !newIds.has(id)));
  throw new RangeError(
    `encode: ${words.map((word) => `"${word}"`).join(', ')} in "${text}" is outside the cut vocabulary of ${newIds.size + 1} ids; ` +
      'include such texts in restrict(), or use the full tokenizer',
  );
}

function checkVocabulary(full: StartedTokenizer, vocabulary: RestrictedVocabulary): number[] {
  const { format, ids } = vocabulary ?? {};
  if (format !== 'clip-in vocabulary 1' || !Array.isArray(ids)) {
    throw new Error(
      `restoreTokenizer: expected { format: "clip-in vocabulary 1", ids: […] }, got format ${JSON.stringify(format)}`,
    );
  }
  const ascending = ids.every((id, i) => Number.isInteger(id) && id >= 0 && (i === 0 || id > ids[i - 1]!));
  if (!ascending || ids.at(-2) !== full.start || ids.at(-1) !== full.end) {
    throw new Error(
      `restoreTokenizer: ids must ascend and end with start ${full.start} and end ${full.end}, got … ${ids.slice(-3)}`,
    );
  }
  return [...ids];
}
