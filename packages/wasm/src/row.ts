/**
 * Row kernels. An item is a few neighbouring rows that fit into the first cache: each pass walks all of them with lanes
 * along the row, and between passes what is the same along a row is computed with a row in each lane. Threads share
 * items, so bits do not depend on them.
 */
import {
  contiguousStrides,
  type DType,
  type Instruction,
  type Launch,
  mapAffines,
  type RowFold,
  type RowKernel,
  sizeOf,
} from '@clipin/kernel';
import {
  type Code,
  copyBytes,
  i32,
  i32x4,
  ifElse,
  loadInt,
  op,
  plus,
  shuffle,
  storeHalfInt,
  times,
} from './code';
import { type CompiledKernel, elementAddress, Frame } from './frame';
import { halfBytes } from './half';
import { advanceOutputs, elementCost, startOutputs, storeAll, walkVectors } from './loop';
import type { Target } from './math';
import { bytesOf, storeVectorLanes, toMemory } from './memory-access';
import type { Local } from './module';
import { ProgramEmitter } from './program';
import { foldStart, foldValues } from './reduce';
import { type Kept, planRow, type RowPass, type RowPlan, type RowValues } from './row-plan';

type Place = readonly (Code | undefined)[];

/** A fold while a row is walked. */
interface FoldInHand extends RowFold {
  /** Its number in the kernel. */
  readonly fold: number;
  readonly dtype: DType;
  /** One vector of partial results for each vector in hand. */
  readonly sums: readonly Local[];
}

/** Folds the first `count` lanes of a value into sum `u`. */
function foldLanes(fold: FoldInHand, u: number, value: Code, count: number): Code {
  const sum = fold.sums[u] as Local;
  const mask = i32x4(-1, count > 1 ? -1 : 0, count > 2 ? -1 : 0, count > 3 ? -1 : 0);
  const masked = count === 4 ? value : op('v128.bitselect', value, foldStart(fold), mask);
  return sum.set(foldValues(fold, sum.get, masked));
}

/** Elements of the rows of an item: of a few inputs and kept rows, half a first cache. */
const itemElements = 2048;
/** Items that are enough for many threads. */
const enoughItems = 64;

/** Rows of an item: one, or a multiple of the lanes. */
function groupOf(axes: readonly number[], length: number): number {
  const neighbours = axes[axes.length - 1] as number;
  const most = Math.min(itemElements / Math.max(1, length), sizeOf(axes) / enoughItems, neighbours);
  return most < 2 ? 1 : Math.max(4, Math.floor(most / 4) * 4);
}

/** The same rows with at least one outer axis and one axis along the row. */
function withAxes(kernel: RowKernel): RowKernel {
  const { axes, row, program } = kernel;
  return {
    ...kernel,
    axes: axes.length > 0 ? axes : [1],
    row: row.length > 0 ? row : [1],
    program: mapAffines(program, ({ offset, strides }) => ({
      offset,
      strides: [...(axes.length > 0 ? [] : [0]), ...strides, ...(row.length > 0 ? [] : [0])],
    })),
  };
}

/** Code for a simplified row kernel. */
export function compileRow(launch: Launch, simple: RowKernel, target: Target): CompiledKernel {
  const kernel = withAxes(simple);
  const { axes, row } = kernel;
  const group = groupOf(axes, sizeOf(row));
  const scratch = { rowValues: launch.inputs.length, keptRows: launch.inputs.length + 1 };
  const plan = planRow(kernel, scratch, group);
  const frame = new Frame(launch);
  const code = new RowCode(frame, launch, kernel, plan, group, target);
  const perPoint = plan.passes.reduce((sum, { program }) => sum + elementCost(program), 0);
  const items = (sizeOf(axes) / (axes[axes.length - 1] as number)) * code.blocks;
  return {
    stages: [frame.close((item) => code.item(item), items, group * (20 + sizeOf(row) * perPoint))],
    sharedBytes: 0,
    threadBytes: group * (plan.rowValues + plan.keptRows * plan.keptLength) * 4,
  };
}

class RowCode {
  /** Groups of rows along the last outer axis. */
  readonly blocks: number;
  private readonly rank: number;
  private readonly neighbours: number;
  /** Bounds of the item along the last outer axis, and the row in hand. */
  private readonly start: Local;
  private readonly end: Local;
  private readonly at: Local;
  /** Addresses of scratch memory as if the first row of the item were number 0 of the axis. */
  private readonly rowValues: Local;
  private readonly keptRows: Local;
  private readonly inputs: readonly Local[];
  private readonly strides: readonly number[];

  constructor(
    private readonly frame: Frame,
    private readonly launch: Launch,
    private readonly kernel: RowKernel,
    private readonly plan: RowPlan,
    private readonly group: number,
    private readonly target: Target,
  ) {
    const { axes, row } = kernel;
    this.rank = axes.length;
    this.neighbours = axes[axes.length - 1] as number;
    this.blocks = Math.ceil(this.neighbours / group);
    const { f } = frame;
    [this.start, this.end, this.at] = [f.local('i32'), f.local('i32'), f.local('i32')];
    [this.rowValues, this.keptRows] = [f.local('i32'), f.local('i32')];
    this.inputs = [...frame.inputs, this.rowValues, this.keptRows];
    this.strides = contiguousStrides([...axes, ...row]);
  }

  item(item: Local): Code {
    const { frame, kernel, plan, start, end, at, group } = this;
    const { f } = frame;
    const { indices, code } = frame.split(item.get, [...kernel.axes.slice(0, -1), this.blocks]);
    const outer = indices.slice(0, -1).map((index) => index.get);
    const block = indices[this.rank - 1] as Local;
    const before = (elements: number) => op('i32.sub', frame.own.get, times(start.get, elements * 4));
    const keptAt = plan.rowValues * group * 4;
    return [
      code,
      start.set(times(block.get, group)),
      end.set(plus(start.get, group)),
      group === 1 ? [] : ifElse(op('i32.gt_s', end.get, i32(this.neighbours)), end.set(i32(this.neighbours))),
      this.rowValues.set(before(1)),
      this.keptRows.set(plus(before(plan.keptLength), keptAt)),
      this.rowValuesCode(plan.values[0], outer),
      plan.passes.map((pass, number) => [
        f.loop(at, start.get, end.get, this.passCode(pass, [...outer, at.get])),
        this.rowValuesCode(plan.values[number + 1], outer),
      ]),
      this.copyOutputs(outer),
    ];
  }

  private emitterAt(program: readonly Instruction[], indices: Place, vector: number): ProgramEmitter {
    const { frame, target, inputs, launch } = this;
    const site = { f: frame.f, target, inputs, inputTypes: launch.inputTypes, indices };
    return new ProgramEmitter({ ...site, vector, looped: vector }, program);
  }

  /** Computes row values of all rows of the item, a row in each lane. */
  private rowValuesCode(part: RowValues | undefined, outer: Place): Code {
    if (!part || part.values.length === 0) return [];
    const { f } = this.frame;
    const emitter = this.emitterAt(part.program, [...outer, this.start.get], this.rank - 1);
    const address = f.local('i32');
    const position = f.local('i32');
    const emit = (lanes: readonly number[]): Code => [
      emitter.turn(lanes),
      part.values.map(({ of, slot }) => {
        const to = plus(address.get, slot * this.group * 4);
        return this.keep(to, part.program[of] as Instruction, emitter.value(of, 0).get, lanes[0] as number);
      }),
      emitter.advance(4),
      address.add(16),
    ];
    return [
      address.set(this.frame.own.get),
      position.set(this.start.get),
      emitter.before([4]),
      this.group === 1 ? emit([1]) : walkVectors(position, this.end.get, this.neighbours, 1, emit),
    ];
  }

  /** Walks one row, with its folds in hand. */
  private passCode(pass: RowPass, outer: Place): Code {
    const { f } = this.frame;
    const { row } = this.kernel;
    const unroll = unrollOf(pass, row[row.length - 1] as number);
    const folds = pass.folds.map(({ fold, of }): FoldInHand => {
      const { op } = this.kernel.folds[fold] as RowFold;
      const sums = Array.from({ length: unroll }, () => f.local('v128'));
      return { of, fold, op, dtype: (pass.program[of] as Instruction).dtype, sums };
    });
    return [
      folds.map((fold) => fold.sums.map((sum) => sum.set(foldStart(fold)))),
      this.alongRow(outer, (place) => this.lastAxis(pass, folds, place, unroll)),
      folds.map((fold) => this.finishFold(fold)),
    ];
  }

  /** The innermost loop of a pass. */
  private lastAxis(pass: RowPass, folds: readonly FoldInHand[], place: Place, unroll: number): Code {
    const { frame, kernel, launch, strides } = this;
    const { f } = frame;
    const { row } = kernel;
    const size = row[row.length - 1] as number;
    const position = f.local('i32');
    const addresses = pass.stores.map(() => f.local('i32'));
    const kept = pass.keeps.map(() => f.local('i32'));
    const emitter = this.emitterAt(pass.program, place, strides.length - 1);
    const emit = (lanes: readonly number[]): Code => [
      emitter.turn(lanes),
      folds.map((fold) => lanes.map((count, u) => foldLanes(fold, u, emitter.value(fold.of, u).get, count))),
      pass.keeps.map(({ of }, i) =>
        lanes.map((count, u) => {
          const to = plus((kept[i] as Local).get, 16 * u);
          return this.keep(to, pass.program[of] as Instruction, emitter.value(of, u).get, count);
        }),
      ),
      storeAll(f, emitter, pass, launch.outputTypes, addresses, lanes),
      emitter.advance(4 * lanes.length),
      advanceOutputs(launch.outputTypes, addresses, 4 * lanes.length),
      kept.map((address) => address.add(16 * lanes.length)),
    ];
    return [
      startOutputs(frame, launch.outputTypes, addresses, place, strides),
      kept.map((address, i) => address.set(this.keptAddress((pass.keeps[i] as Kept).slot, place))),
      emitter.before(new Array<number>(unroll).fill(4)),
      position.set(i32(0)),
      walkVectors(position, i32(size), size, unroll, emit),
    ];
  }

  /** Where kept row `slot` is at a place. */
  private keptAddress(slot: number, place: Place): Code {
    const { axes, row } = this.kernel;
    const { keptLength } = this.plan;
    const strides = [...axes.slice(1).map(() => 0), keptLength, ...contiguousStrides(row)];
    return elementAddress(this.keptRows.get, place, strides, slot * this.group * keptLength);
  }

  /** Stores a value into scratch memory. */
  private keep(to: Code, { dtype }: Instruction, value: Code, lanes: number): Code {
    const vector = this.frame.f.local('v128');
    return [vector.set(toMemory(dtype, value)), storeVectorLanes(to, vector.get, lanes)];
  }

  /** Joins the sums of a fold, then their lanes; the result is a value of the row in hand. */
  private finishFold({ fold, sums, ...how }: FoldInHand): Code {
    const total = sums[0] as Local;
    const join = (other: Code): Code => total.set(foldValues(how, total.get, other));
    const to = elementAddress(this.rowValues.get, [this.at.get], [1], fold * this.group);
    return [
      sums.slice(1).map((sum) => join(sum.get)),
      join(shuffle(total.get, total.get, [2, 3, 0, 1])),
      join(shuffle(total.get, total.get, [1, 0, 3, 2])),
      total.set(toMemory(how.dtype, total.get)),
      storeVectorLanes(to, total.get, 1),
    ];
  }

  /** Loops over the axes of the row but the last, around `inner`. */
  private alongRow(outer: Place, inner: (place: Place) => Code): Code {
    const { f } = this.frame;
    const loops = this.kernel.row.slice(0, -1).map((end) => ({ end, index: f.local('i32') }));
    const place = [...outer, ...loops.map(({ index }) => index.get), undefined];
    return loops.reduceRight<Code>(
      (body, { end, index }) => f.loop(index, i32(0), i32(end), body),
      inner(place),
    );
  }

  /** Copies halves, of which scratch memory holds one in 4 bytes. */
  private copyHalves(to: Code, from: Code): Code {
    const { f } = this.frame;
    const [at, next] = [f.local('i32'), f.local('i32')];
    return [
      at.set(to),
      next.set(from),
      f.loop(this.at, this.start.get, this.end.get, [
        storeHalfInt(at.get, loadInt(next.get)),
        at.add(halfBytes),
        next.add(4),
      ]),
    ];
  }

  /** Copies row values that are outputs out of scratch memory, last of all, since outputs may be inputs. */
  private copyOutputs(outer: Place): Code {
    const { frame, kernel, start, end, group } = this;
    const place = [...outer, start.get];
    return this.plan.outputs.map((slot, i) => {
      const number = kernel.stores.length + i;
      const bytes = bytesOf(this.launch.outputTypes[number]);
      const output = (frame.outputs[number] as Local).get;
      const to = elementAddress(output, place, contiguousStrides(kernel.axes), 0, bytes);
      const from = plus(frame.own.get, slot * group * 4);
      if (bytes === halfBytes) return this.copyHalves(to, from);
      return copyBytes(to, from, times(op('i32.sub', end.get, start.get), 4));
    });
  }
}

/** Vectors in hand at once: several sums hide the time of an addition, but registers are few. */
function unrollOf({ program, folds }: RowPass, size: number): number {
  if (folds.length === 0) return program.length <= 8 && size >= 32 ? 2 : 1;
  if (size >= 64 && program.length <= 12) return 4;
  return size >= 16 ? 2 : 1;
}
