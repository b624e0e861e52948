/**
 * `jit`: runs a function once on placeholders, keeps the kernels and the memory plan, and replays them. Traced once per
 * structure of the arguments, shapes and dtypes; numbers and strings among the arguments are part of the structure.
 */
import type { Device, DType, Program, Shape } from '@clipin/kernel';
import { allocateSlots, realize, storageOf } from './evaluate';
import { type Node, nextNodeId } from './node';
import { collect, isLeaf } from './schedule/graph';
import { type Plan, planMemory, type Slot } from './schedule/plan';
import { schedule } from './schedule/schedule';
import { Storage } from './storage';
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

interface Compiled {
  readonly device: Device;
  readonly program: Program;
  /** Number of buffers in the table of the program. */
  readonly tableLength: number;
  /** Constants that the function closed over, and scratch memory: there before a call, at these positions. */
  readonly kept: ReadonlyMap<number, Storage>;
  /** Memory of outputs, new in every call. */
  readonly fresh: readonly { readonly position: number; readonly slot: Slot }[];
  /** Position in the table of each argument; -1 of those that the program does not read. */
  readonly arguments: readonly number[];
  /** Whether the argument's memory is taken from the caller. */
  readonly taken: readonly boolean[];
  readonly outputs: readonly Output[];
  readonly structure: Structure;
}

/** A result of a compiled function: an argument handed back, a tensor that was there before, or new at a position. */
type Output =
  | { readonly argument: number }
  | { readonly tensor: Tensor }
  | { readonly position: number; readonly dtype: DType; readonly shape: Shape };

let tracing = false;

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
): (...args: A) => R {
  const wrong = donate.find((position) => !Number.isInteger(position) || position < 0);
  if (wrong !== undefined)
    throw new RangeError(`jit: donate names argument ${wrong}; arguments count from 0`);
  const compiled = new Map<string, Compiled>();
  const deviceNumbers = new Map<Device, number>();
  return (...args) => {
    if (tracing || activeRecorders().length > 0) return fn(...args);
    const { leaves: tensors, structure } = flatten(args);
    if (tensors.length === 0) return fn(...args);
    const device = deviceOf('jit', tensors);
    const donated = donatedLeaves(structure, donate);
    checkDonations(tensors, donated);
    realize(tensors);
    if (!deviceNumbers.has(device)) deviceNumbers.set(device, deviceNumbers.size);
    const types = tensors.map(({ dtype, shape }) => [dtype, shape]);
    const key = JSON.stringify([deviceNumbers.get(device), structure, types], writeStatic);
    const found = compiled.get(key) ?? trace(fn, structure, tensors, donated);
    compiled.set(key, found);
    return replay<R>(found, tensors);
  };
}

/** JSON takes `undefined`, NaN, infinities and −0 for something else; arguments that are not tensors may be any of them. */
const writeStatic = (_: string, value: unknown): unknown => {
  if (value === undefined) return { undefined: true };
  if (typeof value !== 'number' || (Number.isFinite(value) && !Object.is(value, -0))) return value;
  return { number: Object.is(value, -0) ? '-0' : String(value) };
};

/** Which tensors belong to donated arguments. */
function donatedLeaves(structure: Structure, donate: readonly number[]): boolean[] {
  const args = structure.kind === 'array' ? structure.items : [];
  return args.flatMap((arg, position) =>
    new Array<boolean>(countTensors(arg)).fill(donate.includes(position)),
  );
}

function checkDonations(tensors: readonly Tensor[], donated: readonly boolean[]): void {
  const seen = new Map<Tensor, boolean>();
  tensors.forEach((tensor, i) => {
    const gift = donated[i] as boolean;
    if (seen.has(tensor) && (gift || seen.get(tensor))) {
      throw new Error(`jit: ${String(tensor)} is donated, but it is also another argument; pass it once`);
    }
    seen.set(tensor, gift);
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
  const plan = planMemory(schedule(wanted, device.limits), wanted, gifts);
  const positions = new Map(plan.externals.map((node, position) => [node, position]));
  return {
    device,
    tableLength: plan.externals.length + plan.slots.length,
    kept: keptBuffers(device, plan),
    program: device.load(plan.launches),
    fresh: plan.fresh.map((position) => ({
      position,
      slot: plan.slots[position - plan.externals.length] as Slot,
    })),
    arguments: parameters.map((node) => positions.get(node) ?? -1),
    taken,
    outputs: result.leaves.map((tensor): Output => {
      if (tensor.operation.kind === 'parameter') return { argument: tensor.operation.index };
      const position = plan.outputs.get(tensor);
      return position === undefined ? { tensor } : { position, dtype: tensor.dtype, shape: tensor.shape };
    }),
    structure: result.structure,
  };
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

/** Constants of a plan, which must be there, and its scratch memory. */
function keptBuffers(device: Device, plan: Plan): Map<number, Storage> {
  const kept = new Map<number, Storage>();
  plan.externals.forEach((node, position) => {
    if (node.operation.kind !== 'parameter') kept.set(position, storageOf(node));
  });
  const fresh = new Set(plan.fresh);
  const scratch = plan.slots
    .map((slot, i) => ({ slot, position: plan.externals.length + i }))
    .filter(({ position }) => !fresh.has(position));
  const storages = allocateSlots(
    device,
    scratch.map(({ slot }) => slot),
  );
  scratch.forEach(({ position }, i) => {
    kept.set(position, storages[i] as Storage);
  });
  return kept;
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

function replay<R>(compiled: Compiled, tensors: readonly Tensor[]): R {
  const { device, taken } = compiled;
  const kept = new Set(compiled.kept.values());
  const table = new Array<Storage>(compiled.tableLength);
  for (const [position, storage] of compiled.kept) table[position] = checkKept(storage);
  tensors.forEach((tensor, i) => {
    const position = compiled.arguments[i] as number;
    const storage = storageOf(tensor);
    if (taken[i] && kept.has(storage)) {
      throw new Error(
        `jit: ${String(tensor)} is donated, but the function also closed over it; use the argument alone`,
      );
    }
    if (position >= 0) table[position] = storage;
  });
  const fresh = allocateSlots(
    device,
    compiled.fresh.map(({ slot }) => slot),
  );
  compiled.fresh.forEach(({ position }, i) => {
    table[position] = fresh[i] as Storage;
  });
  compiled.program.run(table.map(({ buffer }) => buffer));

  const reused = new Set(compiled.outputs.map((output) => ('position' in output ? output.position : -1)));
  tensors.forEach((tensor, i) => {
    if (!taken[i]) return;
    const position = compiled.arguments[i] as number;
    const buffer = storageOf(tensor).donate();
    if (reused.has(position)) table[position] = new Storage(device, buffer);
    else device.free(buffer);
  });
  const made = new Map<number, Tensor>();
  const results = compiled.outputs.map((output) => {
    if ('argument' in output) return tensors[output.argument] as Tensor;
    if ('tensor' in output) return output.tensor;
    const { position, dtype, shape } = output;
    const tensor = made.get(position) ?? new Tensor(device, dtype, shape, { kind: 'buffer' }, []);
    tensor.storage = table[position];
    made.set(position, tensor);
    return tensor;
  });
  // The function returned a tree of this structure when it was traced.
  return unflatten(compiled.structure, results) as R;
}

function checkKept(storage: Storage): Storage {
  if (storage.fate === 'live') return storage;
  throw new Error(`jit: a tensor that the function closed over was ${storage.fate}; pass it as an argument`);
}
