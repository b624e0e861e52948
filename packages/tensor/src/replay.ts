/**
 * What `jit` keeps of a traced function, and how a call runs it again: argument buffers into the table, new memory for
 * results, one program, results as tensors. Called for every step of a training loop, so it builds no more than what it
 * returns.
 */
import type { Device, DeviceBuffer, DType, Program, Shape } from '@clipin/kernel';
import { sameShape } from '@clipin/kernel';
import { allocateSlots, storageOf } from './evaluate';
import type { Slot } from './schedule/plan';
import type { Storage } from './storage';
import { Tensor } from './tensor';
import { hasStructure, type Structure, unflatten } from './tree';

/**
 * A result of a compiled function: an argument handed back, a tensor that was there before, an earlier result again, or new
 * at a position.
 */
export type Output =
  | { readonly argument: number }
  | { readonly same: number }
  | { readonly tensor: Tensor }
  | { readonly position: number; readonly dtype: DType; readonly shape: Shape };

/** One argument of a compiled function. */
export interface Argument {
  readonly dtype: DType;
  readonly shape: Shape;
  /** Position in the table; −1 of those that the program does not read. */
  readonly position: number;
  /** Whether the argument's memory is taken from the caller. */
  readonly taken: boolean;
}

/** What a compiled function takes beside the memory of its arguments, at 4 bytes an element. */
export interface Footprint {
  readonly kernels: number;
  /** Memory that was planned: scratch memory, and results that do not take over a donated argument. */
  readonly plannedBytes: number;
  /** The most that is alive at once: no plan for these kernels in this order can do with less. */
  readonly leastBytes: number;
}

/** A traced function for arguments of one structure. */
export interface Compiled {
  readonly device: Device;
  /** Of the arguments. */
  readonly structure: Structure;
  readonly arguments: readonly Argument[];
  /** Which of them the caller gives away, whether taken or not. */
  readonly donated: readonly boolean[];
  readonly footprint: Footprint;
  readonly program: Program;
  /** Buffers by number; what is kept is in its place, the rest is filled in by each call. */
  readonly table: DeviceBuffer[];
  /** Tensors that the function closed over. */
  readonly constants: ReadonlySet<Storage>;
  /** Scratch memory, held here. */
  readonly scratch: readonly Storage[];
  /** Memory of outputs, new in every call, and their places in the table. */
  readonly fresh: readonly Slot[];
  readonly freshPositions: readonly number[];
  /** Memory by its place in the table while a call makes results of it; empty between calls. */
  readonly made: (Storage | undefined)[];
  readonly outputs: readonly Output[];
  readonly outputStructure: Structure;
}

/** The tensors of `args` if they are such as `compiled` was traced for. */
export function argumentsFor(compiled: Compiled, args: readonly unknown[]): Tensor[] | undefined {
  const tensors: Tensor[] = [];
  if (!hasStructure(compiled.structure, args, tensors)) return undefined;
  const fits = tensors.every((tensor, i) => {
    const { dtype, shape } = compiled.arguments[i] as Argument;
    return (
      tensor.dtype === dtype &&
      tensor.device === compiled.device &&
      (tensor.shape === shape || sameShape(tensor.shape, shape))
    );
  });
  return fits ? tensors : undefined;
}

/** Runs a compiled function on tensors that have storages. */
export function replay(compiled: Compiled, tensors: readonly Tensor[]): unknown {
  const { device, table, constants } = compiled;
  for (const storage of constants) checkConstant(storage);
  tensors.forEach((tensor, i) => {
    const { position, taken } = compiled.arguments[i] as Argument;
    const storage = storageOf(tensor);
    if (taken && constants.has(storage)) {
      throw new Error(
        `jit: ${String(tensor)} is donated, but the function also closed over it; use the argument alone`,
      );
    }
    if (position >= 0) table[position] = storage.buffer;
  });
  const { made } = compiled;
  allocateSlots(device, compiled.fresh).forEach((storage, i) => {
    const position = compiled.freshPositions[i] as number;
    made[position] = storage;
    table[position] = storage.buffer;
  });
  compiled.program.run(table);

  for (let i = 0; i < tensors.length; i++) {
    const { position, taken } = compiled.arguments[i] as Argument;
    if (!taken) continue;
    const storage = storageOf(tensors[i] as Tensor).donate();
    if (position >= 0) made[position] = storage;
    else storage.dispose();
  }
  const leaves: Tensor[] = [];
  for (const output of compiled.outputs) {
    if ('argument' in output) leaves.push(tensors[output.argument] as Tensor);
    else if ('tensor' in output) leaves.push(output.tensor);
    else if ('same' in output) leaves.push(leaves[output.same] as Tensor);
    else {
      const tensor = new Tensor(device, output.dtype, output.shape, { kind: 'buffer' }, []);
      tensor.storage = made[output.position];
      made[output.position] = undefined;
      leaves.push(tensor);
    }
  }
  // What no result took.
  for (let position = 0; position < made.length; position++) {
    made[position]?.dispose();
    made[position] = undefined;
  }
  return unflatten(compiled.outputStructure, leaves);
}

function checkConstant({ fate }: Storage): void {
  if (fate !== 'live')
    throw new Error(`jit: a tensor that the function closed over was ${fate}; pass it as an argument`);
}
