/**
 * `jit`: runs a function once on placeholders, keeps the kernels and the memory plan, and replays them. Traced once per
 * structure of the arguments, shapes and dtypes; numbers and strings among the arguments are part of the structure.
 */
import type { Device, DeviceBuffer } from '@clipin/kernel';
import { allocateSlots, realize, storageOf } from './evaluate';
import { type Node, nextNodeId } from './node';
import { argumentsFor, type Compiled, type Footprint, type Output, replay } from './replay';
import { collect, isLeaf } from './schedule/graph';
import { type Plan, planMemory, type Slot } from './schedule/plan';
import { schedule } from './schedule/schedule';
import type { Storage } from './storage';
import { activeRecorders, deviceOf, Tensor, withRecorders } from './tensor';
import { flatten, type Structure, unflatten } from './tree';

/** Options of `jit`. */
export interface JitOptions {
  /**
   * Positions of arguments whose memory the function may write over, such as parameters and optimizer state.
   * A donated tensor cannot be used after the call. Default: none.
   */
  readonly donate?: readonly number[];
}

let tracing = false;

/** A compiled function: called as what it was made of. */
export interface Jitted<A extends readonly unknown[], R> {
  (...args: A): R;
  /**
   * Traces and compiles for such arguments, and runs nothing: the first call is then as fast as the others. Takes no memory
   * of donated arguments.
   *
   * @returns what the compiled function takes, once the device is ready to run it
   * @throws Error as a call does; RangeError where the arguments hold no tensors
   */
  warmup(...args: A): Promise<Footprint>;
  /** Gives back the scratch memory at once, not when this is garbage: before something else that is large. A later call traces anew. */
  dispose(): void;
}

/**
 * Compiles a function of trees of tensors. Inside another traced function, or while a gradient is being recorded, it is
 * called as it is.
 *
 * @param fn - a pure function; what it returns is a tree of tensors
 * @throws Error when a donated tensor is used again, or a value is read inside the function; TypeError with its path for
 *   an argument or result that is no tree
 */
export function jit<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  { donate = [] }: JitOptions = {},
): Jitted<A, R> {
  const wrong = donate.find((position) => !Number.isInteger(position) || position < 0);
  if (wrong !== undefined)
    throw new RangeError(`jit: donate names argument ${wrong}; arguments count from 0`);
  const known: Compiled[] = [];
  const prepare = (args: A): { compiled: Compiled; tensors: readonly Tensor[] } | undefined => {
    for (const compiled of known) {
      const tensors = argumentsFor(compiled, args);
      if (!tensors) continue;
      check(tensors, compiled.donated);
      realize(tensors);
      return { compiled, tensors };
    }
    const { leaves: tensors, structure } = flatten(args);
    if (tensors.length === 0) return undefined;
    const donated = donatedLeaves(structure, donate);
    check(tensors, donated);
    realize(tensors);
    const compiled = trace(fn, structure, tensors, donated);
    known.push(compiled);
    return { compiled, tensors };
  };
  const jitted = (...args: A): R => {
    const found = tracing || activeRecorders().length > 0 ? undefined : prepare(args);
    // The function returned a tree of type R when it was traced, and this one has the same structure.
    return found ? (replay(found.compiled, found.tensors) as R) : fn(...args);
  };
  const warmup = async (...args: A): Promise<Footprint> => {
    const found = prepare(args);
    if (!found) throw new RangeError('jit: warmup got no tensors; call it with arguments like those to come');
    await found.compiled.program.ready();
    return found.compiled.footprint;
  };
  const dispose = (): void => {
    for (const { scratch } of known.splice(0)) for (const storage of scratch) storage.dispose();
  };
  return Object.assign(jitted, { warmup, dispose });
}

/** Which tensors belong to donated arguments. */
function donatedLeaves(structure: Structure, donate: readonly number[]): boolean[] {
  const args = structure.kind === 'array' ? structure.items : [];
  return args.flatMap((arg, position) =>
    new Array<boolean>(countTensors(arg)).fill(donate.includes(position)),
  );
}

/** @throws Error for tensors that are gone, of several devices, or donated and passed twice */
function check(tensors: readonly Tensor[], donated: readonly boolean[]): void {
  deviceOf('jit', tensors);
  const gifts = new Set<Tensor>();
  const refuse = (tensor: Tensor) => {
    throw new Error(`jit: ${String(tensor)} is donated, but it is also another argument; pass it once`);
  };
  tensors.forEach((tensor, i) => {
    if (!donated[i]) return;
    if (gifts.has(tensor)) refuse(tensor);
    gifts.add(tensor);
  });
  tensors.forEach((tensor, i) => {
    if (!donated[i] && gifts.has(tensor)) refuse(tensor);
  });
}

function trace<A extends readonly unknown[]>(
  fn: (...args: A) => unknown,
  structure: Structure,
  tensors: readonly Tensor[],
  donated: readonly boolean[],
): Compiled {
  const device = (tensors[0] as Tensor).device;
  const start = nextNodeId();
  const parameters = tensors.map(
    ({ dtype, shape }, index) => new Tensor(device, dtype, shape, { kind: 'parameter', index }, []),
  );
  // The arguments have the structure of those of the call, tensor for tensor.
  const result = flatten(traced(() => fn(...(unflatten(structure, parameters) as readonly unknown[] as A))));
  if (result.leaves.length > 0) deviceOf('jit', [...parameters, ...result.leaves]);
  realize(capturedBy(result.leaves, start));

  const handedBack = new Set<Node>(result.leaves.filter((leaf) => leaf.operation.kind === 'parameter'));
  const taken = parameters.map((node, i) => donated[i] === true && !handedBack.has(node));
  const wanted = [...new Set(result.leaves.filter((leaf) => !isLeaf(leaf)))];
  const gifts = new Set<Node>(parameters.filter((_, i) => taken[i]));
  const plan = planMemory(schedule(wanted, device.limits), wanted, gifts, pairs([...gifts], wanted));
  const positions = new Map(plan.externals.map((node, position) => [node, position]));
  return {
    device,
    structure,
    arguments: parameters.map((node, i) => ({
      dtype: node.dtype,
      shape: node.shape,
      position: positions.get(node) ?? -1,
      taken: taken[i] as boolean,
    })),
    donated,
    footprint: {
      kernels: plan.launches.length,
      plannedBytes: 4 * plan.slots.reduce((sum, { length }) => sum + length, 0),
      leastBytes: plan.leastBytes,
    },
    program: device.load(plan.launches),
    ...keptBuffers(device, plan),
    fresh: plan.fresh.map((position) => plan.slots[position - plan.externals.length] as Slot),
    freshPositions: plan.fresh,
    made: new Array<Storage | undefined>(plan.externals.length + plan.slots.length).fill(undefined),
    outputs: result.leaves.map((tensor, i): Output => {
      if (tensor.operation.kind === 'parameter') return { argument: tensor.operation.index };
      const position = plan.outputs.get(tensor);
      if (position === undefined) return { tensor };
      const same = result.leaves.findIndex((leaf) => plan.outputs.get(leaf) === position);
      return same < i ? { same } : { position, dtype: tensor.dtype, shape: tensor.shape };
    }),
    outputStructure: result.structure,
  };
}

/** Outputs and donated arguments of the same dtype and shape in their order: of a state that is given back, each with itself. */
function pairs(gifts: readonly Node[], outputs: readonly Node[]): Map<Node, Node> {
  const left = new Map<string, Node[]>();
  const kind = ({ dtype, shape }: Node) => `${dtype} ${shape.join()}`;
  for (const gift of gifts) left.set(kind(gift), [...(left.get(kind(gift)) ?? []), gift]);
  const found = new Map<Node, Node>();
  for (const output of outputs) {
    const gift = left.get(kind(output))?.shift();
    if (gift) found.set(output, gift);
  }
  return found;
}

/** What a traced function closed over and nobody has computed yet: it would be computed again in every call. */
function capturedBy(results: readonly Tensor[], start: number): Node[] {
  const isOld = ({ id }: Node) => id < start;
  const nodes = collect(results);
  const captured = [
    ...results,
    ...nodes.filter((node) => !isOld(node)).flatMap(({ inputs }) => inputs),
  ].filter(isOld);
  return captured.filter(({ operation: { kind } }) => kind !== 'constant' && kind !== 'iota');
}

/** A table with the constants of a plan, which must be there, and its scratch memory. */
function keptBuffers(device: Device, plan: Plan): Pick<Compiled, 'table' | 'constants' | 'scratch'> {
  const table = new Array<DeviceBuffer>(plan.externals.length + plan.slots.length);
  const constants = new Set<Storage>();
  plan.externals.forEach((node, position) => {
    if (node.operation.kind === 'parameter') return;
    const storage = storageOf(node);
    constants.add(storage);
    table[position] = storage.buffer;
  });
  const fresh = new Set(plan.fresh);
  const positions = plan.slots
    .map((_, slot) => plan.externals.length + slot)
    .filter((position) => !fresh.has(position));
  const scratch = allocateSlots(
    device,
    positions.map((position) => plan.slots[position - plan.externals.length] as Slot),
  );
  positions.forEach((position, i) => {
    table[position] = (scratch[i] as Storage).buffer;
  });
  return { table, constants, scratch };
}

function traced<T>(run: () => T): T {
  tracing = true;
  try {
    const result = withRecorders([], run);
    if (result instanceof Promise) {
      result.catch(() => {}); // what goes wrong in it later is a consequence of what is said here
      throw new TypeError(
        'jit: the function returned a promise; what is traced cannot wait, read values outside',
      );
    }
    return result;
  } finally {
    tracing = false;
  }
}

const countTensors = (structure: Structure): number => {
  if (structure.kind === 'tensor') return 1;
  return structure.kind === 'static' ? 0 : structure.items.reduce((sum, item) => sum + countTensors(item), 0);
};
