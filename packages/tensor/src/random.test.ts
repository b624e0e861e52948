/** Random bits against published vectors; distributions by their moments; keys that do not repeat themselves. */
import { createReferenceDevice } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  bernoulli,
  normal,
  randomBits,
  randomKey,
  setDefaultDevice,
  splitKey,
  type Tensor,
  tensor,
  uniform,
} from './index';

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

const read = async (x: Tensor) => Array.from(await x.data());

/** threefry2x32 with 20 rounds, written from the paper (Salmon et al. 2011, section 3.3). */
function threefry(
  [k0, k1]: readonly [number, number],
  [c0, c1]: readonly [number, number],
): [number, number] {
  const keys = [k0, k1, k0 ^ k1 ^ 0x1bd11bda];
  const turns = [13, 15, 26, 6, 17, 29, 16, 24];
  let [a, b] = [(c0 + k0) >>> 0, (c1 + k1) >>> 0];
  for (let round = 0; round < 20; round++) {
    const turn = turns[round % 8] as number;
    a = (a + b) >>> 0;
    b = (((b << turn) | (b >>> (32 - turn))) ^ a) >>> 0;
    if (round % 4 !== 3) continue;
    const injection = (round + 1) / 4;
    a = (a + (keys[injection % 3] as number)) >>> 0;
    b = (b + (keys[(injection + 1) % 3] as number) + injection) >>> 0;
  }
  return [a, b];
}

describe('threefry2x32', () => {
  test.each([
    [
      [0, 0],
      [0, 0],
      [0x6b200159, 0x99ba4efe],
    ],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x1cb996fc, 0xbb002be7],
    ],
    [
      [0x13198a2e, 0x03707344],
      [0x243f6a88, 0x85a308d3],
      [0xc4923a9c, 0x483df7a0],
    ],
  ] as const)('the reference of these tests gives the published vectors', (key, counter, expected) => {
    expect(threefry(key, counter)).toEqual(expected);
  });

  test('new keys are its words, and bits are both words folded', async () => {
    const words = fc.tuple(
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    );
    await checkProperty(
      fc.asyncProperty(words, fc.integer({ min: 1, max: 6 }), async ([k0, k1], n) => {
        const key = tensor(Uint32Array.of(k0, k1));
        const expected = Array.from({ length: n }, (_, i) => threefry([k0, k1], [0, i]));
        expect(await Promise.all(splitKey(key, n).map(read))).toEqual(expected);
        expect(await read(randomBits(key, [n]))).toEqual(expected.map(([a, b]) => (a ^ b) >>> 0));
      }),
      { numRuns: 30 },
    );
  });

  test('the published vector of the zero key comes out', async () => {
    expect(await Promise.all(splitKey(randomKey(0), 1).map(read))).toEqual([[0x6b200159, 0x99ba4efe]]);
  });

  test('a seed of 53 bits is the two words of a key', async () => {
    expect(await read(randomKey(2 ** 40 + 5))).toEqual([2 ** 8, 5]);
    expect(await read(randomKey(Number.MAX_SAFE_INTEGER))).toEqual([2 ** 21 - 1, 2 ** 32 - 1]);
  });
});

describe('keys', () => {
  test('do not repeat: bits of a key, of its children and of other seeds all differ', async () => {
    const root = randomKey(7);
    const keys = [root, ...splitKey(root, 3), ...splitKey(splitKey(root)[1] as Tensor), randomKey(8)];
    const bits = (await Promise.all(keys.map((key) => read(randomBits(key, [20]))))).flat();
    expect(new Set(bits).size).toBe(bits.length);
  });

  test('the shape does not change the numbers, only their order in space', async () => {
    expect(await read(randomBits(randomKey(3), [2, 3]))).toEqual(await read(randomBits(randomKey(3), [6])));
    expect(await read(uniform(randomKey(3), [0]))).toEqual([]);
    expect((await read(uniform(randomKey(3), []))).length).toBe(1);
  });

  test('samples of sibling keys do not correlate', async () => {
    const [a, b] = splitKey(randomKey(11)).map((key) => normal(key, [4000])) as [Tensor, Tensor];
    expect(Math.abs(await a.mul(b).mean().item())).toBeLessThan(4 / Math.sqrt(4000));
  });
});

describe('distributions', () => {
  const n = 10_000;
  const moments = async (x: Tensor) => {
    const values = await read(x);
    const moment = (power: number, center = 0) =>
      values.reduce((sum, v) => sum + (v - center) ** power, 0) / values.length;
    const mean = moment(1);
    return { mean, variance: moment(2, mean), skew: moment(3, mean), kurtosis: moment(4, mean), values };
  };

  test('uniform', async () => {
    const { mean, variance, values } = await moments(uniform(randomKey(1), [n]));
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / n));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.004);
    expect(values.every((v) => v >= 0 && v < 1 && Number.isInteger(v * 2 ** 23))).toBe(true);
  });

  test('normal', async () => {
    const { mean, variance, skew, kurtosis, values } = await moments(normal(randomKey(2), [n]));
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
    expect(Math.abs(skew)).toBeLessThan(4 * Math.sqrt(15 / n));
    expect(Math.abs(kurtosis - 3)).toBeLessThan(4 * Math.sqrt(96 / n));
    expect(values.every(Number.isFinite)).toBe(true);
  });

  test('bernoulli', async () => {
    const { mean } = await moments(bernoulli(randomKey(3), 0.3, [n]));
    expect(Math.abs(mean - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / n));
    expect(await read(bernoulli(randomKey(3), 0, [4]))).toEqual([0, 0, 0, 0]);
    expect(await read(bernoulli(randomKey(3), 1, [4]))).toEqual([1, 1, 1, 1]);
  });
});
