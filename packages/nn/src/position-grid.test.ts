/** Resized and stretched positions against PyTorch's `interpolate` and a loop; `fixtures/positions.py` made the numbers. */
import { init, type Tensor, tensor } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import expected from './fixtures/positions.json';
import { type GridShape, gridWeights, resizePositions, stretchPositions } from './index';

beforeAll(async () => {
  await init({ device: 'reference' });
});

const width = 3;
const waves = (count: number): Tensor =>
  tensor(
    Float64Array.from({ length: count * width }, (_, k) => Math.sin(1 + 0.7 * k)),
    [count, width],
    { dtype: 'f32' },
  );

async function expectClose(actual: Tensor, wanted: readonly number[]) {
  const got = await actual.data();
  expect(got).toHaveLength(wanted.length);
  wanted.forEach((value, i) => {
    expect(got[i]).toBeCloseTo(value, 12);
  });
}

/** A pair out of JSON, whose lists have any length. */
const shapeOf = ([rows = 0, columns = 0]: readonly number[]): GridShape => [rows, columns];
const side = fc.integer({ min: 1, max: 9 });
const shape = fc.tuple(side, side);
const method = fc.constantFrom('bilinear' as const, 'bicubic' as const);

describe('a resized grid', () => {
  it.each(expected.resized)('$method from $from to $to is that of PyTorch', async (given) => {
    const [from, to] = [shapeOf(given.from), shapeOf(given.to)];
    const how = given.method === 'bicubic' ? 'bicubic' : 'bilinear';
    await expectClose(resizePositions(waves(from[0] * from[1]), { from, to, method: how }), given.values);
  });

  it('keeps the class token in front, and is bicubic from a square unless told otherwise', async () => {
    const grid = waves(10);
    const resized = resizePositions(grid, { to: [2, 5] });
    const points = resizePositions(grid.slice([1]), { to: [2, 5], from: [3, 3], method: 'bicubic' });
    await expectClose(resized.slice([0, 1]), Array.from(await grid.slice([0, 1]).data()));
    await expectClose(resized.slice([1]), Array.from(await points.data()));
  });

  it('mixes each point of weights that add up to 1', () =>
    checkProperty(
      fc.property(shape, shape, method, (from, to, how) => {
        const weights = gridWeights(from, to, how);
        const points = from[0] * from[1];
        for (let i = 0; i < weights.length; i += points) {
          const sum = weights.subarray(i, i + points).reduce((total, weight) => total + weight, 0);
          expect(sum).toBeCloseTo(1, 12);
        }
      }),
    ));

  it('is the same to its own size, and mirrored of a mirrored one', () =>
    checkProperty(
      fc.property(shape, shape, method, (from, to, how) => {
        const same = gridWeights(from, from, how);
        const points = from[0] * from[1];
        same.forEach((weight, i) => {
          expect(weight).toBeCloseTo(i % (points + 1) === 0 ? 1 : 0, 12);
        });
        const weights = gridWeights(from, to, how);
        Float64Array.from(weights)
          .reverse()
          .forEach((weight, i) => {
            expect(weight).toBeCloseTo(weights[i] as number, 12);
          });
      }),
    ));

  it('refuses positions that are no grid', () => {
    expect(() => resizePositions(waves(7), { to: [2, 2] })).toThrow(
      'resizePositions: 7 positions are no grid of 2 by 2, with or without a class token',
    );
    expect(() => resizePositions(waves(4), { to: [2, 0] })).toThrow('toColumns is 0');
  });
});

describe('stretched positions', () => {
  it.each(expected.stretched)(
    '$tokens with $keep kept, times $factor',
    async ({ tokens, values, ...options }) => {
      await expectClose(stretchPositions(waves(tokens), options), values);
    },
  );

  it('make 248 of 77', () => {
    expect(stretchPositions(waves(77)).shape).toEqual([248, width]);
  });

  it('refuse to keep so many that no line is left', () => {
    expect(() => stretchPositions(waves(21))).toThrow('keep is 20; wants 0 to 19');
  });
});
