/** Tasks to dispatches: which file writes the code of which task. */
import type { ForeachKernel, LoopKernel, MatmulKernel, RowKernel, ScatterAddKernel } from '@clipin/kernel';
import { flashBackwardCode } from './flash-backward-code';
import { flashCode } from './flash-code';
import { foreachCode } from './foreach-code';
import { loopCode } from './loop-code';
import type { Profile } from './profile';
import { reductionCode } from './reduction-code';
import { registerMatmulCode } from './register-matmul-code';
import { rowCode } from './row-code';
import { scatterCode } from './scatter-code';
import { subgroupMatmulCode } from './subgroup-matmul-code';
import type { Dispatch, FlashBackwardKernel, FlashKernel, Task } from './task';
import { tiledMatmulCode } from './tiled-matmul-code';

const is = <K extends Task['kernel']>(task: Task, kind: K['kind']): task is Task<K> =>
  task.kernel.kind === kind;

/** Whether a task has nothing to do, because its output has no elements. */
function isEmpty({ kernel }: Task): boolean {
  if (kernel.kind === 'flash') return [kernel.batch, kernel.heads, kernel.queries].includes(0);
  if (kernel.kind === 'flashBackward') {
    const { batch, heads, queries, keys, of } = kernel;
    return [batch, heads, of === 'query' ? queries : keys].includes(0);
  }
  if (kernel.kind === 'foreach') return kernel.lengths.length === 0;
  const axes =
    kernel.kind === 'loop' || kernel.kind === 'row'
      ? kernel.axes
      : kernel.kind === 'matmul'
        ? [...kernel.batch, kernel.m, kernel.n]
        : [kernel.batch, kernel.count, kernel.width];
  return axes.includes(0);
}

/** The dispatch of a task; none where there is nothing to do. */
export function generate(given: Task, profile: Profile): Dispatch | undefined {
  const task = { ...given, f16: profile.f16 };
  if (isEmpty(task)) return undefined;
  if (is<ForeachKernel>(task, 'foreach')) return foreachCode(task);
  if (is<MatmulKernel>(task, 'matmul')) {
    if (!profile.workgroupMemory) return registerMatmulCode(task, profile);
    return subgroupMatmulCode(task, profile) ?? tiledMatmulCode(task, profile);
  }
  if (is<RowKernel>(task, 'row')) return rowCode(task, profile);
  if (is<ScatterAddKernel>(task, 'scatterAdd')) return scatterCode(task, profile);
  if (is<FlashKernel>(task, 'flash')) return flashCode(task);
  if (is<FlashBackwardKernel>(task, 'flashBackward')) return flashBackwardCode(task);
  if (!is<LoopKernel>(task, 'loop')) return undefined;
  return task.kernel.reduction ? reductionCode(task, profile) : loopCode(task);
}
