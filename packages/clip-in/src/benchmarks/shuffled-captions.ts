/**
 * Captions with their words in another order, in the four ways of ARO (Yuksekgonul et al. 2023, section 2.2; O'Connor and
 * Andreas 2021): nouns and adjectives exchanged, each among themselves; all other words exchanged; words exchanged within
 * groups of three; groups of three exchanged.
 *
 * The authors' own captions are draws without a published seed, over the tokens and tags of spaCy and NLTK. Here draws are seeded
 * and tags are those of `compromise`, so that the captions are of the same kind and not the same ones.
 */
import type { Random } from '@clipin/data';
import nlp from 'compromise/two';

/** A word or a punctuation mark. */
interface Token {
  readonly text: string;
  readonly kind: 'noun' | 'adjective' | 'other';
}

/**
 * The four shuffles of a caption, cleaned as ARO cleans captions. Where there is nothing to exchange, one is the caption itself.
 *
 * @returns nouns and adjectives; all but these; within groups of three; groups of three
 */
export function shuffledCaptions(caption: string, random: Random): readonly [string, string, string, string] {
  const tokens = tokensOf(caption);
  const kinds = tokens.map(({ kind }) => kind);
  const words = tokens.map(({ text }) => text);
  const groups = groupsOfThree(words);
  const said = (order: readonly string[]): string => cleanCaption(order.join(' '));
  const nouns = exchanged(words, (i) => kinds[i] === 'noun', random);
  return [
    said(exchanged(nouns, (i) => kinds[i] === 'adjective', random)),
    said(exchanged(words, (i) => kinds[i] === 'other', random)),
    said(groups.flatMap((group) => shuffled(group, random))),
    said(shuffled(groups, random).flat()),
  ];
}

/** Most words of a caption that ARO keeps. */
const mostWords = 30;

/** A caption as ARO gives it to models: lower case, without most punctuation, at most 30 words. */
export function cleanCaption(caption: string): string {
  const words = caption
    .toLowerCase()
    .replaceAll(/[.!"()*#:;~]/g, ' ')
    .split(/\s+/);
  return words
    .filter((word) => word !== '')
    .slice(0, mostWords)
    .join(' ');
}

/** Words, and punctuation marks apart from them. */
function tokensOf(caption: string): Token[] {
  const sentences: readonly { terms: readonly Term[] }[] = nlp(caption).json();
  return sentences.flatMap(({ terms }) =>
    terms.flatMap(({ pre, text, post, tags }) => [
      ...marksOf(pre),
      // The second half of a contraction is there without text.
      ...(text === '' ? [] : [{ text, kind: kindOf(tags) }]),
      ...marksOf(post),
    ]),
  );
}

interface Term {
  readonly pre: string;
  readonly text: string;
  readonly post: string;
  readonly tags: readonly string[];
}

const marksOf = (between: string): Token[] =>
  [...between.replaceAll(/\s/g, '')].map((text) => ({ text, kind: 'other' }));

function kindOf(tags: readonly string[]): Token['kind'] {
  if (tags.includes('Noun') && !tags.includes('Pronoun')) return 'noun';
  return tags.includes('Adjective') ? 'adjective' : 'other';
}

/** The words with those at some places in another order among these. */
function exchanged(words: readonly string[], moves: (place: number) => boolean, random: Random): string[] {
  const moved = shuffled(
    words.filter((_, i) => moves(i)),
    random,
  );
  let next = 0;
  return words.map((word, i) => (moves(i) ? moved[next++]! : word));
}

const groupsOfThree = (words: readonly string[]): string[][] =>
  Array.from({ length: Math.ceil(words.length / 3) }, (_, i) => words.slice(3 * i, 3 * i + 3));

/** Each order equally likely: the shuffle of Fisher and Yates. */
function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
