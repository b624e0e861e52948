/** Packing loses nothing, mixes nothing, and wastes little. */
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PackedRows, packTexts } from './pack';

const end = 99;
const padded = (texts: readonly number[][], length: number) => ({
  ids: Int32Array.from(texts.flatMap((text) => [...text, ...new Array(length - text.length).fill(0)])),
  length,
});

/** Text `number` read out of packed rows by its slot alone. */
function unpack(
  { slots, perRow, length, ids, texts, positions, ends }: PackedRows,
  number: number,
): number[] {
  const [row, place] = [Math.floor(slots[number]! / perRow), slots[number]! % perRow];
  const own = Array.from({ length }, (_, i) => row * length + i).filter((at) => texts[at] === place + 1);
  expect(own.map((at) => positions[at])).toEqual(own.map((_, i) => i));
  expect(own.at(-1)).toBe(row * length + ends[slots[number]!]!);
  return own.map((at) => ids[at]!);
}

const textOf = (most: number) =>
  fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: most - 1 }).map((words) => [...words, end]);

describe('packTexts', () => {
  it('gives back every text, whatever the rows', () => {
    const cases = fc.record({
      short: fc.array(textOf(5), { maxLength: 20 }),
      long: fc.array(textOf(12), { maxLength: 10 }),
      perRow: fc.integer({ min: 1, max: 6 }),
      rowsMultiple: fc.constantFrom(1, 3, 8),
    });
    checkProperty(
      fc.property(cases, ({ short, long, ...options }) => {
        const packed = packTexts([padded(short, 7), padded(long, 12)], { length: 12, ...options });
        const all = [...short, ...long];
        expect(all.map((_, number) => unpack(packed, number))).toEqual(all);
        expect(packed.slots).toHaveLength(all.length);
        expect(packed.rows % options.rowsMultiple).toBe(0);
        expect(packed.texts.filter((number) => number > 0)).toHaveLength(all.flat().length);
        expect(new Set(packed.slots).size).toBe(all.length);
      }),
    );
  });

  it('leaves out what follows the end token', () => {
    const packed = packTexts([{ ids: Int32Array.of(3, end, 5, end, 4), length: 5 }], { length: 5 });
    expect(unpack(packed, 0)).toEqual([3, end]);
  });

  it('fills rows', () => {
    const short = Array.from({ length: 40 }, () => [1, 2, end]);
    expect(packTexts([padded(short, 12)], { length: 12, rowsMultiple: 1 }).rows).toBe(10);
  });

  it('refuses a text that is longer than a row', () => {
    expect(() => packTexts([padded([[1, 2, 3, end]], 6)], { length: 3 })).toThrow(
      'packTexts: a text has 4 tokens, rows have 3; cut it or give more',
    );
  });
});
