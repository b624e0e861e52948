/** Dispatches of one program over many tensors: how many tensors each takes, and that one text serves them all. */
import type { ForeachKernel, Instruction, Launch } from '@clipin/kernel';
import { expect, test } from 'vitest';
import { load } from '../test-kernels';
import { generate } from './generate';
import { lower } from './lower';
import { type Profile, profiles } from './profile';

/** `x ← x + rate · g` over tensors of these lengths; buffer 0 is the rate, then x and g of each. */
function descent(lengths: readonly number[]): Launch & { readonly kernel: ForeachKernel } {
  const program: Instruction[] = [
    load(0, [0]),
    load(1, [1]),
    load(2, [1]),
    { op: 'multiply', dtype: 'f32', args: [0, 2] },
    { op: 'add', dtype: 'f32', args: [1, 3] },
  ];
  return {
    kernel: { kind: 'foreach', lengths, shared: 1, own: 2, program, stores: [4] },
    inputs: [0, ...lengths.flatMap((_, part) => [1 + 2 * part, 2 + 2 * part])],
    inputTypes: ['f32', ...lengths.flatMap(() => ['f32', 'f32'] as const)],
    outputs: lengths.map((_, part) => 1 + 2 * part),
    outputTypes: lengths.map(() => 'f32'),
  };
}

const lowered = (launch: Launch, foreachBuffers: number) => {
  const profile: Profile = { ...profiles.hardware, foreachBuffers };
  const { tasks, scratch } = lower(launch, profile);
  return { dispatches: tasks.flatMap((task) => generate(task, profile) ?? []), scratch };
};

test('as many tensors in a dispatch as it may bind buffers, each buffer once, all with one text', () => {
  const lengths = [1, 2, 3, 4, 5, 100, 70_000, 8, 9, 10, 11];
  const { dispatches, scratch } = lowered(descent(lengths), 8);
  expect(dispatches).toHaveLength(4); // three tensors and the rate take seven buffers
  expect(new Set(dispatches.map(({ code }) => code)).size).toBe(1);
  for (const { buffers } of dispatches) {
    expect(buffers).toHaveLength(7);
    expect(new Set(buffers.map(({ number }) => number)).size).toBe(7);
    expect(buffers.filter(({ written }) => written)).toHaveLength(3);
  }
  const written = dispatches.flatMap(({ buffers }) => buffers.filter(({ written }) => written));
  const inOrder = written.map(({ number }) => number).filter((number) => number >= 0);
  expect(inOrder).toEqual(lengths.map((_, part) => 1 + 2 * part));
  // The last dispatch has two tensors; a third without elements lies in scratch memory.
  const fillers = dispatches.flatMap(({ buffers }) => buffers.filter(({ number }) => number < 0));
  expect(fillers.map(({ number }) => scratch[-1 - number])).toEqual([4, 4]);
  expect(dispatches.map(({ workgroups: [x, y] }) => x * y)).toEqual([3, 3, Math.ceil(70_000 / 256) + 2, 2]);
});

test('the text knows no lengths', () => {
  const [texts, others] = [
    [3, 300, 5],
    [17, 1, 9000],
  ].map((lengths) => lowered(descent(lengths), 16).dispatches.map(({ code }) => code));
  expect(texts).toHaveLength(1);
  expect(texts).toEqual(others);
});

test('one tensor a dispatch where more cannot be bound; none without elements', () => {
  const { dispatches, scratch } = lowered(descent([5, 0, 300, 7]), 0);
  expect(dispatches.map(({ buffers }) => buffers.map(({ number }) => number))).toEqual([
    [0, 1, 2],
    [0, 5, 6],
    [0, 7, 8],
  ]);
  expect(new Set(dispatches.map(({ code }) => code)).size).toBe(1);
  expect(scratch).toEqual([]);
  expect(lowered(descent([0, 0]), 8).dispatches).toEqual([]);
});
