import { randomAt } from '@clipin/data';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cleanCaption, shuffledCaptions } from './shuffled-captions';

const words = (caption: string) => caption.split(' ');
const sorted = (caption: string) => words(caption).sort().join(' ');
const draws = (caption: string, count: number) =>
  Array.from({ length: count }, (_, i) => shuffledCaptions(caption, randomAt(7, 'test', i)));

describe('shuffled captions', () => {
  const caption = 'a man with a red helmet rides on the small old moped';
  const [nouns, adjectives] = [
    ['man', 'helmet', 'moped'],
    ['red', 'small', 'old'],
  ];

  it('have the same words', () => {
    for (const shuffles of draws(caption, 50)) {
      expect(shuffles.map(sorted)).toEqual(Array(4).fill(sorted(caption)));
    }
  });

  it('exchange what they say', () => {
    const original = words(caption);
    const seen = [new Set<string>(), new Set<string>(), new Set<string>(), new Set<string>()];
    for (const shuffles of draws(caption, 200)) {
      for (const [way, one] of shuffles.entries()) seen[way]!.add(one);
      const [content, rest, within, groups] = shuffles.map(words);
      for (const [i, word] of original.entries()) {
        if (nouns.includes(word)) expect(nouns).toContain(content![i]);
        else if (adjectives.includes(word)) expect(adjectives).toContain(content![i]);
        else expect(content![i]).toBe(word);
        if (nouns.includes(word) || adjectives.includes(word)) expect(rest![i]).toBe(word);
      }
      const threes = (list: readonly string[]) =>
        Array.from({ length: Math.ceil(list.length / 3) }, (_, i) => list.slice(3 * i, 3 * i + 3));
      expect(threes(within!).map((group) => [...group].sort())).toEqual(
        threes(original).map((group) => [...group].sort()),
      );
      // Whole groups, in another order: 11 words are three groups of three and one of two.
      const order = groups!.join(' ');
      for (const group of threes(original)) expect(order).toContain(group.join(' '));
    }
    // 3! · 3! orders of nouns and adjectives; 5 others of which two are "a": 60; 6³ · 2 within; 4! of groups.
    expect(seen[0]!.size).toBe(36);
    expect(seen[1]!.size).toBeGreaterThan(40);
    expect(seen[2]!.size).toBeGreaterThan(100);
    expect(seen[3]!.size).toBe(24);
  });

  it('are the same for the same seed', () => {
    expect(draws(caption, 3)).toEqual(draws(caption, 3));
  });

  it('keep what has nothing to exchange, and take what is no sentence', () => {
    expect(draws('dog', 1)[0]).toEqual(['dog', 'dog', 'dog', 'dog']);
    expect(draws('', 1)[0]).toEqual(['', '', '', '']);
    expect(draws('... !!', 1)[0]).toEqual(['', '', '', '']);
    checkProperty(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(), (text, i) => {
        const shuffles = shuffledCaptions(text, randomAt(1, 'any', i));
        const letters = (one: string) => [...one.replaceAll(/[^\p{L}]/gu, '')].sort().join('');
        if (words(text).length < 20)
          for (const one of shuffles) expect(letters(one)).toBe(letters(text.toLowerCase()));
      }),
    );
  });

  it('are cleaned as ARO cleans captions', () => {
    expect(cleanCaption('A man,  "riding" a horse. (really)\n')).toBe('a man, riding a horse really');
    expect(cleanCaption(Array.from({ length: 40 }, (_, i) => `w${i}`).join(' '))).toBe(
      Array.from({ length: 30 }, (_, i) => `w${i}`).join(' '),
    );
  });
});
