/** The random cases notice mistakes: devices with one fault each, which none of them may pass. */
import {
  type AttentionShape,
  createReferenceDevice,
  type Device,
  type Instruction,
  type Kernel,
  type Operand,
  type Producer,
  type RowKernel,
  type ScalarOp,
} from '@clipin/kernel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkProperty } from '../check-property';
import { inPlaceCases, loopCases, matmulCases, reductionCases } from './kernel-arbitraries';
import { attentionBackwardCases, attentionCases, scatterAddCases } from './routines';
import { rowCases } from './rows';
import { checkCase, type KernelCase } from './run-case';

/** The reference device, running other kernels than it was given, or on other data. */
function mutant(
  change: (kernel: Kernel) => Kernel,
  round: (value: number) => number = (value) => value,
): Device {
  const device = createReferenceDevice();
  return {
    ...device,
    write: (buffer, data) =>
      device.write(buffer, buffer.dtype === 'f32' ? Float64Array.from(data, round) : data),
    load: (launches) => device.load(launches.map((launch) => ({ ...launch, kernel: change(launch.kernel) }))),
  };
}

const changeSteps =
  (change: (step: Instruction) => Instruction) =>
  (kernel: Kernel): Kernel => {
    if (!('program' in kernel)) return kernel;
    const program = kernel.program.map(change);
    if (kernel.kind !== 'loop' || !kernel.reduction) return { ...kernel, program };
    return {
      ...kernel,
      program,
      reduction: { ...kernel.reduction, program: kernel.reduction.program.map(change) },
    };
  };

const swapOp = (from: ScalarOp, to: ScalarOp) =>
  mutant(changeSteps((step) => (step.op === from ? { ...step, op: to } : step)));

const changeAttention = (change: (kernel: AttentionShape) => Partial<AttentionShape>) =>
  mutant((kernel) =>
    kernel.kind === 'attention' || kernel.kind === 'attentionBackward'
      ? { ...kernel, ...change(kernel) }
      : kernel,
  );

const changeRows = (change: (kernel: RowKernel) => Partial<RowKernel>) =>
  mutant((kernel) => (kernel.kind === 'row' ? { ...kernel, ...change(kernel) } : kernel));

/** The first f32 that an operand's program computes. */
const firstValue = (operand: Operand | Producer): Operand | Producer =>
  'input' in operand
    ? operand
    : { program: operand.program.slice(0, operand.program.findIndex(({ dtype }) => dtype === 'f32') + 1) };

/** Eleven bits, as f16 and the matrix units of GPUs keep. */
const halfPrecision = (value: number): number => Number(value.toPrecision(4));

const families: Record<string, fc.Arbitrary<KernelCase>> = {
  loops: fc.oneof(loopCases, inPlaceCases),
  reductions: fc.oneof(reductionCases(), reductionCases(true)),
  rows: fc.oneof(rowCases(), rowCases(true)),
  products: fc.oneof(matmulCases(), matmulCases(true)),
  'products of programs': matmulCases(false, true),
  scatterAdd: scatterAddCases,
  attention: attentionCases(),
  backward: attentionBackwardCases(),
};

const same = (kernel: Kernel): Kernel => kernel;

test.each<[string, keyof typeof families, Device]>([
  [
    'guards are ignored',
    'loops',
    mutant(changeSteps((step) => (step.op === 'load' ? { ...step, guards: [] } : step))),
  ],
  [
    'gathers read beyond their range',
    'loops',
    mutant(
      changeSteps((step) =>
        step.op === 'load' && step.gather
          ? { ...step, gather: { ...step.gather, size: step.gather.size + 1 } }
          : step,
      ),
    ),
  ],
  ['less is lessEqual', 'loops', swapOp('less', 'lessEqual')],
  ['max is min', 'loops', swapOp('max', 'min')],
  ['erf is tanh', 'loops', swapOp('erf', 'tanh')],
  [
    'only the first output is written',
    'loops',
    mutant((kernel) => ('stores' in kernel ? { ...kernel, stores: kernel.stores.slice(0, 1) } : kernel)),
  ],
  [
    'the last element is left out',
    'reductions',
    mutant((kernel) =>
      kernel.kind === 'loop' && kernel.reduction
        ? {
            ...kernel,
            reduction: {
              ...kernel.reduction,
              axes: kernel.reduction.axes.map((n, i) => (i === 0 ? Math.max(0, n - 1) : n)),
            },
          }
        : kernel,
    ),
  ],
  [
    'every fold of a row is the first',
    'rows',
    mutant(changeSteps((step) => (step.op === 'reduced' ? { ...step, fold: 0 } : step))),
  ],
  [
    'sums of rows are maxima',
    'rows',
    changeRows(({ folds }) => ({ folds: folds.map((fold) => ({ ...fold, op: 'max' })) })),
  ],
  [
    'rows start over where the last of several axes ends',
    'rows',
    changeRows(({ row }) => ({
      row: row.map((n, axis) => (axis === 0 && row.length > 1 ? Math.min(1, n) : n)),
    })),
  ],
  [
    'what is the same along a row is not stored',
    'rows',
    changeRows(({ rowStores }) => ({ rowStores: rowStores.slice(1) })),
  ],
  ['rows in half precision', 'rows', mutant(same, halfPrecision)],
  [
    'the last term is left out',
    'products',
    mutant((kernel) => (kernel.kind === 'matmul' ? { ...kernel, k: Math.max(0, kernel.k - 1) } : kernel)),
  ],
  [
    'operands that are programs are their first values',
    'products of programs',
    mutant((kernel) => (kernel.kind === 'matmul' ? { ...kernel, a: firstValue(kernel.a) } : kernel)),
  ],
  ['products in half precision', 'products', mutant(same, halfPrecision)],
  [
    'the last update is left out',
    'scatterAdd',
    mutant((kernel) =>
      kernel.kind === 'scatterAdd' && kernel.batch < 2
        ? { ...kernel, count: Math.max(0, kernel.count - 1) }
        : kernel,
    ),
  ],
  [
    'masks are ignored',
    'attention',
    changeAttention(({ mask: _, ...kernel }) => ({ ...kernel, mask: undefined })),
  ],
  ['all keys are seen', 'attention', changeAttention(() => ({ causal: false }))],
  ['attention in half precision', 'attention', mutant(same, halfPrecision)],
  ['another scale', 'attention', changeAttention(({ scale }) => ({ scale: scale * 1.001 }))],
  [
    'the derivative with another scale',
    'backward',
    mutant((kernel) =>
      kernel.kind === 'attentionBackward' ? { ...kernel, scale: kernel.scale * 1.001 } : kernel,
    ),
  ],
  [
    'the derivative without its mask',
    'backward',
    mutant((kernel) => {
      if (kernel.kind !== 'attentionBackward') return kernel;
      const { mask: _, ...rest } = kernel;
      return rest;
    }),
  ],
])('a device where %s fails', async (_, family, device) => {
  const reference = createReferenceDevice();
  const arbitrary = families[family] as fc.Arbitrary<KernelCase>;
  const property = fc.asyncProperty(arbitrary, (example) => checkCase(device, reference, example));
  await expect(checkProperty(property, { numRuns: 100, endOnFailure: true })).rejects.toThrow();
});
