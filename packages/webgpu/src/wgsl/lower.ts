/**
 * From launches to tasks: long sums with few results are cut into pieces and summed in two steps, scatterAdd gets its
 * zeros, attention becomes flash kernels or matrix products and row sums, operands are copied where that pays. Everything
 * in a fixed order.
 */
import type {
  Affine,
  Body,
  Launch,
  LoopKernel,
  MatmulKernel,
  Operand,
  Producer,
  Reduction,
} from '@clipin/kernel';
import { contiguousStrides, mapAffines, sizeOf } from '@clipin/kernel';
import { attentionBackwardTasks, attentionTasks } from './attention-tasks';
import { collapseLoop, collapseMatmul } from './collapse';
import { flashBackwardTasks, flashTasks } from './flash-tasks';
import { foreachTasks } from './foreach-tasks';
import { packRight } from './pack';
import type { Profile } from './profile';
import { reductionLanes, sharers } from './reduction-code';
import { storeOperands } from './store-operands';
import { matrixTile } from './subgroup-matmul-code';
import { type Lowered, outerAxes, type Task } from './task';
import { chooseTile, piecesOfK } from './tiled-matmul-code';
import { packHalves } from './unpacked-halves';

/** The tasks of a launch. */
export function lower(launch: Launch, profile: Profile): Lowered {
  const lowered = lowerKernel(launch, profile);
  const packed = profile.workgroupMemory ? lowered : packOperands(lowered);
  return profile.f16 ? packed : packHalves(packed);
}

/** Scratch for copies of operands, behind what attention takes. */
const packScratch = -4;

/** Copies the right operands of products that register tiles would read badly. */
function packOperands({ tasks, scratch }: Lowered): Lowered {
  let most = 0;
  const packed = tasks.flatMap((task) => {
    if (!isMatmul(task)) return [task];
    const { tasks: parts, elements } = packRight(task, packScratch);
    most = Math.max(most, elements);
    return parts;
  });
  if (most === 0) return { tasks, scratch };
  const sizes = [...[0, 1, 2].map((i) => scratch[i] ?? 0), most, ...scratch.slice(4)];
  return { tasks: packed, scratch: sizes };
}

const isMatmul = (task: Task): task is Task<MatmulKernel> => task.kernel.kind === 'matmul';

function lowerKernel(launch: Launch, profile: Profile): Lowered {
  const { kernel } = launch;
  switch (kernel.kind) {
    case 'loop':
      return kernel.reduction
        ? lowerReduction({ ...launch, kernel }, profile)
        : { tasks: [{ ...launch, kernel }], scratch: [] };
    case 'foreach':
      return foreachTasks({ ...launch, kernel }, profile.foreachBuffers);
    case 'row':
      return { tasks: [{ ...launch, kernel }], scratch: [] };
    case 'matmul':
      return lowerMatmul({ ...launch, kernel }, profile);
    case 'scatterAdd': {
      const zero = kernel.dtype;
      const fill: LoopKernel = {
        kind: 'loop',
        axes: [kernel.batch * kernel.rows * kernel.width],
        program: [{ op: 'constant', dtype: zero, value: 0 }],
        stores: [0],
      };
      const { outputs, outputTypes } = launch;
      return {
        tasks: [
          { kernel: fill, inputs: [], inputTypes: [], outputs, outputTypes },
          { ...launch, kernel },
        ],
        scratch: [],
      };
    }
    case 'attention':
      return flashTasks({ ...launch, kernel }, profile) ?? attentionTasks({ ...launch, kernel }, profile);
    case 'attentionBackward':
      return (
        flashBackwardTasks({ ...launch, kernel }, profile) ??
        attentionBackwardTasks({ ...launch, kernel }, profile)
      );
  }
}

/** An affine function with a new first axis over which it does not vary. */
const withFirstAxis = (affine: Affine): Affine => ({
  offset: affine.offset,
  strides: [0, ...affine.strides],
});

/** The second step: folds the pieces that the first left in scratch buffer −1, then runs the body. */
function joinPieces(
  task: Task<LoopKernel | MatmulKernel>,
  { program, stores }: Body,
  pieces: number,
  { op, dtype }: Pick<Reduction, 'op' | 'dtype'>,
): Task<LoopKernel> {
  const axes = outerAxes(task.kernel);
  const index = { offset: 0, strides: [...contiguousStrides(axes), sizeOf(axes)] };
  const load = { op: 'load', dtype, input: task.inputs.length, index, guards: [] } as const;
  return {
    ...task,
    kernel: {
      kind: 'loop',
      axes,
      program,
      stores,
      reduction: { op, dtype, axes: [pieces], program: [load] },
    },
    inputs: [...task.inputs, -1],
    inputTypes: [...task.inputTypes, dtype],
  };
}

/** Cuts the points of a reduction into pieces where one invocation for each output would leave the machine idle. */
function lowerReduction(task: Task<LoopKernel>, profile: Profile): Lowered {
  const { kernel } = task;
  const { reduction } = kernel;
  if (!reduction || reduction.dtype === 'bool') return { tasks: [task], scratch: [] };
  const collapsed = collapseLoop(task);
  const lanes = reductionLanes(collapsed);
  const outputs = sizeOf(kernel.axes);
  const points = sizeOf(reduction.axes);
  const workers = Math.ceil(outputs / (lanes === 'outer' ? 4 : 1)) * sharers(lanes, points, profile);
  const wanted = Math.min(Math.floor(profile.invocations / workers), Math.floor(points / 128));
  if (wanted < 2) return { tasks: [task], scratch: [] };
  const chunk = Math.ceil(points / wanted / 4) * 4;
  const pieces = Math.ceil(points / chunk);
  const reduced = { op: 'reduced', dtype: reduction.dtype } as const;
  const first: Task<LoopKernel> = {
    ...task,
    kernel: {
      kind: 'loop',
      axes: [pieces, ...kernel.axes],
      program: [reduced],
      stores: [0],
      reduction: { ...reduction, program: shiftAxes(reduction.program) },
    },
    outputs: [-1],
    outputTypes: [reduction.dtype],
    chunk,
  };
  return { tasks: [first, joinPieces(task, kernel, pieces, reduction)], scratch: [pieces * outputs] };
}

const shiftAxes = (program: LoopKernel['program']): LoopKernel['program'] =>
  mapAffines(program, withFirstAxis);

/** Stores operands that are programs, then the product. */
function lowerMatmul(given: Task<MatmulKernel<Operand | Producer>>, profile: Profile): Lowered {
  const { product, before, elements } = storeOperands(given);
  const { tasks, scratch } = lowerStored(product, profile);
  if (before.length === 0) return { tasks, scratch };
  return {
    tasks: [...before, ...tasks],
    scratch: [0, 1, 2, 3].map((i) => scratch[i] ?? 0).concat(elements),
  };
}

/** Cuts `k` into pieces where the result has too few tiles for a GPU. */
function lowerStored(given: Task<MatmulKernel>, profile: Profile): Lowered {
  const task = collapseMatmul(given);
  const { kernel } = task;
  const tile = matrixTile(task, profile)?.tile ?? chooseTile(kernel, profile);
  const pieces = profile.workgroupMemory ? piecesOfK(kernel, profile, tile) : 1;
  if (pieces < 2) return { tasks: [task], scratch: [] };
  const chunk = Math.ceil(kernel.k / pieces / 16) * 16;
  const count = Math.ceil(kernel.k / chunk);
  const { inputs, inputTypes } = task;
  const first: Task<MatmulKernel> = {
    inputs,
    inputTypes,
    kernel: {
      ...kernel,
      batch: [count, ...kernel.batch],
      a: { ...kernel.a, index: withFirstAxis(kernel.a.index) },
      b: { ...kernel.b, index: withFirstAxis(kernel.b.index) },
      program: [{ op: 'reduced', dtype: 'f32' }],
      stores: [0],
    },
    outputs: [-1],
    outputTypes: ['f32'],
    chunk,
  };
  const second = joinPieces(task, kernel, count, { op: 'sum', dtype: 'f32' });
  return { tasks: [first, second], scratch: [count * sizeOf(outerAxes(kernel))] };
}
