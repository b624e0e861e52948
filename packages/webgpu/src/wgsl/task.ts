/**
 * What one compute dispatch has to do, still without code: a kernel of the kinds that have code of their own, with its
 * buffers. Lowering (`lower.ts`) makes launches into tasks, the `*-code.ts` files make tasks into WGSL.
 */
import type {
  Affine,
  AttentionShape,
  Body,
  ForeachKernel,
  Instruction,
  LoopKernel,
  MatmulKernel,
  Operand,
  RowKernel,
  ScatterAddKernel,
} from '@clipin/kernel';
import { contiguousStrides, type DType, foreachPart, mapAffines } from '@clipin/kernel';

/**
 * A buffer of a task: its place in the table that `Program.run` gets, or, below 0, scratch memory of the device:
 * −1 is the first scratch buffer, −2 the second.
 */
export type BufferNumber = number;

/** Attention in one kernel. Outputs: the result and the logarithms, as `AttentionKernel` says. */
export interface FlashKernel extends AttentionShape {
  readonly kind: 'flash';
  readonly tiling: FlashTiling;
}

/**
 * A part of attention's derivative: with respect to the query (one output), or to key and value (two).
 */
export interface FlashBackwardKernel extends AttentionShape {
  readonly kind: 'flashBackward';
  readonly tiling: FlashTiling;
  readonly of: 'query' | 'key';
  /** Affine over `[batch, heads, queries, dim]`. */
  readonly gradient: Operand;
  /** The input `[2, batch, heads, queries]`: the logarithms, 0 where no key is seen, then `Σ gradient · result`. */
  readonly statistics: number;
}

/** Sizes of a flash kernel's tiles. */
export interface FlashTiling {
  /** Rows that a workgroup computes results for: queries, or keys. A multiple of 4. */
  readonly own: number;
  /** Rows that it walks over at a time, of the other kind. A multiple of `across`; divides `own`. */
  readonly walked: number;
  /** Invocations that share four own rows. */
  readonly across: number;
}

/** What has code of its own. */
type TaskKernel =
  | LoopKernel
  | ForeachKernel
  | RowKernel
  | MatmulKernel
  | ScatterAddKernel
  | FlashKernel
  | FlashBackwardKernel;

/** Work of one dispatch. */
export interface Task<K = TaskKernel> {
  readonly kernel: K;
  readonly inputs: readonly BufferNumber[];
  readonly inputTypes: readonly DType[];
  readonly outputs: readonly BufferNumber[];
  readonly outputTypes: readonly DType[];
  /** Where the stores go, affine over the outer axes; without it the outputs are contiguous. */
  readonly places?: readonly Affine[];
  /**
   * The first batch axis (matmul) or outer axis (reduction) numbers pieces of what is summed: piece `s` takes the range
   * from `s · chunk` to `(s + 1) · chunk` of `k`, or of the reduction's points in row-major order.
   */
  readonly chunk?: number;
  /** Whether WGSL has f16 on this adapter. */
  readonly f16?: boolean;
}

/** What a launch becomes: its tasks, and the elements that each scratch buffer has to hold. */
export interface Lowered {
  readonly tasks: readonly Task[];
  readonly scratch: readonly number[];
}

/** One dispatch, ready: code, parameters, buffers. */
export interface Dispatch {
  readonly code: string;
  /** 32-bit words of the parameter block. */
  readonly words: readonly number[];
  readonly buffers: readonly { readonly number: BufferNumber; readonly written: boolean }[];
  readonly workgroups: readonly [number, number];
}

/** The outer axes of a kernel's body. */
export const outerAxes = (kernel: LoopKernel | MatmulKernel): readonly number[] =>
  kernel.kind === 'loop' ? kernel.axes : [...kernel.batch, kernel.m, kernel.n];

/** Where a task's stores go, affine over the outer axes. */
export function placesOf(task: Task<LoopKernel | MatmulKernel>): readonly Affine[] {
  const strides = contiguousStrides(outerAxes(task.kernel));
  return task.places ?? task.kernel.stores.map(() => ({ offset: 0, strides }));
}

/** The positions of the inputs that a kernel reads. */
export function usedInputs(kernel: Task['kernel']): Set<number> {
  if (kernel.kind === 'scatterAdd') return new Set([0, 1]);
  if (kernel.kind === 'flash' || kernel.kind === 'flashBackward') {
    const { query, key, value, mask } = kernel;
    const operands = [query, key, value, ...(mask ? [mask] : [])].map(({ input }) => input);
    return new Set(
      kernel.kind === 'flash' ? operands : [...operands, kernel.gradient.input, kernel.statistics],
    );
  }
  const programs = [kernel.program, kernel.kind === 'loop' ? (kernel.reduction?.program ?? []) : []];
  const loads = programs.flat().flatMap((step) => (step.op === 'load' ? [step.input] : []));
  if (kernel.kind === 'foreach') {
    return new Set(
      kernel.lengths.flatMap((_, part) => {
        const { inputs } = foreachPart(kernel, part);
        return loads.map((input) => inputs[input] as number);
      }),
    );
  }
  return new Set(kernel.kind === 'matmul' ? [kernel.a.input, kernel.b.input, ...loads] : loads);
}

/** The body with all its affine functions rewritten. */
export const mapBody = (body: Body, change: (affine: Affine) => Affine): Body => ({
  program: mapAffines(body.program, change),
  stores: body.stores,
});

/**
 * For every instruction the set of axes that its value varies over, as bits (axis 0 is bit 0). `reduced` varies over
 * `reducedAxes`.
 */
export function axisMasks(program: readonly Instruction[], reducedAxes = 0): number[] {
  const masks: number[] = [];
  const over = ({ strides }: Affine) =>
    strides.reduce((mask, stride, axis) => mask | (stride ? 1 << axis : 0), 0);
  for (const step of program) {
    if (step.op === 'constant') masks.push(0);
    else if (step.op === 'reduced') masks.push(reducedAxes);
    else if (step.op === 'index') masks.push(over(step.index));
    else if (step.op === 'load') {
      const guards = step.guards.reduce((mask, guard) => mask | over(guard.value), 0);
      masks.push(over(step.index) | guards | (step.gather ? (masks[step.gather.at] as number) : 0));
    } else masks.push(step.args.reduce((mask, arg) => mask | (masks[arg] as number), 0));
  }
  return masks;
}
