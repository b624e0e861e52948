/** Which inputs of a step an output may take the memory of: those that are read nowhere but at the element that is written. */
import type { ForeachKernel, Instruction, Kernel, Operand, Producer } from '@clipin/kernel';
import type { Node } from '../node';
import type { Step } from './build';
import { readsOwnElement } from './own-element';

/** Whether the step reads input `number` only at the element that it writes next. */
export function mayOverwrite({ kernel, inputs }: Step, number: number): boolean {
  if (kernel.kind === 'foreach') return isOwnOfPart(kernel, number) && isReadOnce(inputs, number);
  return readsOnlyWhatIsWritten(kernel, number);
}

/** The inputs, from and to, that an output may be written over: of a foreach those of the same part, else any. */
export function inputsBeside({ kernel, inputs }: Step, output: number): readonly [number, number] {
  if (kernel.kind !== 'foreach') return [0, inputs.length];
  const first = kernel.shared + Math.floor(output / kernel.stores.length) * kernel.own;
  return [first, first + kernel.own];
}

/** Whether an input belongs to one part, which reads it element by element. */
function isOwnOfPart({ shared, own, program }: ForeachKernel, number: number): boolean {
  if (number < shared) return false;
  const input = shared + ((number - shared) % own);
  return program.every((step) => step.op !== 'load' || step.input !== input || step.index.strides[0] === 1);
}

/** Parts run side by side: what two of them read, neither may write over. */
const isReadOnce = (inputs: readonly Node[], number: number): boolean => {
  const node = inputs[number] as Node;
  return inputs.indexOf(node) === inputs.lastIndexOf(node);
};

function readsOnlyWhatIsWritten(kernel: Kernel, number: number): boolean {
  if (kernel.kind !== 'loop' && kernel.kind !== 'row' && kernel.kind !== 'matmul') return false;
  const loadsIt = (program: readonly Instruction[]) =>
    program.some((step) => step.op === 'load' && step.input === number);
  const reads = (operand: Operand | Producer) =>
    'input' in operand ? operand.input === number : loadsIt(operand.program);
  const elsewhere =
    kernel.kind === 'matmul'
      ? reads(kernel.a) || reads(kernel.b)
      : kernel.kind === 'loop' && loadsIt(kernel.reduction?.program ?? []);
  return !elsewhere && readsOwnElement(kernel, (input) => input === number);
}
