/**
 * Operands of matrix products that are programs: before a block of the result is computed, the part of the operand that it
 * reads is, into the thread's scratch memory, walked along the axis that memory is read in order along. There it is a
 * matrix like any other, to be packed or given to BLAS; what memory holds is read once, and nothing is written back.
 */
import type { Affine, DType, Instruction } from '@clipin/kernel';
import { type Code, doWhile, i32, ifElse, op, plus, times } from './code';
import type { Frame } from './frame';
import { elementCost } from './loop';
import type { Target } from './math';
import { storeVectorLanes } from './memory-access';
import type { Local } from './module';
import type { SimpleMatmul } from './nest';
import { ProgramEmitter } from './program';
import type { Block } from './tiles';

/** The most elements of an operand that a thread computes at once, if that leaves room for a tile. */
export const mostProduced = 2 ** 18;

const cyclesANanosecond = 3;

/** Cycles to compute an element of an operand, if it is a program. */
export const producedCycles = (program: readonly Instruction[] | undefined): number =>
  program ? cyclesANanosecond * elementCost(program) : 0;

/** The largest parts of the operands that one block reads: as many rows and columns of the result, and steps of k. */
interface Reach {
  readonly rows: number;
  readonly columns: number;
  readonly steps: number;
}

/** Whether a program reads memory rather along the first than along the second of the last two axes. */
export function walksFirst(program: readonly Instruction[], rank: number): boolean {
  const loads = program.flatMap((step) => (step.op === 'load' ? [step.index.strides] : []));
  const along = (axis: number) =>
    loads.filter((strides) => Math.abs(strides[axis] ?? 0) === 1).length -
    loads.filter((strides) => Math.abs(strides[axis] ?? 0) > 1).length;
  return along(rank - 2) > along(rank - 1);
}

/** The affine function of a matrix of its own, as if all of it were computed: what plans are made with. */
export function planned(
  program: readonly Instruction[],
  rank: number,
  rows: number,
  columns: number,
): Affine {
  const [row, column] = walksFirst(program, rank) ? [1, rows] : [columns, 1];
  return { offset: 0, strides: [...new Array<number>(rank - 2).fill(0), row, column] };
}

/** Elements from one line to the next: whole panels, and not all in the same few lines of the caches. */
const leadingOf = (length: number): number => {
  const whole = Math.ceil(length / 8) * 8;
  return whole % 256 === 0 ? whole + 16 : whole;
};

/** One operand in scratch memory. */
class Part {
  /** Where its element of the result's first row or column would lie: what the product takes for the operand's address. */
  readonly base: Local;
  readonly index: Affine;
  readonly bytes: number;
  private readonly first: boolean;
  private readonly leading: number;

  constructor(
    private readonly frame: Frame,
    private readonly target: Target,
    private readonly program: readonly Instruction[],
    private readonly inputTypes: readonly DType[],
    private readonly rank: number,
    rows: number,
    columns: number,
  ) {
    this.base = frame.f.local('i32');
    this.first = walksFirst(program, rank);
    this.leading = leadingOf(this.first ? rows : columns);
    this.bytes = 4 * this.leading * (this.first ? columns : rows);
    const [row, column] = this.first ? [1, this.leading] : [this.leading, 1];
    this.index = { offset: 0, strides: [...new Array<number>(rank - 2).fill(0), row, column] };
  }

  /** Computes `[row, rowEnd) × [column, columnEnd)` into scratch memory at `to`. */
  emit(
    outer: readonly Code[],
    [row, rowEnd]: readonly [Code, Code],
    [column, columnEnd]: readonly [Code, Code],
    to: Code,
  ): Code {
    const { f, inputs } = this.frame;
    const { first, leading, program, inputTypes, rank, target } = this;
    const [slow, line, at, position] = Array.from({ length: 4 }, () => f.local('i32')) as [
      Local,
      Local,
      Local,
      Local,
    ];
    const [start, end, lineStart, lineEnd] = first
      ? [row, rowEnd, column, columnEnd]
      : [column, columnEnd, row, rowEnd];
    const fast = first ? rank - 2 : rank - 1;
    const indices = [...outer, ...(first ? [start, slow.get] : [slow.get, start])];
    const emitter = new ProgramEmitter(
      { f, target, inputs, inputTypes, indices, vector: fast, looped: fast },
      program,
    );
    const run = (lanes: readonly number[]): Code => {
      const count = lanes.reduce((sum, n) => sum + n, 0);
      const fits = op('i32.le_s', plus(position.get, count), end);
      const turn = [
        emitter.turn(lanes),
        lanes.map((n, u) =>
          storeVectorLanes(plus(at.get, 16 * u), emitter.value(program.length - 1, u).get, n),
        ),
        emitter.advance(count),
        at.add(4 * count),
        position.add(count),
      ];
      return ifElse(fits, doWhile(turn, fits));
    };
    const [rowStride, columnStride] = this.index.strides.slice(-2) as [number, number];
    return [
      line.set(to),
      this.base.set(
        op('i32.sub', to, op('i32.add', times(row, 4 * rowStride), times(column, 4 * columnStride))),
      ),
      slow.set(lineStart),
      f.count(slow, lineEnd, 1, [
        at.set(line.get),
        position.set(start),
        emitter.before([4, 4]),
        program.length <= 24 ? run([4, 4]) : [],
        run([4]),
        run([1]),
        line.add(4 * leading),
      ]),
    ];
  }
}

/** A product's operands, those that are programs in scratch memory. */
export interface Operands {
  /** The product as its code finds it. */
  readonly kernel: SimpleMatmul;
  readonly inputs: { readonly a: Local; readonly b: Local };
  /** Bytes of scratch memory. */
  readonly bytes: number;
  /** Nanoseconds for one block. */
  readonly cost: number;
  /** Computes what a block reads; `own` is an address of `bytes`. */
  readonly code: (block: Block, own: Code) => Code;
}

/** Operands as code finds them: in their inputs, or computed for each block. */
export function produceOperands(
  frame: Frame,
  inputTypes: readonly DType[],
  kernel: SimpleMatmul,
  reach: Reach,
  target: Target,
): Operands {
  const { batch, k, produced, inputs } = kernel;
  const rank = batch.length + 2;
  const { rows, columns, steps } = reach;
  const a = produced.a && new Part(frame, target, produced.a, inputTypes, rank, rows, steps);
  const b = produced.b && new Part(frame, target, produced.b, inputTypes, rank, steps, columns);
  const end = frame.f.local('i32');
  const start = frame.f.local('i32');
  return {
    kernel: { ...kernel, ...(a && { a: a.index }), ...(b && { b: b.index }) },
    inputs: {
      a: a?.base ?? (frame.inputs[inputs.a] as Local),
      b: b?.base ?? (frame.inputs[inputs.b] as Local),
    },
    bytes: (a?.bytes ?? 0) + (b?.bytes ?? 0),
    cost:
      (rows * steps * producedCycles(produced.a) + steps * columns * producedCycles(produced.b)) /
      cyclesANanosecond,
    code: ({ outer, row, rows: down, column, columns: across, segment }, own) => {
      if (!a && !b) return [];
      const ks = [start.get, end.get] as const;
      return [
        start.set(times(segment, steps)),
        end.set(plus(start.get, steps)),
        ifElse(op('i32.gt_s', end.get, i32(k)), end.set(i32(k))),
        a ? a.emit(outer, [row, op('i32.add', row, down)], ks, own) : [],
        b ? b.emit(outer, ks, [column, op('i32.add', column, across)], plus(own, a?.bytes ?? 0)) : [],
      ];
    },
  };
}
