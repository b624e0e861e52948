/** Code for many tensors: one for any lengths, and a table that covers every element once. What it computes: `conformance.test.ts`. */
import type { ForeachKernel, Launch } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { flatten } from './code';
import { compileForeach, foreachKey, foreachTable } from './foreach';

/** Sums of a scalar and two inputs; the second is written over. */
function launchOf(lengths: readonly number[]): Launch & { readonly kernel: ForeachKernel } {
  const load = (input: number, stride: number) =>
    ({ op: 'load', dtype: 'f32', input, index: { offset: 0, strides: [stride] }, guards: [] }) as const;
  const add = (a: number, b: number) => ({ op: 'add', dtype: 'f32', args: [a, b] }) as const;
  const program = [load(0, 0), load(1, 1), add(0, 1), load(2, 1), add(2, 3)];
  return {
    kernel: { kind: 'foreach', lengths, shared: 1, own: 2, program, stores: [4] },
    inputs: [0, ...lengths.flatMap((_, part) => [1 + 2 * part, 2 + 2 * part])],
    inputTypes: ['f32', ...lengths.flatMap(() => ['f32', 'f32'] as const)],
    outputs: lengths.map((_, part) => 2 + 2 * part),
    outputTypes: lengths.map(() => 'f32'),
  };
}

const codeOf = (launch: ReturnType<typeof launchOf>) =>
  compileForeach(launch, launch.kernel, { relaxed: false }).stages.map(({ function: f }) => flatten(f.body));

test('the code knows neither how many tensors there are nor their lengths', () => {
  const [few, many] = [launchOf([3, 5]), launchOf(Array.from({ length: 300 }, (_, i) => 1 + 37 * i))];
  expect(foreachKey(many)).toBe(foreachKey(few));
  expect(codeOf(many)).toEqual(codeOf(few));
  const other = { ...few, kernel: { ...few.kernel, shared: 0, own: 3 } };
  expect(foreachKey(other)).not.toBe(foreachKey(few));
});

test('every element of every tensor belongs to one item, with the pointers of its part', () => {
  checkProperty(
    fc.property(fc.array(fc.oneof(fc.nat(5), fc.nat(9000)), { maxLength: 20 }), (lengths) => {
      const { kernel } = launchOf(lengths);
      const { words, items, itemElements } = foreachTable(kernel);
      expect(words).toHaveLength(4 * items);
      const seen = lengths.map(() => 0);
      for (let item = 0; item < items; item++) {
        const [inputs, outputs, start, end] = words.slice(4 * item) as [number, number, number, number];
        const part = (inputs / 4 - 2) / 2; // behind the table and the scalar, two a part
        expect(outputs / 4).toBe(2 + 2 * lengths.length + part);
        expect(start).toBe(seen[part]);
        expect(end).toBeGreaterThan(start);
        seen[part] = end;
      }
      expect(seen).toEqual(lengths);
      const all = lengths.reduce((a, b) => a + b, 0);
      expect(items * itemElements).toBeCloseTo(all);
    }),
  );
});
