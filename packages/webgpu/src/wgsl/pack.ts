/**
 * Lays the right operand of a matrix product out in scratch memory as rows of vec4, where it is stored otherwise: then
 * one kind of load, and one text, serves every layout. For register tiles on the CPU; workgroup tiles turn their operands
 * as they load them.
 */
import type { Affine, DType, LoopKernel, MatmulKernel } from '@clipin/kernel';
import { contiguousStrides, sizeOf } from '@clipin/kernel';
import { collapseMatmul } from './collapse';
import { isAlignedRun } from './program-code';
import type { BufferNumber, Task } from './task';

/** Fewer rows than this read the operand too seldom for a copy to pay. */
const fewestRows = 24;

/**
 * A product, and before it the copy of its right operand, if that pays.
 *
 * @param scratch - where the copy goes
 * @returns the tasks, and the elements of scratch that they take
 */
export function packRight(
  given: Task<MatmulKernel>,
  scratch: BufferNumber,
): { tasks: readonly Task[]; elements: number } {
  const task = collapseMatmul(given);
  const { kernel } = task;
  const { batch, k, n, b } = kernel;
  const rank = batch.length;
  const whole = n % 4 === 0 && isAlignedRun(b.index, rank + 1);
  if (whole || kernel.m < fewestRows) return { tasks: [given], elements: 0 };
  const width = Math.ceil(n / 4) * 4;
  // A batch axis that the operand does not vary over is not copied.
  const varying = batch.map((_, axis) => axis).filter((axis) => b.index.strides[axis] !== 0);
  const axes = [...varying.map((axis) => batch[axis] as number), k, width];
  const copied = contiguousStrides(axes);
  const index: Affine = { offset: 0, strides: [...batch.map(() => 0), ...copied.slice(-2)] };
  const strides = index.strides.map((stride, axis) => copied[varying.indexOf(axis)] ?? stride);
  const input = task.inputs.length;
  const product: Task<MatmulKernel> = {
    ...task,
    kernel: { ...kernel, b: { input, index: { ...index, strides } } },
    inputs: [...task.inputs, scratch],
    inputTypes: [...task.inputTypes, 'f32'],
  };
  return { tasks: [copyTask(task, axes, varying, scratch), product], elements: sizeOf(axes) };
}

/** Copies the right operand into rows of whole vec4, the surplus columns 0. */
function copyTask(
  { kernel, inputs, inputTypes }: Task<MatmulKernel>,
  axes: readonly number[],
  varying: readonly number[],
  scratch: BufferNumber,
): Task<LoopKernel> {
  const { offset, strides } = kernel.b.index;
  const rank = kernel.batch.length;
  const along = [...varying, rank, rank + 1];
  const column: Affine = { offset: 0, strides: along.map((axis) => (axis === rank + 1 ? 1 : 0)) };
  const guards = kernel.n % 4 === 0 ? [] : [{ value: column, size: kernel.n }];
  const index = { offset, strides: along.map((axis) => strides[axis] as number) };
  const dtype = inputTypes[kernel.b.input] as DType;
  const load = { op: 'load', dtype, input: 0, index, guards } as const;
  return {
    kernel: {
      kind: 'loop',
      axes,
      program: dtype === 'f32' ? [load] : [load, { op: 'cast', dtype: 'f32', args: [0] }],
      stores: [dtype === 'f32' ? 0 : 1],
    },
    inputs: [inputs[kernel.b.input] as BufferNumber],
    inputTypes: [dtype],
    outputs: [scratch],
    outputTypes: ['f32'],
  };
}
