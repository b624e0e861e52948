/** Operands of matrix products that are programs, stored in scratch memory before the product reads them. */
import type { LoopKernel, MatmulKernel, Operand, Producer } from '@clipin/kernel';
import { affinesOf, contiguousStrides, sizeOf } from '@clipin/kernel';
import type { BufferNumber, Task } from './task';

/** Scratch for `a` and for `b`, behind what is packed and what attention takes. */
const scratchOf = { a: -5, b: -6 } as const;

/** A product whose operands are stored, the loops that store them, and the elements of each scratch buffer from −5 on. */
export interface StoredOperands {
  readonly product: Task<MatmulKernel>;
  readonly before: readonly Task<LoopKernel>[];
  readonly elements: readonly number[];
}

/** Stores the operands of a product that are programs. */
export function storeOperands(task: Task<MatmulKernel<Operand | Producer>>): StoredOperands {
  const { batch, m, n, k, a, b, ...rest } = task.kernel;
  const inputs = [...task.inputs];
  const inputTypes = [...task.inputTypes];
  const before: Task<LoopKernel>[] = [];
  const elements = [0, 0];
  const stored = (operand: Operand | Producer, name: 'a' | 'b', matrix: readonly number[]): Operand => {
    if ('input' in operand) return operand;
    const all = [...batch, ...matrix];
    const affines = affinesOf(operand.program);
    // What does not vary along a batch axis is stored once.
    const axes = all.map((size, axis) =>
      axis < batch.length && affines.every(({ strides }) => strides[axis] === 0) ? Math.min(1, size) : size,
    );
    const { program } = operand;
    const buffer: BufferNumber = scratchOf[name];
    before.push({
      ...task,
      kernel: { kind: 'loop', axes, program, stores: [program.length - 1] },
      outputs: [buffer],
      outputTypes: ['f32'],
    });
    elements[name === 'a' ? 0 : 1] = sizeOf(axes);
    inputTypes.push('f32');
    const strides = contiguousStrides(axes).map((stride, axis) => (axes[axis] === all[axis] ? stride : 0));
    return { input: inputs.push(buffer) - 1, index: { offset: 0, strides } };
  };
  const operands = { a: stored(a, 'a', [m, k]), b: stored(b, 'b', [k, n]) };
  const kernel: MatmulKernel = { batch, m, n, k, ...operands, ...rest };
  return { product: { ...task, kernel, inputs, inputTypes }, before, elements };
}
