/**
 * A kernel's scalar program as vector code at one place of a loop nest. One axis is spread over the lanes of vectors
 * (`vector`), one is walked by the innermost loop (`looped`; often the same), all others stand still meanwhile.
 * What does not depend on the walked axis is computed before the loop; addresses, guard values and indices are locals
 * that the loop advances by constants.
 */
import type { Affine, DType, Gather, Guard, Instruction } from '@clipin/kernel';
import { type Code, extract, i32, i32x4, ifElse, loadHalfLane, loadLane, op, plus, times } from './code';
import { halfBytes } from './half';
import type { Target } from './math';
import { bytesOf, fromMemory, loadVector } from './memory-access';
import type { FunctionBuilder, Local } from './module';
import { constant, scalarOperation } from './scalar';

/** A place in a loop nest. */
export interface Place {
  readonly f: FunctionBuilder;
  readonly target: Target;
  /** Addresses of the inputs. */
  readonly inputs: readonly Local[];
  /** Their dtypes; inputs beyond them are scratch memory. */
  readonly inputTypes: readonly DType[];
  /** The index of each axis where the innermost loop starts; `undefined` for zero. */
  readonly indices: readonly (Code | undefined)[];
  /** The axis spread over lanes. */
  readonly vector: number;
  /** The axis that the innermost loop walks, or −1. */
  readonly looped: number;
}

type Load = Extract<Instruction, { op: 'load' }>;

const onVector = 1;
const onLoop = 2;

interface Moving {
  readonly local: Local;
  readonly affine: Affine;
  /** Bytes of an element for addresses, 1 for numbers. */
  readonly scale: number;
  readonly base?: Code;
}

/** Emits one program at one place. */
export class ProgramEmitter {
  private readonly moving = new Map<string, Moving>();
  private readonly depends: number[] = [];
  private readonly values = new Map<string, Local>();

  /**
   * @param reduced - gives the value of the `reduced` instruction for a vector that starts `first` elements further
   */
  constructor(
    private readonly place: Place,
    private readonly program: readonly Instruction[],
    private readonly reduced?: (vector: number, first: number, lanes: number) => Code,
  ) {
    for (const step of program) this.depends.push(this.dependence(step));
    for (const step of program) this.follow(step);
  }

  /** Start values of everything that moves, then what the loop does not change, for these vectors. */
  before(lanes: readonly number[]): Code {
    const starts = [...this.moving.values()].map(({ local, affine, scale, base }) =>
      local.set(this.startValue(affine, scale, base)),
    );
    return [starts, this.emit(lanes, (depends) => (depends & onLoop) === 0)];
  }

  /** One turn of the loop. `lanes[u]` is the number of lanes in use in vector `u`: 4, fewer only in the last. */
  turn(lanes: readonly number[]): Code {
    return this.emit(lanes, (depends) => (depends & onLoop) !== 0);
  }

  /** Moves on by `elements` along the walked axis. */
  advance(elements: number): Code {
    return [...this.moving.values()].map(({ local, affine, scale }) =>
      local.add((affine.strides[this.place.looped] ?? 0) * scale * elements),
    );
  }

  /** The local that holds instruction `number` for vector `u`. */
  value(number: number, u: number): Local {
    const local = this.values.get(`${number}:${u}`) ?? this.values.get(`${number}:0`);
    if (!local) throw new RangeError(`kernel: instruction ${number} is used before it is computed`);
    return local;
  }

  /** Whether instruction `number` differs between lanes. */
  isVector(number: number): boolean {
    return ((this.depends[number] as number) & onVector) !== 0;
  }

  private dependence(step: Instruction): number {
    const { vector, looped } = this.place;
    const ofAffine = ({ strides }: Affine) =>
      (strides[vector] ? onVector : 0) | (looped >= 0 && strides[looped] ? onLoop : 0);
    const ofStep = (number: number) => this.depends[number] as number;
    const both = looped >= 0 && vector === looped ? onVector | onLoop : onVector;
    switch (step.op) {
      case 'constant':
        return 0;
      case 'index':
        return ofAffine(step.index);
      case 'reduced':
        return both;
      case 'load': {
        const guards = step.guards.map(({ value }) => ofAffine(value));
        const gather = step.gather ? ofStep(step.gather.at) : 0;
        return [ofAffine(step.index), gather, ...guards].reduce((a, b) => a | b);
      }
      default:
        return step.args.map(ofStep).reduce((a, b) => a | b);
    }
  }

  private follow(step: Instruction): void {
    if (step.op === 'index') this.moved(step.index, 1);
    if (step.op !== 'load') return;
    this.addressOf(step);
    for (const guard of step.guards) this.moved(guard.value, 1);
  }

  private addressOf(step: Load): Local {
    return this.moved(step.index, this.bytesAt(step), step.input);
  }

  /** Bytes from one element of a load's input to the next. */
  private bytesAt({ input }: Load): number {
    return bytesOf(this.place.inputTypes[input]);
  }

  private moved(affine: Affine, scale: number, input?: number): Local {
    const key = `${input ?? ''}|${scale}|${affine.offset}|${affine.strides.join()}`;
    const found = this.moving.get(key);
    if (found) return found.local;
    const local = this.place.f.local('i32');
    const base = input === undefined ? undefined : (this.place.inputs[input] as Local).get;
    this.moving.set(key, { local, affine, scale, ...(base && { base }) });
    return local;
  }

  private startValue({ offset, strides }: Affine, scale: number, base?: Code): Code {
    const terms: Code[] = base ? [base] : [];
    strides.forEach((stride, axis) => {
      const index = this.place.indices[axis];
      if (stride !== 0 && index !== undefined) terms.push(times(index, stride * scale));
    });
    const [first, ...rest] = terms;
    if (first === undefined) return i32(offset * scale);
    return plus(
      rest.reduce((sum, term) => op('i32.add', sum, term), first),
      offset * scale,
    );
  }

  private emit(lanes: readonly number[], wanted: (depends: number) => boolean): Code {
    const code: Code[] = [];
    this.program.forEach((step, number) => {
      const depends = this.depends[number] as number;
      if (!wanted(depends)) return;
      const vectors = (depends & onVector) === 0 ? lanes.slice(0, 1) : lanes;
      vectors.forEach((count, u) => {
        const local = this.place.f.local('v128');
        code.push(local.set(this.instruction(step, number, u, count)));
        this.values.set(`${number}:${u}`, local);
      });
    });
    return code;
  }

  private instruction(step: Instruction, number: number, u: number, lanes: number): Code {
    const { f, target, vector } = this.place;
    switch (step.op) {
      case 'constant':
        return constant(step.dtype, step.value);
      case 'index': {
        const stride = step.index.strides[vector] ?? 0;
        const start = op('i32x4.splat', plus(this.moved(step.index, 1).get, 4 * u * stride));
        return stride === 0 ? start : op('i32x4.add', start, i32x4(0, stride, 2 * stride, 3 * stride));
      }
      case 'reduced':
        if (!this.reduced) throw new TypeError('kernel: `reduced` without a reduction before it');
        return this.reduced(u, 4 * u, lanes);
      case 'load':
        return fromMemory(
          step.dtype,
          this.load(step, u, this.isVector(number) ? lanes : 1, this.isVector(number)),
        );
      default:
        return scalarOperation(
          f,
          target,
          step,
          this.program,
          step.args.map((arg) => this.value(arg, u).get),
          this.isVector(number) ? lanes : 4,
        );
    }
  }

  private load(step: Load, u: number, lanes: number, vectorised: boolean): Code {
    const { f, vector } = this.place;
    const stride = step.index.strides[vector] ?? 0;
    const bytes = this.bytesAt(step);
    const address = plus(this.addressOf(step).get, 4 * bytes * u * stride);
    const { gather, guards } = step;
    const moving = guards.filter(({ value }) => value.strides[vector]);
    const gathersLanes = gather !== undefined && vectorised && this.isVector(gather.at);
    if (!gather && guards.length === 0) return loadVector(f, address, stride, lanes, bytes);

    const result = f.local('v128');
    const row = f.local('i32');
    const rowOf = (lane: number): Code =>
      gather ? row.set(extract('i32', this.value(gather.at, u).get, lane)) : [];
    const gathered = (at: Code): Code =>
      gather ? op('i32.add', at, times(row.get, gather.stride * bytes)) : at;
    const inside = (lane: number): Code =>
      all([...guards.map((guard) => this.guard(guard, 4 * u + lane)), ...this.gatherInside(gather, row)]);

    const oneByOne: Code[] = [result.set(i32x4(0))];
    for (let lane = 0; lane < lanes; lane++) {
      const at = gathered(plus(address, bytes * stride * lane));
      const loaded =
        bytes === halfBytes ? loadHalfLane(at, result.get, lane) : loadLane(at, result.get, lane);
      oneByOne.push(rowOf(lane), ifElse(inside(lane), result.set(loaded)));
    }
    if (gathersLanes) return [oneByOne, result.get];

    const ends = [
      ...guards.map((guard) => this.guard(guard, 4 * u)),
      ...moving.map((guard) => this.guard(guard, 4 * u + lanes - 1)),
    ];
    const whole = all([...ends, ...this.gatherInside(gather, row)]);
    const otherwise = moving.length > 0 && lanes > 1 ? oneByOne : result.set(i32x4(0));
    return [
      rowOf(0),
      ifElse(whole, result.set(loadVector(f, gathered(address), stride, lanes, bytes)), otherwise),
      result.get,
    ];
  }

  /** Whether a guard holds `elements` further along the vector axis. */
  private guard(guard: Guard, elements: number): Code {
    const stride = guard.value.strides[this.place.vector] ?? 0;
    return op('i32.lt_u', plus(this.moved(guard.value, 1).get, stride * elements), i32(guard.size));
  }

  private gatherInside(gather: Gather | undefined, row: Local): Code[] {
    return gather ? [op('i32.lt_u', row.get, i32(gather.size))] : [];
  }
}

/** All conditions at once. */
const all = (conditions: readonly Code[]): Code =>
  conditions.length === 0
    ? i32(1)
    : conditions.slice(1).reduce<Code>((a, b) => op('i32.and', a, b), conditions[0] as Code);
