/** The parts of a foreach: which of a launch's buffers belong to which, and each as the loop that it is. */
import type { ForeachKernel, LoopKernel } from './kernel';

/** One part of a foreach, by itself. */
export interface ForeachPart {
  readonly kernel: LoopKernel;
  /** Positions of its inputs, shared and own, among those of the launch. */
  readonly inputs: readonly number[];
  /** Positions of its outputs among those of the launch. */
  readonly outputs: readonly number[];
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);

/** The loop that part `part` of a foreach is. */
export function foreachPart(
  { lengths, shared, own, program, stores }: ForeachKernel,
  part: number,
): ForeachPart {
  return {
    kernel: { kind: 'loop', axes: [lengths[part] as number], program, stores },
    inputs: [...range(0, shared), ...range(shared + part * own, own)],
    outputs: range(part * stores.length, stores.length),
  };
}
