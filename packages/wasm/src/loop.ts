/** Loop kernels without a reduction: elementwise work, copies, gathers, random bits. */
import {
  contiguousStrides,
  type DType,
  type Instruction,
  type Launch,
  type LoopKernel,
  sizeOf,
} from '@clipin/kernel';
import { type Code, doWhile, i32, ifElse, op, plus } from './code';
import { type CompiledKernel, elementAddress, Frame } from './frame';
import type { Target } from './math';
import { bytesOf, storeVectorLanes, toMemory } from './memory-access';
import type { FunctionBuilder, Local } from './module';
import { ProgramEmitter } from './program';
import { operationCost } from './scalar';

/** Elements of the innermost axis in one item, where that axis is long. */
const blockElements = 2048;

/** Time of one element in nanoseconds, roughly. */
export const elementCost = (program: readonly Instruction[]): number =>
  program.reduce((sum, step) => sum + operationCost(step), 1) * 0.1;

/** Stores the instructions `stores` of the vectors `lanes` at the addresses. */
export function storeAll(
  f: FunctionBuilder,
  emitter: ProgramEmitter,
  body: { stores: readonly number[] },
  types: readonly DType[],
  addresses: readonly Local[],
  lanes: readonly number[],
): Code {
  return body.stores.flatMap((number, output) =>
    lanes.map((count, u) => {
      const value = f.local('v128');
      const bytes = bytesOf(types[output]);
      const address = plus((addresses[output] as Local).get, 4 * bytes * u);
      return [
        value.set(toMemory(types[output] as DType, emitter.value(number, u).get)),
        storeVectorLanes(address, value.get, count, bytes),
      ];
    }),
  );
}

/** Sets the addresses of the outputs to their elements at a place. */
export const startOutputs = (
  frame: Frame,
  types: readonly DType[],
  addresses: readonly Local[],
  place: readonly (Code | undefined)[],
  strides: readonly number[],
): Code =>
  addresses.map((address, output) => {
    const base = (frame.outputs[output] as Local).get;
    return address.set(elementAddress(base, place, strides, 0, bytesOf(types[output])));
  });

/** Moves the addresses of the outputs on. */
export const advanceOutputs = (
  types: readonly DType[],
  addresses: readonly Local[],
  elements: number,
): Code => addresses.map((address, output) => address.add(bytesOf(types[output]) * elements));

/** Walks the elements from `start` to `end` of an axis of `size`, in runs of vectors: many, one, then the ragged rest. */
export function walkVectors(
  position: Local,
  end: Code,
  size: number,
  unroll: number,
  emit: (lanes: readonly number[]) => Code,
): Code {
  const run = (count: number): Code => {
    const fits = op('i32.le_s', plus(position.get, 4 * count), end);
    const body = [emit(new Array<number>(count).fill(4)), position.add(4 * count)];
    return ifElse(fits, doWhile(body, fits));
  };
  const rest = size % 4;
  const tail = rest === 0 ? [] : ifElse(op('i32.eq', end, i32(size)), emit([rest]));
  return [unroll > 1 && size >= 4 * unroll ? run(unroll) : [], size >= 4 ? run(1) : [], tail];
}

/** Code for a simplified loop kernel without a reduction. */
export function compileMap(launch: Launch, kernel: LoopKernel, target: Target): CompiledKernel {
  const frame = new Frame(launch);
  const { f } = frame;
  const axes = kernel.axes.length === 0 ? [1] : kernel.axes;
  const vector = axes.length - 1;
  const size = axes[vector] as number;
  const blocks = Math.ceil(size / blockElements);
  const start = f.local('i32');
  const end = f.local('i32');
  const addresses = frame.outputs.map(() => f.local('i32'));
  const strides = contiguousStrides(axes);
  const unroll = kernel.program.length <= 24 && size >= 32 ? 2 : 1;
  const { inputTypes, outputTypes } = launch;

  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [...axes.slice(0, -1), blocks]);
    const block = indices[vector] as Local;
    const place = [...indices.slice(0, -1).map((index) => index.get), blocks > 1 ? start.get : undefined];
    const emitter = new ProgramEmitter(
      { f, target, inputs: frame.inputs, inputTypes, indices: place, vector, looped: vector },
      kernel.program,
    );
    const position = f.local('i32');
    const emit = (lanes: readonly number[]): Code => [
      emitter.turn(lanes),
      storeAll(f, emitter, kernel, outputTypes, addresses, lanes),
      emitter.advance(4 * lanes.length),
      advanceOutputs(outputTypes, addresses, 4 * lanes.length),
    ];
    return [
      code,
      start.set(op('i32.mul', block.get, i32(blockElements))),
      end.set(plus(start.get, blockElements)),
      ifElse(op('i32.gt_s', end.get, i32(size)), end.set(i32(size))),
      startOutputs(frame, outputTypes, addresses, place, strides),
      position.set(start.get),
      emitter.before(new Array<number>(unroll).fill(4)),
      walkVectors(position, end.get, size, unroll, emit),
    ];
  };
  const items = (sizeOf(axes) / Math.max(1, size)) * blocks;
  const cost = Math.min(size, blockElements) * elementCost(kernel.program);
  return { stages: [frame.close(body, items, cost)], sharedBytes: 0, threadBytes: 0 };
}
