/**
 * A row kernel as programs of their own, which know nothing of each other: for each walk along the row, and for what is
 * the same all along it. Results of folds, and values that would take long to compute again, go from one to the next
 * through scratch memory. No code is written here.
 */
import {
  type Affine,
  argumentsOf,
  contiguousStrides,
  type Instruction,
  type RowKernel,
  rowPasses,
  sizeOf,
} from '@clipin/kernel';
import { operationCost } from './scalar';

/** A value that goes into scratch memory: instruction `of` of its program into row value, or kept row, `slot`. */
export interface Kept {
  readonly of: number;
  readonly slot: number;
}

/** One walk along the row. */
export interface RowPass {
  readonly program: readonly Instruction[];
  /** Folds of instructions of this program; the result of fold `f` is row value `f`. */
  readonly folds: readonly { readonly of: number; readonly fold: number }[];
  /** Values at every point of the row that a later walk loads. */
  readonly keeps: readonly Kept[];
  /** What is stored at every point of the row; none but in the last walk. */
  readonly stores: readonly number[];
}

/** What is computed once a row, before a walk: it may depend on the folds of all walks before. */
export interface RowValues {
  readonly program: readonly Instruction[];
  readonly values: readonly Kept[];
}

/** A row kernel in parts. */
export interface RowPlan {
  readonly passes: readonly RowPass[];
  /** One for each pass that folds, and one after them. */
  readonly values: readonly RowValues[];
  /** Row values that are outputs. */
  readonly outputs: readonly number[];
  /** How many row values, one element a row, scratch memory holds. */
  readonly rowValues: number;
  /** How many kept rows, and their length. */
  readonly keptRows: number;
  readonly keptLength: number;
}

/** Work, in additions, that takes longer than a store and a load of the first cache. */
const keptCost = 8;

/** Work, in additions, for each instruction: of what varies along the row only, or of what does not. */
function costs({ program }: RowKernel, counts: (at: number) => boolean): number[] {
  const total: number[] = [];
  program.forEach((step, at) => {
    const before = argumentsOf(step).reduce((sum, arg) => sum + (total[arg] as number), 0);
    total.push(counts(at) ? before + operationCost(step) : 0);
  });
  return total;
}

/**
 * The parts of a row kernel with at least one outer axis.
 *
 * @param scratch - the numbers that programs give, among their inputs, to row values and to kept rows in scratch memory
 * @param group - how many neighbours along the last outer axis scratch memory holds at once
 */
export function planRow(
  kernel: RowKernel,
  scratch: { readonly rowValues: number; readonly keptRows: number },
  group: number,
): RowPlan {
  return new Planner(kernel, scratch, group).plan();
}

/** A program being written: the number of each instruction of the kernel in it. */
class Part {
  readonly program: Instruction[] = [];
  readonly numbers = new Map<number, number>();

  emit(at: number, instruction: (at: number) => Instruction): number {
    const known = this.numbers.get(at);
    if (known !== undefined) return known;
    const number = this.program.push(instruction(at)) - 1;
    this.numbers.set(at, number);
    return number;
  }
}

class Planner {
  private readonly passes;
  private readonly varyingCost: readonly number[];
  private readonly stillCost: readonly number[];
  private readonly parts: Part[] = [];
  /** The pass that computes a varying instruction first. */
  private readonly firstPass = new Map<number, number>();
  private readonly kept = new Map<number, number>();
  private readonly still = new Map<number, number>();
  private readonly keptLength: number;

  constructor(
    private readonly kernel: RowKernel,
    private readonly scratch: { readonly rowValues: number; readonly keptRows: number },
    private readonly group: number,
  ) {
    this.passes = rowPasses(kernel);
    const { varies } = this.passes;
    this.varyingCost = costs(kernel, (at) => varies[at] === true);
    this.stillCost = costs(kernel, (at) => varies[at] !== true && kernel.program[at]?.op !== 'reduced');
    this.keptLength = Math.ceil(sizeOf(kernel.row) / 4) * 4;
  }

  plan(): RowPlan {
    const { kernel, passes } = this;
    const { folds, stores, rowStores } = kernel;
    const wanted = Array.from({ length: passes.count }, (_, pass) =>
      folds.flatMap(({ of }, fold) => (passes.pass[of] === pass ? [{ of, fold }] : [])),
    );
    wanted.forEach((own, pass) => {
      const part = this.part(pass);
      for (const { of } of own) this.emit(part, of, pass);
    });
    const last = this.part(passes.count);
    for (const store of stores) this.emit(last, store, passes.count);
    const outputs = rowStores.map((at) => this.rowValue(at));
    const values = this.writeValues();

    const numberIn = (pass: number, at: number) => this.parts[pass]?.numbers.get(at) as number;
    const written = this.parts.map(({ program }, pass): RowPass => {
      const keeps = [...this.kept].filter(([at]) => this.firstPass.get(at) === pass);
      return {
        program,
        folds: (wanted[pass] ?? []).map(({ of, fold }) => ({ of: numberIn(pass, of), fold })),
        keeps: keeps.map(([at, slot]) => ({ of: numberIn(pass, at), slot })),
        stores: pass === passes.count ? stores.map((at) => numberIn(pass, at)) : [],
      };
    });
    return {
      passes: stores.length > 0 ? written : written.slice(0, passes.count),
      values,
      outputs,
      rowValues: folds.length + this.still.size,
      keptRows: this.kept.size,
      keptLength: this.keptLength,
    };
  }

  private part(pass: number): Part {
    const part = new Part();
    this.parts[pass] = part;
    return part;
  }

  /** Programs of row values, the last first: they may ask for values of programs before them. */
  private writeValues(): RowValues[] {
    const values: RowValues[] = [];
    for (let pass = this.passes.count; pass >= 0; pass--) {
      const part = new Part();
      const own = [...this.still].filter(([at]) => this.passes.pass[at] === pass);
      for (const [at] of own) this.emitStill(part, at, pass, true);
      values.unshift({
        program: part.program,
        values: own.map(([at, slot]) => ({ of: part.numbers.get(at) as number, slot })),
      });
    }
    return values;
  }

  /** The row value that an instruction is, from now on. */
  private rowValue(at: number): number {
    const step = this.kernel.program[at];
    if (step?.op === 'reduced') return step.fold ?? 0;
    const slot = this.still.get(at) ?? this.kernel.folds.length + this.still.size;
    this.still.set(at, slot);
    return slot;
  }

  /** An instruction of a walk along the row. */
  private emit(part: Part, at: number, pass: number): number {
    return part.emit(at, () => {
      const step = this.kernel.program[at] as Instruction;
      if (!this.passes.varies[at]) {
        if (step.op === 'reduced' || (this.stillCost[at] as number) >= keptCost) return this.loadRowValue(at);
        return this.rename(step, (arg) => this.emit(part, arg, pass));
      }
      const first = this.firstPass.get(at) ?? pass;
      if (first < pass && (this.varyingCost[at] as number) >= keptCost) return this.loadKept(at);
      this.firstPass.set(at, first);
      return this.rename(step, (arg) => this.emit(part, arg, pass));
    });
  }

  /** An instruction that is the same along the row, in the program before `pass`. */
  private emitStill(part: Part, at: number, pass: number, own: boolean): number {
    return part.emit(at, () => {
      const step = this.kernel.program[at] as Instruction;
      const earlier = (this.passes.pass[at] as number) < pass && (this.stillCost[at] as number) >= keptCost;
      if (step.op === 'reduced' || (earlier && !own)) return this.loadRowValue(at);
      return this.rename(step, (arg) => this.emitStill(part, arg, pass, false));
    });
  }

  private rename(step: Instruction, number: (at: number) => number): Instruction {
    if (step.op === 'load')
      return step.gather ? { ...step, gather: { ...step.gather, at: number(step.gather.at) } } : step;
    return 'args' in step ? { ...step, args: step.args.map(number) } : step;
  }

  private load(at: number, input: number, offset: number, last: number, row: readonly number[]): Instruction {
    const { axes, program } = this.kernel;
    const index: Affine = { offset, strides: [...axes.slice(1).map(() => 0), last, ...row] };
    return { op: 'load', dtype: (program[at] as Instruction).dtype, input, index, guards: [] };
  }

  private loadRowValue(at: number): Instruction {
    const offset = this.rowValue(at) * this.group;
    return this.load(
      at,
      this.scratch.rowValues,
      offset,
      1,
      this.kernel.row.map(() => 0),
    );
  }

  private loadKept(at: number): Instruction {
    const slot = this.kept.get(at) ?? this.kept.size;
    this.kept.set(at, slot);
    const offset = slot * this.group * this.keptLength;
    return this.load(at, this.scratch.keptRows, offset, this.keptLength, contiguousStrides(this.kernel.row));
  }
}
