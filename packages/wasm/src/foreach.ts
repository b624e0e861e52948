/**
 * One program over many tensors. Its code is one body that knows neither how many tensors there are nor how long they are: an
 * item is a run of elements of one of them, and a table in memory says which. So there is one function for each program.
 *
 * A launch's pointers are the address of the table, then those of its buffers.
 */
import { type ForeachKernel, type Launch, launchKey } from '@clipin/kernel';
import { type Code, doWhile, ifElse, loadInt, op, plus, times } from './code';
import type { CompiledKernel } from './frame';
import { advanceOutputs, elementCost, storeAll } from './loop';
import type { Target } from './math';
import { bytesOf } from './memory-access';
import { FunctionBuilder } from './module';
import { ProgramEmitter } from './program';

/** Most elements in one item. */
const blockElements = 2048;

/** Words of an item in the table: bytes from the pointers to its part's inputs and to its outputs, first element, end. */
const entryWords = 4;

/** What differs between launches of the same code. */
export interface ForeachTable {
  readonly words: readonly number[];
  readonly items: number;
  /** Elements of an item, on average. */
  readonly itemElements: number;
}

/** The items of a launch. */
export function foreachTable({ lengths, shared, own, stores }: ForeachKernel): ForeachTable {
  const words: number[] = [];
  let elements = 0;
  lengths.forEach((length, part) => {
    const inputs = 4 * (1 + shared + part * own);
    const outputs = 4 * (1 + shared + lengths.length * own + part * stores.length);
    for (let start = 0; start < length; start += blockElements) {
      words.push(inputs, outputs, start, Math.min(length, start + blockElements));
    }
    elements += length;
  });
  const items = words.length / entryWords;
  return { words, items, itemElements: elements / Math.max(1, items) };
}

/** A text that is equal for launches with the same code. */
export const foreachKey = ({ kernel, inputTypes, outputTypes }: Launch & { kernel: ForeachKernel }): string =>
  launchKey({
    kernel: { ...kernel, lengths: [] },
    ...{ inputs: [], inputTypes: inputTypes.slice(0, kernel.shared + kernel.own) },
    ...{ outputs: [], outputTypes: outputTypes.slice(0, kernel.stores.length) },
  });

/** Code for a foreach. The number of items is the table's; the cost given here is that of an element. */
export function compileForeach(launch: Launch, kernel: ForeachKernel, target: Target): CompiledKernel {
  const { shared, own, program, stores } = kernel;
  const f = new FunctionBuilder(['i32', 'i32', 'i32', 'i32', 'i32']);
  const [pointers, item, lastItem] = [f.param(0), f.param(1), f.param(2)];
  const [entry, partInputs, partOutputs] = [f.local('i32'), f.local('i32'), f.local('i32')];
  const [position, end] = [f.local('i32'), f.local('i32')];
  const inputs = Array.from({ length: shared + own }, () => f.local('i32'));
  const addresses = stores.map(() => f.local('i32'));
  const inputTypes = launch.inputTypes.slice(0, shared + own);
  const bytes = stores.map((_, output) => bytesOf(launch.outputTypes[output]));
  const emitter = new ProgramEmitter(
    { f, target, inputs, inputTypes, indices: [position.get], vector: 0, looped: 0 },
    program,
  );
  const unroll = program.length <= 24 ? [4, 4] : [4];

  /** Takes these vectors as long as there are elements for all of them. */
  const run = (lanes: readonly number[]): Code => {
    const count = lanes.reduce((sum, lane) => sum + lane);
    const fits = op('i32.le_s', plus(position.get, count), end.get);
    const turn = [
      emitter.turn(lanes),
      storeAll(f, emitter, kernel, launch.outputTypes, addresses, lanes),
      emitter.advance(count),
      advanceOutputs(launch.outputTypes, addresses, count),
      position.add(count),
    ];
    return ifElse(fits, doWhile(turn, fits));
  };
  const partAddress = (offset: number): Code => op('i32.add', pointers.get, loadInt(entry.get, offset));
  const body: Code = [
    entry.set(op('i32.add', loadInt(pointers.get), times(item.get, 4 * entryWords))),
    partInputs.set(partAddress(0)),
    partOutputs.set(partAddress(4)),
    position.set(loadInt(entry.get, 8)),
    end.set(loadInt(entry.get, 12)),
    inputs.slice(shared).map((input, i) => input.set(loadInt(partInputs.get, 4 * i))),
    addresses.map((address, i) =>
      address.set(op('i32.add', loadInt(partOutputs.get, 4 * i), times(position.get, bytes[i] as number))),
    ),
    emitter.before(unroll),
    unroll.length > 1 ? run(unroll) : [],
    run([4]),
    run([1]),
  ];
  f.body = [
    inputs.slice(0, shared).map((input, i) => input.set(loadInt(pointers.get, 4 * (1 + i)))),
    f.count(item, lastItem.get, 1, body),
  ];
  const stage = { function: f, items: 0, cost: elementCost(program) };
  return { stages: [stage], sharedBytes: 0, threadBytes: 0 };
}
