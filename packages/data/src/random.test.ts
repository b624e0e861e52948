import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { randomAt } from './random';

/** How far counts are from equal, in standard deviations of a chi-squared value. */
function unevenness(counts: readonly number[]): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  return (chi - (counts.length - 1)) / Math.sqrt(2 * (counts.length - 1));
}

test('the first draws at neighbouring addresses are even and unrelated', () => {
  checkProperty(
    fc.property(
      fc.nat(1e6),
      fc.string({ maxLength: 12 }),
      fc.integer({ min: 2, max: 17 }),
      fc.nat(3),
      (seed, stream, n, skipped) => {
        const counts = Array<number>(n * n).fill(0);
        let previous = 0;
        for (let index = 0; index < 4000; index++) {
          const random = randomAt(seed, stream, index);
          for (let i = 0; i < skipped; i++) random.float();
          const drawn = random.int(n);
          counts[previous * n + drawn]!++;
          previous = drawn;
        }
        expect(unevenness(counts)).toBeLessThan(6);
      },
    ),
    { numRuns: 60 },
  );
});

test('addresses beyond 32 bits, other streams and other seeds differ', () => {
  const draws = [
    randomAt(1, 'a', 5),
    randomAt(1, 'a', 5 + 2 ** 32),
    randomAt(1, 'b', 5),
    randomAt(2, 'a', 5),
    randomAt(5, 'a', 1),
  ].map((random) => random.float());
  expect(new Set(draws).size).toBe(draws.length);
  expect(randomAt(1, 'a', 5).float()).toBe(draws[0]);
});

test('picking from nothing is refused', () => {
  expect(() => randomAt(0, 's', 1).pick([])).toThrow(/list is empty/);
});
