/** Layouts against index arithmetic written out, and back again. */
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Layout, ourShape, theirShape, toOurs, toTheirs } from './layouts';

const counting = (length: number) => Float32Array.from({ length }, (_, i) => i);
const sizeOf = (shape: readonly number[]) => shape.reduce((product, side) => product * side, 1);

it('a linear map is transposed', () => {
  checkProperty(
    fc.property(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 70 }), (inputs, outputs) => {
      const theirs = counting(inputs * outputs);
      const ours = toOurs('transposed', theirs, [inputs, outputs]);
      ours.forEach((value, i) => {
        const [input, output] = [Math.floor(i / outputs), i % outputs];
        expect(value).toBe(output * inputs + input);
      });
      expect(theirShape('transposed', [inputs, outputs])).toEqual([outputs, inputs]);
      expect(theirShape('transposed', [inputs, outputs], 3)).toEqual([3 * outputs, inputs]);
    }),
    { numRuns: 30 },
  );
});

it('a convolution becomes a matrix by row, column and channel', () => {
  checkProperty(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 40 }), (patch, width) => {
      const shape = [patch * patch * 3, width];
      expect(theirShape('convolution', shape)).toEqual([width, 3, patch, patch]);
      const theirs = counting(sizeOf(shape));
      const ours = toOurs('convolution', theirs, shape);
      for (let y = 0; y < patch; y++) {
        for (let x = 0; x < patch; x++) {
          for (let channel = 0; channel < 3; channel++) {
            for (let output = 0; output < width; output++) {
              const row = (y * patch + x) * 3 + channel;
              expect(ours[row * width + output]).toBe(((output * 3 + channel) * patch + y) * patch + x);
            }
          }
        }
      }
    }),
    { numRuns: 20 },
  );
});

it('every layout leads back', () => {
  const shapes: Record<Layout, number[]> = {
    same: [5, 7],
    transposed: [33, 65],
    convolution: [48, 10],
    leading1: [6, 2],
    leading2: [9],
  };
  for (const layout of Object.keys(shapes) as Layout[]) {
    const shape = shapes[layout];
    const data = counting(sizeOf(shape));
    expect(toOurs(layout, toTheirs(layout, data, shape), shape)).toEqual(data);
    expect(ourShape(layout, theirShape(layout, shape))).toEqual(shape);
    expect(ourShape(layout, theirShape(layout, shape, 1), 1)).toEqual(shape);
  }
  expect(ourShape('transposed', theirShape('transposed', [8, 8], 3), 3)).toEqual([8, 8]);
});
