/**
 * Loop kernels with a reduction. Lanes lie either along a reduction axis (sums of rows: folded across lanes at the
 * end) or along the last outer axis (sums of columns: one lane an output). Long reductions into few outputs are cut
 * into segments of a fixed size, whose partial results a second stage folds in order: the bits do not depend on threads.
 */
import {
  affinesOf,
  contiguousStrides,
  type DType,
  dtypes,
  type Launch,
  type LoopKernel,
  type Reduction,
  type ScalarOp,
  sizeOf,
} from '@clipin/kernel';
import { type Code, i32, i32x4, ifElse, op, plus, shuffle } from './code';
import { type CompiledKernel, elementAddress, Frame, type Stage } from './frame';
import { elementCost, startOutputs, storeAll, walkVectors } from './loop';
import type { Target } from './math';
import { storeVectorLanes } from './memory-access';
import type { Local } from './module';
import { ProgramEmitter } from './program';
import { combine, constant } from './scalar';

type ReducingKernel = LoopKernel & { readonly reduction: Reduction };

const folds: Record<Reduction['op'], ScalarOp> = { sum: 'add', product: 'multiply', max: 'max', min: 'min' };

type Fold = Pick<Reduction, 'op' | 'dtype'>;

/** Two values folded, lane by lane. */
export const foldValues = ({ op: name, dtype }: Fold, a: Code, b: Code): Code =>
  combine(folds[name], dtype, a, b);

/** What a fold starts from. */
export function foldStart({ op: name, dtype }: Fold): Code {
  const { lowest, highest } = dtypes[dtype];
  return constant(dtype, { sum: 0, product: 1, max: lowest, min: highest }[name]);
}

/** Which axis lanes lie along, which the innermost loop walks, and how the work is cut. Axes: outer, then reduction. */
interface Schedule {
  readonly vector: number;
  readonly looped: number;
  /** The axis cut into segments, how many, and elements of each. */
  readonly segmented: number;
  readonly segments: number;
  readonly length: number;
}

const scatteredLoadCost = 6;

/** Cost of one element if lanes lay along `axis`. */
function laneCost(kernel: ReducingKernel, axes: readonly number[], axis: number): number {
  const size = axes[axis] ?? 1;
  const loads = affinesOf(kernel.reduction.program).map(({ strides }): number =>
    Math.abs(strides[axis] ?? 0) <= 1 ? 1 : scatteredLoadCost,
  );
  const waste = (Math.ceil(size / 4) * 4) / size;
  return loads.reduce((a, b) => a + b, 1) * waste;
}

const largest = (axes: readonly number[], from: number): number => {
  let best = from;
  for (let axis = from; axis < axes.length; axis++)
    if ((axes[axis] as number) > (axes[best] as number)) best = axis;
  return best;
};

function schedule(kernel: ReducingKernel): Schedule {
  const outer = kernel.axes.length;
  const axes = [...kernel.axes, ...kernel.reduction.axes];
  const byRow = axes.map((_, axis) => axis).filter((axis) => axis >= outer);
  let vector = byRow[byRow.length - 1] ?? outer;
  for (const axis of byRow) if (laneCost(kernel, axes, axis) < laneCost(kernel, axes, vector)) vector = axis;
  if (outer > 0 && laneCost(kernel, axes, outer - 1) <= laneCost(kernel, axes, vector)) vector = outer - 1;
  const looped = vector >= outer ? vector : largest(axes, outer);

  const points = sizeOf(axes);
  const segmented = largest(axes, outer);
  const size = axes[segmented] ?? 1;
  const outputs = sizeOf(kernel.axes);
  const items = vector >= outer ? outputs : Math.ceil(outputs / 32);
  const wanted =
    points < 2 ** 15 || items >= 32 ? 1 : Math.min(Math.ceil(64 / items), Math.ceil(points / 8192));
  const length = Math.max(16, Math.ceil(size / wanted / 16) * 16);
  const segments = Math.ceil(size / length);
  return segments > 1
    ? { vector, looped, segmented, segments, length }
    : { vector, looped, segmented: -1, segments: 1, length: size };
}

/** Where the result of a fold goes: into the body and the outputs, or to the partial results of a segment. */
type Finish = (
  frame: Frame,
  place: readonly (Code | undefined)[],
  vector: number,
  values: readonly Local[],
  lanes: readonly number[],
) => Code;

/** Everything that the emission of one reduction stage needs. */
class ReduceStage {
  readonly frame: Frame;
  readonly axes: readonly number[];
  readonly outer: number;
  private readonly inputTypes: readonly DType[];
  private readonly segment: Local;
  private readonly first: Local;
  private readonly last: Local;

  constructor(
    launch: Launch,
    readonly kernel: ReducingKernel,
    readonly plan: Schedule,
    readonly target: Target,
    readonly finish: Finish,
    partial: boolean,
  ) {
    this.frame = new Frame(launch, partial);
    this.inputTypes = launch.inputTypes;
    this.axes = [...kernel.axes, ...kernel.reduction.axes];
    this.outer = kernel.axes.length;
    this.segment = this.frame.f.local('i32');
    this.first = this.frame.f.local('i32');
    this.last = this.frame.f.local('i32');
  }

  compile(): Stage {
    return this.plan.vector >= this.outer ? this.rows() : this.columns();
  }

  /** Bounds of the segmented axis for this item. */
  private bounds(): Code {
    const { segmented, segments, length } = this.plan;
    if (segments === 1) return [];
    const size = i32(this.axes[segmented] as number);
    return [
      this.first.set(op('i32.mul', this.segment.get, i32(length))),
      this.last.set(plus(this.first.get, length)),
      ifElse(op('i32.gt_s', this.last.get, size), this.last.set(size)),
    ];
  }

  private from(axis: number): Code {
    return axis === this.plan.segmented ? this.first.get : i32(0);
  }

  private to(axis: number): Code {
    return axis === this.plan.segmented ? this.last.get : i32(this.axes[axis] ?? 1);
  }

  /** The loops over the reduction axes but the innermost, around `inner`. */
  private around(
    inner: (place: (Code | undefined)[]) => Code,
    outerPlace: readonly (Code | undefined)[],
  ): Code {
    const { f } = this.frame;
    const { looped } = this.plan;
    const place = [...outerPlace];
    const loops: { axis: number; index: Local }[] = [];
    for (let axis = this.outer; axis < this.axes.length; axis++) {
      if (axis === looped) place.push(axis === this.plan.segmented ? this.first.get : undefined);
      else {
        const index = f.local('i32');
        loops.push({ axis, index });
        place.push(index.get);
      }
    }
    return loops.reduceRight<Code>(
      (body, { axis, index }) => f.loop(index, this.from(axis), this.to(axis), body),
      inner(place),
    );
  }

  private items(perSegment: number): number {
    return perSegment * this.plan.segments;
  }

  private rows(): Stage {
    const { frame, kernel, plan, outer } = this;
    const { f } = frame;
    const { reduction } = kernel;
    const size = this.axes[plan.looped] ?? 1;
    const number = reduction.program.length - 1;
    const unroll = size >= 64 && reduction.program.length <= 12 ? 4 : size >= 16 ? 2 : 1;
    const sums = Array.from({ length: unroll }, () => f.local('v128'));
    const total = sums[0] as Local;

    const inner = (place: (Code | undefined)[]): Code => {
      const position = f.local('i32');
      const site = {
        f,
        target: this.target,
        inputs: frame.inputs,
        inputTypes: this.inputTypes,
        indices: place,
        vector: plan.vector,
        looped: plan.looped,
      };
      const emitter = new ProgramEmitter(site, reduction.program);
      const emit = (lanes: readonly number[]): Code => [
        emitter.turn(lanes),
        lanes.map((count, u) => {
          const sum = sums[u] as Local;
          const value = emitter.value(number, u).get;
          const mask = i32x4(-1, count > 1 ? -1 : 0, count > 2 ? -1 : 0, count > 3 ? -1 : 0);
          const masked = count === 4 ? value : op('v128.bitselect', value, foldStart(reduction), mask);
          return sum.set(foldValues(reduction, sum.get, masked));
        }),
        emitter.advance(4 * lanes.length),
      ];
      return [
        emitter.before(new Array<number>(unroll).fill(4)),
        position.set(this.from(plan.looped)),
        walkVectors(position, this.to(plan.looped), size, unroll, emit),
      ];
    };

    const body = (item: Local): Code => {
      const { indices, code } = frame.split(item.get, [plan.segments, ...this.axes.slice(0, outer)]);
      const place = indices.slice(1).map((index) => index.get);
      const halves = (lanes: readonly [number, number, number, number]): Code =>
        total.set(foldValues(reduction, total.get, shuffle(total.get, total.get, lanes)));
      return [
        code,
        this.segment.set((indices[0] as Local).get),
        this.bounds(),
        sums.map((sum) => sum.set(foldStart(reduction))),
        this.around(inner, place),
        sums.slice(1).map((sum) => total.set(foldValues(reduction, total.get, sum.get))),
        halves([2, 3, 0, 1]),
        halves([1, 0, 3, 2]),
        this.finish(frame, [this.segment.get, ...place], -1, [total], [1]),
      ];
    };
    const points = sizeOf(reduction.axes) / plan.segments;
    return frame.close(
      body,
      this.items(sizeOf(this.axes.slice(0, outer))),
      10 + points * elementCost(reduction.program),
    );
  }

  private columns(): Stage {
    const { frame, kernel, plan } = this;
    const { f } = frame;
    const { reduction } = kernel;
    const { vector } = plan;
    const size = this.axes[vector] as number;
    const vectors = Math.ceil(size / 4);
    const most = reduction.program.length <= 4 ? 8 : 4;
    const unroll = Math.ceil(vectors / Math.ceil(vectors / most));
    const blocks = Math.ceil(vectors / unroll);
    const outerAxes = this.axes.slice(0, vector);
    const number = reduction.program.length - 1;
    const start = f.local('i32');
    const sums = Array.from({ length: unroll }, () => f.local('v128'));

    const variant = (lanes: readonly number[], outerPlace: readonly (Code | undefined)[]): Code => {
      const inner = (place: (Code | undefined)[]): Code => {
        const position = f.local('i32');
        const site = {
          f,
          target: this.target,
          inputs: frame.inputs,
          inputTypes: this.inputTypes,
          indices: place,
          vector,
          looped: plan.looped,
        };
        const emitter = new ProgramEmitter(site, reduction.program);
        const before = emitter.before(lanes);
        const turn = [
          emitter.turn(lanes),
          lanes.map((_, u) => {
            const sum = sums[u] as Local;
            return sum.set(foldValues(reduction, sum.get, emitter.value(number, u).get));
          }),
          emitter.advance(1),
        ];
        return [before, f.loop(position, this.from(plan.looped), this.to(plan.looped), turn)];
      };
      return [
        lanes.map((_, u) => (sums[u] as Local).set(foldStart(reduction))),
        this.around(inner, outerPlace),
        this.finish(frame, [this.segment.get, ...outerPlace], vector, sums, lanes),
      ];
    };

    const body = (item: Local): Code => {
      const { indices, code } = frame.split(item.get, [plan.segments, ...outerAxes, blocks]);
      const block = indices[indices.length - 1] as Local;
      const place = [...indices.slice(1, -1).map((index) => index.get), start.get];
      const full = new Array<number>(unroll).fill(4);
      const left = size - (blocks - 1) * unroll * 4;
      const lanesLeft = Array.from({ length: Math.ceil(left / 4) }, (_, u) => Math.min(4, left - 4 * u));
      const ragged = left < unroll * 4;
      const whole = blocks > 1 || !ragged ? variant(full, place) : [];
      return [
        code,
        this.segment.set((indices[0] as Local).get),
        this.bounds(),
        start.set(op('i32.mul', block.get, i32(unroll * 4))),
        ragged ? ifElse(op('i32.eq', block.get, i32(blocks - 1)), variant(lanesLeft, place), whole) : whole,
      ];
    };
    const points = (sizeOf(reduction.axes) / plan.segments) * unroll * 4;
    return frame.close(
      body,
      this.items(sizeOf(outerAxes) * blocks),
      10 + points * elementCost(reduction.program),
    );
  }
}

/** Runs the body on folded values and stores its results. */
function finishBody(launch: Launch, kernel: ReducingKernel, target: Target): Finish {
  const strides = contiguousStrides(kernel.axes);
  return (frame, [, ...place], vector, values, lanes) => {
    const { f } = frame;
    const addresses = frame.outputs.map(() => f.local('i32'));
    const { inputTypes, outputTypes } = launch;
    const site = { f, target, inputs: frame.inputs, inputTypes, indices: place, vector, looped: -1 };
    const emitter = new ProgramEmitter(site, kernel.program, (u) => (values[u] as Local).get);
    return [
      startOutputs(frame, outputTypes, addresses, place, strides),
      emitter.before(lanes),
      storeAll(f, emitter, kernel, outputTypes, addresses, lanes),
    ];
  };
}

/** Stores folded values as partial results `[segment, ...outer axes]` in shared scratch memory. */
function finishSegment(kernel: ReducingKernel, segments: number): Finish {
  const strides = contiguousStrides([segments, ...kernel.axes]);
  return (frame, place, _vector, values, lanes) => {
    const address = frame.f.local('i32');
    return [
      address.set(elementAddress(frame.shared.get, place, strides)),
      lanes.map((count, u) => storeVectorLanes(plus(address.get, 16 * u), (values[u] as Local).get, count)),
    ];
  };
}

/** Code for a simplified loop kernel with a reduction. */
export function compileReduce(launch: Launch, kernel: ReducingKernel, target: Target): CompiledKernel {
  const plan = schedule(kernel);
  const body = finishBody(launch, kernel, target);
  if (plan.segments === 1) {
    return {
      stages: [new ReduceStage(launch, kernel, plan, target, body, false).compile()],
      sharedBytes: 0,
      threadBytes: 0,
    };
  }
  const outputs = sizeOf(kernel.axes);
  const { dtype } = kernel.reduction;
  const partial = { offset: 0, strides: [...contiguousStrides(kernel.axes), outputs] };
  const combined: ReducingKernel = {
    ...kernel,
    reduction: {
      op: kernel.reduction.op,
      dtype,
      axes: [plan.segments],
      program: [{ op: 'load', dtype, input: launch.inputs.length, index: partial, guards: [] }],
    },
  };
  const whole = { ...schedule(combined), segmented: -1, segments: 1 };
  const stages = [
    new ReduceStage(launch, kernel, plan, target, finishSegment(kernel, plan.segments), false).compile(),
    new ReduceStage(launch, combined, whole, target, body, true).compile(),
  ];
  return { stages, sharedBytes: plan.segments * outputs * 4, threadBytes: 0 };
}
