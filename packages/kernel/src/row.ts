/** What the instructions of a row kernel depend on: the place in the row, and which of its folds. Devices order by it. */
import type { Affine, Instruction, RowKernel } from './kernel';

/** The order in which a row can be computed: passes over it that fold, then one that stores. */
export interface RowPasses {
  /** How many passes fold. Values of a pass depend on folds of the passes before it only. */
  readonly count: number;
  /** For each instruction, the first pass in which it can be computed; `count` is the one that stores. */
  readonly pass: readonly number[];
  /** For each instruction, whether its value differs along the row. */
  readonly varies: readonly boolean[];
}

/** Earlier instructions whose values an instruction uses; the result of a fold is not among them. */
export function argumentsOf(step: Instruction): readonly number[] {
  if (step.op === 'load') return step.gather ? [step.gather.at] : [];
  return 'args' in step ? step.args : [];
}

/**
 * Sorts the instructions of a row kernel into passes. Fold `f` belongs to the pass of the instruction that it folds.
 *
 * @throws RangeError when a fold depends on itself or on a later one
 */
export function rowPasses({ axes, program, folds }: RowKernel): RowPasses {
  const pass: number[] = [];
  const varies: boolean[] = [];
  /** The last fold that an instruction depends on, or −1. */
  const lastFold: number[] = [];
  const moves = ({ strides }: Affine): boolean => strides.slice(axes.length).some((stride) => stride !== 0);
  const movesItself = (step: Instruction): boolean => {
    if (step.op === 'index') return moves(step.index);
    return step.op === 'load' && (moves(step.index) || step.guards.some(({ value }) => moves(value)));
  };
  program.forEach((step, at) => {
    const before = argumentsOf(step);
    varies.push(movesItself(step) || before.some((arg) => varies[arg]));
    if (step.op !== 'reduced') {
      pass.push(Math.max(0, ...before.map((arg) => pass[arg] as number)));
      lastFold.push(Math.max(-1, ...before.map((arg) => lastFold[arg] as number)));
      return;
    }
    const fold = step.fold ?? 0;
    const of = folds[fold]?.of ?? at;
    if (of >= at || (lastFold[of] as number) >= fold)
      throw new RangeError(`row: instruction ${at} wants fold ${fold}, whose value is not known before it`);
    pass.push((pass[of] as number) + 1);
    lastFold.push(fold);
  });
  return { count: Math.max(0, ...folds.map(({ of }) => (pass[of] as number) + 1)), pass, varies };
}
