/** From a launch to code: picks the generator of its kernel. */
import { type Kernel, type Launch, sizeOf } from '@clipin/kernel';
import { compileAttention } from './attention';
import { compileAttentionBackward } from './attention-backward';
import { compileForeach } from './foreach';
import type { CompiledKernel } from './frame';
import { compileMap } from './loop';
import type { Target } from './math';
import { compileMatmul } from './matmul';
import type { ModuleBuilder } from './module';
import { simplifyLoop, simplifyRow } from './nest';
import { compileReduce } from './reduce';
import { compileRow } from './row';
import { compileScatterAdd } from './scatter';

/** Stages for a launch; helper functions go into `module`, the stages' own functions are the caller's to add. */
export function compileLaunch(launch: Launch, target: Target, module: ModuleBuilder): CompiledKernel {
  const { kernel } = launch;
  if (isEmpty(kernel)) return { stages: [], sharedBytes: 0, threadBytes: 0 };
  switch (kernel.kind) {
    case 'loop': {
      const simple = simplifyLoop(kernel);
      const { reduction } = simple;
      return reduction
        ? compileReduce(launch, { ...simple, reduction }, target)
        : compileMap(launch, simple, target);
    }
    case 'foreach':
      return compileForeach(launch, kernel, target);
    case 'row':
      return compileRow(launch, simplifyRow(kernel), target);
    case 'matmul':
      return compileMatmul(launch, kernel, target, module);
    case 'scatterAdd':
      return compileScatterAdd(launch, kernel);
    case 'attention':
      return compileAttention(launch, kernel, target, module);
    case 'attentionBackward':
      return compileAttentionBackward(launch, kernel, target, module);
  }
}

/** Whether a kernel has nothing to compute. */
function isEmpty(kernel: Kernel): boolean {
  switch (kernel.kind) {
    case 'foreach':
      return false; // its code is for any lengths
    case 'loop':
    case 'row':
      return sizeOf(kernel.axes) === 0;
    case 'matmul':
      return sizeOf(kernel.batch) * kernel.m * kernel.n === 0;
    case 'scatterAdd':
      return kernel.batch * kernel.rows * kernel.width === 0;
    case 'attention':
      return kernel.batch * kernel.heads * kernel.queries === 0;
    case 'attentionBackward':
      return kernel.batch * kernel.heads * kernel.dim === 0;
  }
}
