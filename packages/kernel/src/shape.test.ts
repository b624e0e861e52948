import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { broadcastShapes, contiguousStrides, formatShape, normalizeAxis, sameShape, sizeOf } from './shape';

const shapes = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 });

describe('sizes and strides', () => {
  test.each([
    { shape: [], size: 1, strides: [] },
    { shape: [3], size: 3, strides: [1] },
    { shape: [2, 3, 4], size: 24, strides: [12, 4, 1] },
    { shape: [2, 0, 4], size: 0, strides: [0, 4, 1] },
  ])('of $shape', ({ shape, size, strides }) => {
    expect(sizeOf(shape)).toBe(size);
    expect(contiguousStrides(shape)).toEqual(strides);
  });

  test('contiguous strides number the elements in row-major order', () => {
    const nonEmpty = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 4 });
    checkProperty(
      fc.property(nonEmpty, (shape) => {
        const strides = contiguousStrides(shape);
        const last = shape.reduce((sum, n, axis) => sum + (n - 1) * (strides[axis] as number), 0);
        expect(last).toBe(sizeOf(shape) - 1);
      }),
    );
  });

  test('are written as people write them', () => {
    expect(formatShape([])).toBe('[]');
    expect(formatShape([2, 3])).toBe('[2, 3]');
    expect(sameShape([2, 3], [2, 3])).toBe(true);
    expect(sameShape([2, 3], [2, 3, 1])).toBe(false);
    expect(sameShape([2, 3], [3, 2])).toBe(false);
  });
});

describe('broadcasting', () => {
  test.each([
    { shapes: [], result: [] },
    { shapes: [[], [3]], result: [3] },
    { shapes: [[2, 1], [3]], result: [2, 3] },
    { shapes: [[4, 1, 3], [5, 1], [1]], result: [4, 5, 3] },
    { shapes: [[0], [1]], result: [0] },
    { shapes: [[2], [3]], result: undefined },
    { shapes: [[0], [2]], result: undefined },
    { shapes: [[2, 3], [2]], result: undefined },
  ])('of $shapes', ({ shapes: given, result }) => {
    expect(broadcastShapes(...given)).toEqual(result);
  });

  test('does not depend on the order', () => {
    checkProperty(
      fc.property(shapes, shapes, (a, b) => {
        expect(broadcastShapes(a, b)).toEqual(broadcastShapes(b, a));
      }),
    );
  });

  test('with itself and with a scalar gives the shape', () => {
    checkProperty(
      fc.property(shapes, (shape) => {
        expect(broadcastShapes(shape, shape, [])).toEqual(shape);
      }),
    );
  });
});

test.each([
  { axis: 0, rank: 2, result: 0 },
  { axis: -1, rank: 2, result: 1 },
  { axis: -2, rank: 2, result: 0 },
  { axis: 2, rank: 2, result: undefined },
  { axis: -3, rank: 2, result: undefined },
  { axis: 0, rank: 0, result: undefined },
  { axis: 0.5, rank: 2, result: undefined },
])('axis $axis of rank $rank is $result', ({ axis, rank, result }) => {
  expect(normalizeAxis(axis, rank)).toBe(result);
});
