/**
 * Passes of a row kernel as programs of their own, which know nothing of each other: results of folds, and values that a
 * later pass would take long to compute again, go through scratch memory. No code is written here.
 */
import {
  argumentsOf,
  contiguousStrides,
  type Instruction,
  type RowKernel,
  rowPasses,
  sizeOf,
} from '@clipin/kernel';
import { operationCost } from './scalar';

/** One walk along the row. */
export interface RowPass {
  readonly program: readonly Instruction[];
  /** Folds of instructions of this program, by number of the fold. */
  readonly folds: readonly { readonly fold: number; readonly of: number }[];
  /** Instructions whose values are kept in scratch memory, from this element of it on. */
  readonly keeps: { readonly of: number; readonly at: number }[];
  /** What is stored at every point of the row; none but in the last pass. */
  readonly stores: readonly number[];
}

/** A row kernel in passes. Its programs read scratch memory as one more input, after those of the launch. */
export interface RowPlan {
  readonly passes: readonly RowPass[];
  /** What is the same all along the row and stored once. */
  readonly ends: { readonly program: readonly Instruction[]; readonly stores: readonly number[] };
  readonly scratchElements: number;
}

/** Work, in additions, that takes longer than a store and a load of the first cache. */
const keptCost = 8;
/** Elements of scratch memory for the result of a fold. */
const foldElements = 4;

/** Where fold `fold` leaves its result in scratch memory. */
export const foldPlace = (fold: number): number => fold * foldElements;

/** Work, in additions, for each varying instruction at one point of the row. */
function costs({ program }: RowKernel, varies: readonly boolean[]): number[] {
  const total: number[] = [];
  program.forEach((step, at) => {
    const before = argumentsOf(step).reduce((sum, arg) => sum + (total[arg] as number), 0);
    total.push(varies[at] ? before + operationCost(step) : 0);
  });
  return total;
}

/**
 * The passes of a row kernel.
 *
 * @param scratchInput - the number that programs give to scratch memory among their inputs
 */
export function planRow(kernel: RowKernel, scratchInput: number): RowPlan {
  const { axes, row, program, folds, stores, rowStores } = kernel;
  const { count, pass, varies } = rowPasses(kernel);
  const cost = costs(kernel, varies);
  const still = axes.map(() => 0);
  const along = contiguousStrides(row);
  const padded = Math.ceil(sizeOf(row) / 4) * 4;
  const firstPass = new Map<number, number>();
  const places = new Map<number, number>();
  const numberings: Map<number, number>[] = [];
  const passes: RowPass[] = [];
  let scratchElements = foldPlace(folds.length);

  const scratchLoad = (of: number, offset: number, strides: readonly number[]): Instruction => ({
    op: 'load',
    dtype: (program[of] as Instruction).dtype,
    input: scratchInput,
    index: { offset, strides: [...still, ...strides] },
    guards: [],
  });

  const keep = (at: number): number => {
    const known = places.get(at);
    if (known !== undefined) return known;
    const place = scratchElements;
    scratchElements += padded;
    places.set(at, place);
    const first = firstPass.get(at) as number;
    (passes[first] as RowPass).keeps.push({ of: numberings[first]?.get(at) as number, at: place });
    return place;
  };

  /** The program that computes `wanted` in pass `number`, and where each instruction is in it. */
  const write = (wanted: readonly number[], number: number) => {
    const written: Instruction[] = [];
    const numbering = new Map<number, number>();
    const emit = (at: number): number => {
      const known = numbering.get(at);
      if (known !== undefined) return known;
      const position = written.push(instruction(at)) - 1;
      numbering.set(at, position);
      return position;
    };
    const instruction = (at: number): Instruction => {
      const step = program[at] as Instruction;
      if (step.op === 'reduced') {
        const fold = step.fold ?? 0;
        return scratchLoad(
          at,
          foldPlace(fold),
          row.map(() => 0),
        );
      }
      const first = firstPass.get(at) ?? number;
      if (first < number && (cost[at] as number) >= keptCost) return scratchLoad(at, keep(at), along);
      if (varies[at]) firstPass.set(at, first);
      if (step.op === 'load')
        return step.gather ? { ...step, gather: { ...step.gather, at: emit(step.gather.at) } } : step;
      return 'args' in step ? { ...step, args: step.args.map(emit) } : step;
    };
    numberings[number] = numbering;
    const numbers = wanted.map(emit);
    return { program: written, numbers };
  };

  for (let number = 0; number < count; number++) {
    const own = folds.flatMap(({ of }, fold) => (pass[of] === number ? [{ fold, of }] : []));
    const { program: written, numbers } = write(
      own.map(({ of }) => of),
      number,
    );
    const renumbered = own.map(({ fold }, i) => ({ fold, of: numbers[i] as number }));
    passes.push({ program: written, folds: renumbered, keeps: [], stores: [] });
  }
  if (stores.length > 0) {
    const { program: written, numbers } = write(stores, count);
    passes.push({ program: written, folds: [], keeps: [], stores: numbers });
  }
  const { program: written, numbers } = write(rowStores, passes.length);
  return { passes, ends: { program: written, stores: numbers }, scratchElements };
}
