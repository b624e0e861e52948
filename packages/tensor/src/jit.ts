/**
 * `jit`: runs a function once on placeholders, keeps the kernels and the memory plan, and replays them. Traced once per
 * structure of the arguments, shapes and dtypes; numbers and strings among the arguments are part of the structure.
 */
import type { Device, Program } from '@clipin/kernel';
import { allocateSlots, bufferOf, realize } from './evaluate';
import { type Node, nextNodeId } from './node';
import { collect, isLeaf } from './schedule/graph';
import { type Plan, planMemory } from './schedule/plan';
import { schedule } from './schedule/schedule';
import { Storage } from './storage';
import { activeRecorders, Tensor, withRecorders } from './tensor';
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
  readonly plan: Plan;
  /** Buffers that exist before a call, except arguments: constants that the function closed over. */
  readonly constants: ReadonlyMap<number, Storage>;
  /** Position in the table of each argument that the program reads; -1 where it does not. */
  readonly arguments: readonly number[];
  readonly scratch: readonly (Storage | undefined)[];
  readonly outputs: readonly Output[];
  readonly structure: Structure;
}

/** A result of a compiled function: an argument handed back, or a position in the table. */
type Output = { readonly argument: number } | { readonly position: number; readonly node: Node };

let tracing = false;

/**
 * Compiles a function of trees of tensors. Inside another traced function, or while a gradient is being recorded, it is
 * called as it is.
 *
 * @param fn - a pure function; what it returns is a tree of tensors
 * @throws Error when a donated tensor is used again, or a value is read inside the function
 */
export function jit<A extends readonly unknown[], R>(
  fn: (...args: A) => R,
  { donate = [] }: JitOptions = {},
): (...args: A) => R {
  const compiled = new Map<string, Compiled>();
  const deviceNumbers = new Map<Device, number>();
  return (...args) => {
    if (tracing || activeRecorders().length > 0) return fn(...args);
    const flat = args.map((arg) => flatten(arg));
    const tensors = flat.flatMap(({ leaves }) => leaves);
    const [first] = tensors;
    if (!first) return fn(...args);
    const donated = flat.flatMap(({ leaves }, position) => leaves.map(() => donate.includes(position)));
    checkDonations(tensors, donated);
    realize(tensors);
    const device = first.device;
    if (!deviceNumbers.has(device)) deviceNumbers.set(device, deviceNumbers.size);
    const key = JSON.stringify([
      deviceNumbers.get(device),
      flat.map(({ structure }) => structure),
      tensors.map(({ dtype, shape }) => [dtype, shape]),
    ]);
    const found =
      compiled.get(key) ??
      trace(
        fn,
        flat.map(({ structure }) => structure),
        tensors,
        donated,
      );
    compiled.set(key, found);
    return replay<R>(found, tensors, donated);
  };
}

function checkDonations(tensors: readonly Tensor[], donated: readonly boolean[]): void {
  const given = tensors.filter((_, i) => donated[i]);
  const twice = given.find((tensor) => tensors.indexOf(tensor) !== tensors.lastIndexOf(tensor));
  if (twice)
    throw new Error(`jit: ${String(twice)} is donated, but it is also another argument; pass it once`);
}

function trace<A extends readonly unknown[]>(
  fn: (...args: A) => unknown,
  structures: readonly Structure[],
  tensors: readonly Tensor[],
  donated: readonly boolean[],
): Compiled {
  const device = (tensors[0] as Tensor).device;
  const start = nextNodeId();
  const parameters = tensors.map(
    ({ dtype, shape }, index) => new Tensor(device, dtype, shape, { kind: 'parameter', index }, []),
  );
  const rest = [...parameters];
  const args = structures.map((structure) => unflatten(structure, rest.splice(0, countTensors(structure))));
  // The arguments have the structure of those of the call, tensor for tensor.
  const result = flatten(traced(() => fn(...(args as readonly unknown[] as A))));

  const lazy = result.leaves.filter((leaf) => !isLeaf(leaf));
  // What the function closed over and nobody has computed yet would be computed again in every call.
  const before = collect(lazy).filter(
    ({ id, operation }) => id < start && operation.kind !== 'constant' && operation.kind !== 'iota',
  );
  realize(before.filter((node) => !isLeaf(node)));

  const handedBack = new Set<Node>(result.leaves.filter((leaf) => leaf.operation.kind === 'parameter'));
  const donations = new Set<Node>(parameters.filter((node, i) => donated[i] && !handedBack.has(node)));
  const wanted = [...new Set(lazy)];
  const plan = planMemory(schedule(wanted, device.limits), wanted, donations);
  const fresh = new Set(plan.fresh);
  const needed = plan.slots.filter((_, slot) => !fresh.has(plan.externals.length + slot));
  const scratch = allocateSlots(device, needed);
  const constants = new Map<number, Storage>();
  plan.externals.forEach((node, position) => {
    if (node.operation.kind !== 'parameter') {
      bufferOf(node);
      constants.set(position, node.storage as Storage);
    }
  });
  return {
    device,
    program: device.load(plan.launches),
    plan,
    constants,
    arguments: parameters.map((node) => plan.externals.indexOf(node)),
    scratch: plan.slots.map((_, slot) =>
      fresh.has(plan.externals.length + slot) ? undefined : scratch.shift(),
    ),
    outputs: result.leaves.map((node): Output => {
      if (node.operation.kind === 'parameter') return { argument: node.operation.index };
      return { position: plan.outputs.get(node) ?? -1, node };
    }),
    structure: result.structure,
  };
}

function traced<T>(run: () => T): T {
  tracing = true;
  try {
    return withRecorders([], run);
  } finally {
    tracing = false;
  }
}

const countTensors = (structure: Structure): number => {
  if (structure.kind === 'tensor') return 1;
  return structure.kind === 'static' ? 0 : structure.items.reduce((sum, item) => sum + countTensors(item), 0);
};

function replay<R>(compiled: Compiled, tensors: readonly Tensor[], donated: readonly boolean[]): R {
  const { device, plan } = compiled;
  const table = new Array<Storage>(plan.externals.length + plan.slots.length);
  for (const [position, storage] of compiled.constants) table[position] = storage;
  tensors.forEach((tensor, i) => {
    const position = compiled.arguments[i] as number;
    bufferOf(tensor);
    if (position >= 0) table[position] = tensor.storage as Storage;
  });
  const fresh = allocateSlots(
    device,
    plan.fresh.map((position) => plan.slots[position - plan.externals.length] ?? { dtype: 'f32', length: 0 }),
  );
  plan.fresh.forEach((position, i) => {
    table[position] = fresh[i] as Storage;
  });
  compiled.scratch.forEach((storage, slot) => {
    if (storage) table[plan.externals.length + slot] = storage;
  });
  compiled.program.run(table.map(({ buffer }) => buffer));

  const reused = new Set(plan.outputs.values());
  const handedBack = new Set(compiled.outputs.map((output) => ('argument' in output ? output.argument : -1)));
  tensors.forEach((tensor, i) => {
    if (!donated[i] || handedBack.has(i)) return;
    const storage = tensor.storage as Storage;
    const position = compiled.arguments[i] as number;
    const buffer = storage.donate();
    if (reused.has(position)) table[position] = new Storage(device, buffer);
    else device.free(buffer);
  });
  const made = new Map<number, Tensor>();
  const results = compiled.outputs.map((output) => {
    if ('argument' in output) return tensors[output.argument] as Tensor;
    if (output.position < 0) return output.node as Tensor;
    const { dtype, shape } = output.node;
    const tensor = made.get(output.position) ?? new Tensor(device, dtype, shape, { kind: 'buffer' }, []);
    tensor.storage = table[output.position];
    made.set(output.position, tensor);
    return tensor;
  });
  // The function returned a tree of this structure when it was traced.
  return unflatten(compiled.structure, results) as R;
}
