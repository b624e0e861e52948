/** Whether a kernel's body reads an input element by element: then it may be written over, or computed in the same kernel. */
import {
  contiguousStrides,
  type LoopKernel,
  type MatmulKernel,
  type Operand,
  type Producer,
  type RowKernel,
  type Shape,
} from '@clipin/kernel';

/** Kernels with a body. */
export type BodyKernel = LoopKernel | RowKernel | MatmulKernel<Operand | Producer>;

/** The loops that a kernel's body runs over. */
export function bodyAxes(kernel: BodyKernel): Shape {
  if (kernel.kind === 'matmul') return [...kernel.batch, kernel.m, kernel.n];
  return kernel.kind === 'row' ? [...kernel.axes, ...kernel.row] : kernel.axes;
}

/** Whether the body reads these inputs nowhere but at the element that it computes. */
export function readsOwnElement(kernel: BodyKernel, isMeant: (input: number) => boolean): boolean {
  const axes = bodyAxes(kernel);
  const strides = contiguousStrides(axes);
  return kernel.program.every((step) => {
    if (step.op !== 'load' || !isMeant(step.input)) return true;
    const { index, guards, gather } = step;
    const own = axes.every((size, axis) => size === 1 || index.strides[axis] === strides[axis]);
    return own && index.offset === 0 && guards.length === 0 && !gather;
  });
}
