/**
 * Attention as flash kernels, for GPUs: one forward; backward a small one for what each query needs, then one that owns
 * queries and one that owns keys. Heads whose tiles do not fit into workgroup memory are left to `attention-tasks.ts`.
 */
import type {
  AttentionBackwardKernel,
  AttentionKernel,
  Instruction,
  Launch,
  LoopKernel,
  Operand,
} from '@clipin/kernel';
import { contiguousStrides, sizeOf } from '@clipin/kernel';
import {
  constant,
  contiguous,
  f32,
  hiddenScore,
  load,
  task,
  tokensFirst,
  type View,
} from './attention-tasks';
import { invocationsOf, rowStride, weightStride } from './flash-tile-code';
import type { Profile } from './profile';
import type { BufferNumber, FlashBackwardKernel, FlashKernel, FlashTiling, Lowered, Task } from './task';

/** From the one that reads least memory to the one that fits where there is little of it. */
const tilings: readonly FlashTiling[] = [
  { own: 32, walked: 32, across: 8 },
  { own: 32, walked: 16, across: 8 },
  { own: 16, walked: 16, across: 16 },
  { own: 16, walked: 8, across: 8 },
];

/** The widest head: an invocation keeps its part of the results in registers. */
const widest = 128;

/** The first tiling that fits with so many pairs of an own and a walked tile, and matrices of weights. */
function chooseTiling(
  dim: number,
  { pairs, matrices }: { pairs: number; matrices: number },
  { workgroupMemory, workgroupBytes }: Profile,
): FlashTiling | undefined {
  if (!workgroupMemory || dim === 0 || dim > widest) return undefined;
  return tilings.find((tiling) => {
    const rows = pairs * (tiling.own + tiling.walked) * rowStride(dim);
    const weights = matrices * tiling.walked * weightStride(tiling);
    return 16 * (rows + weights + invocationsOf(tiling)) <= workgroupBytes;
  });
}

/** The task of attention, if it fits. */
export function flashTasks(
  launch: Launch & { kernel: AttentionKernel },
  profile: Profile,
): Lowered | undefined {
  const tiling = chooseTiling(launch.kernel.dim, { pairs: 1, matrices: 1 }, profile);
  if (!tiling) return undefined;
  const kernel: FlashKernel = { ...launch.kernel, kind: 'flash', tiling };
  return { tasks: [{ ...launch, kernel }], scratch: [] };
}

/** The tasks of attention's derivative, if they fit. Scratch: −1 the statistics of the queries. */
export function flashBackwardTasks(
  launch: Launch & { kernel: AttentionBackwardKernel },
  profile: Profile,
): Lowered | undefined {
  const { kernel, inputs, inputTypes } = launch;
  const tiling = chooseTiling(kernel.dim, { pairs: 2, matrices: 2 }, profile);
  if (!tiling) return undefined;
  const part = (of: 'query' | 'key', outputs: readonly number[]): Task<FlashBackwardKernel> => ({
    kernel: { ...kernel, kind: 'flashBackward', tiling, of, statistics: inputs.length },
    inputs: [...inputs, -1],
    inputTypes: [...inputTypes, 'f32'],
    outputs,
    outputTypes: outputs.map(() => 'f32'),
  });
  const [gradQuery, gradKey, gradValue] = launch.outputs as readonly [number, number, number];
  const { batch, heads, queries } = kernel;
  return {
    tasks: [statisticsTask(launch), part('key', [gradKey, gradValue]), part('query', [gradQuery])],
    scratch: [2 * batch * heads * queries],
  };
}

/**
 * For each query the logarithm of its denominator, 0 where it sees no key so that no infinity takes part in arithmetic,
 * and `Σ gradient · result`. One buffer: each kernel that reads it is at the eight buffers that every adapter has.
 */
function statisticsTask({ kernel, inputs }: Launch & { kernel: AttentionBackwardKernel }): Task<LoopKernel> {
  const { batch, heads, queries, dim } = kernel;
  const rows = [batch, heads, queries];
  const view = ({ input, index }: Operand): View => ({
    buffer: inputs[input] as BufferNumber,
    ...f32,
    index,
  });
  const gradient = view(kernel.gradient);
  const result = view({ input: kernel.result, index: tokensFirst(heads, queries, dim) });
  const logSumExp = view({ input: kernel.logSumExp, index: contiguous(rows) });
  const program: Instruction[] = [
    { op: 'reduced', ...f32 },
    load(2, logSumExp),
    constant(hiddenScore),
    { op: 'lessEqual', dtype: 'bool', args: [1, 2] },
    constant(0),
    { op: 'select', ...f32, args: [3, 4, 1] },
  ];
  const products: Instruction[] = [
    load(0, gradient),
    load(1, result),
    { op: 'multiply', ...f32, args: [0, 1] },
  ];
  const output = (offset: number): View => ({
    buffer: -1,
    ...f32,
    index: { offset, strides: contiguousStrides(rows) },
  });
  const loop: LoopKernel = {
    kind: 'loop',
    axes: rows,
    program,
    stores: [5, 0],
    reduction: { op: 'sum', ...f32, axes: [dim], program: products },
  };
  return task(loop, [gradient, result, logSumExp], [output(0), output(sizeOf(rows))]);
}
