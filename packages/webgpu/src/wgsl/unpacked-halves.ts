/**
 * Outputs of halves where WGSL has no f16: two lie in a word, and invocations that write one each would race. So the
 * kernel writes f32 to scratch memory, and another task packs them, four an invocation.
 */
import type { LoopKernel } from '@clipin/kernel';
import { sizeOf } from '@clipin/kernel';
import { type BufferNumber, type Lowered, outerAxes, type Task } from './task';

/** Scratch for outputs, behind what attention, copies of operands and computed operands take. */
const firstScratch = -7;

/** The same work without kernels that write single halves; a foreach always writes four. */
export function packHalves({ tasks, scratch }: Lowered): Lowered {
  const writesHalves = ({ kernel, outputTypes }: Task) =>
    kernel.kind !== 'foreach' && outputTypes.includes('f16');
  if (!tasks.some(writesHalves)) return { tasks, scratch };
  const sizes = Array.from({ length: -firstScratch - 1 }, (_, i) => scratch[i] ?? 0);
  const packed = tasks.flatMap((task): Task[] => {
    const lengths = outputLengths(task);
    const packs: Task[] = [];
    const outputs = task.outputs.map((output, i): BufferNumber => {
      if (task.outputTypes[i] !== 'f16') return output;
      const number = firstScratch - packs.length;
      const whole = Math.ceil((lengths[i] as number) / 4) * 4;
      sizes[-1 - number] = Math.max(sizes[-1 - number] ?? 0, whole);
      packs.push(packTask(number, output, whole));
      return number;
    });
    const outputTypes = task.outputTypes.map((dtype) => (dtype === 'f16' ? 'f32' : dtype));
    return [{ ...task, outputs, outputTypes }, ...packs];
  });
  return { tasks: packed, scratch: sizes };
}

function outputLengths({ kernel, outputs }: Task): number[] {
  if (kernel.kind === 'loop' || kernel.kind === 'matmul') return outputs.map(() => sizeOf(outerAxes(kernel)));
  if (kernel.kind !== 'row') throw new TypeError(`webgpu: ${kernel.kind} has no outputs of dtype f16`);
  const { axes, row, stores } = kernel;
  return outputs.map((_, i) => sizeOf(i < stores.length ? [...axes, ...row] : axes));
}

function packTask(from: BufferNumber, to: BufferNumber, length: number): Task<LoopKernel> {
  const index = { offset: 0, strides: [1] };
  return {
    kernel: {
      kind: 'loop',
      axes: [length],
      program: [
        { op: 'load', dtype: 'f32', input: 0, index, guards: [] },
        { op: 'cast', dtype: 'f16', args: [0] },
      ],
      stores: [1],
    },
    inputs: [from],
    inputTypes: ['f32'],
    outputs: [to],
    outputTypes: ['f16'],
  };
}
