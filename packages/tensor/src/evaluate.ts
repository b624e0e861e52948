/** Computes lazy nodes now: schedule, plan, run once. */
import type { Device, DeviceBuffer } from '@clipin/kernel';
import type { Node } from './node';
import { isLeaf } from './schedule/graph';
import { planMemory, type Slot } from './schedule/plan';
import { schedule } from './schedule/schedule';
import { Storage } from './storage';

/** The buffer of a leaf. @throws Error when it is gone, or stands for an argument that `jit` is tracing. */
export function bufferOf(node: Node): DeviceBuffer {
  return storageOf(node).buffer;
}

/** The storage of a leaf. @throws Error as `bufferOf` does. */
export function storageOf(node: Node): Storage {
  const { storage } = node;
  if (!storage) {
    throw new Error(
      'a value was asked for inside a function that jit traces, where it is not known yet; return it, and read it outside',
    );
  }
  if (storage.fate !== 'live')
    throw new Error(`a tensor of shape [${node.shape.join(', ')}] was ${storage.fate} before it was used`);
  return storage;
}

/** Allocates the slots of a plan; gives back what it got when one is not to be had. */
export function allocateSlots(device: Device, slots: readonly Slot[]): Storage[] {
  const storages: Storage[] = [];
  try {
    for (const { dtype, length } of slots) storages.push(Storage.of(device, device.allocate(dtype, length)));
  } catch (error) {
    for (const storage of storages) storage.dispose();
    throw error;
  }
  return storages;
}

/** Gives every node a storage, computing what has none. */
export function realize(nodes: readonly Node[]): void {
  if (nodes.every(isLeaf)) return;
  const lazy = [...new Set(nodes)].filter((node) => !isLeaf(node));
  for (const device of new Set(lazy.map((node) => node.device))) {
    realizeOn(
      device,
      lazy.filter((node) => node.device === device),
    );
  }
}

function realizeOn(device: Device, nodes: readonly Node[]): void {
  const steps = schedule(nodes, device.limits);
  // Results of routines stay, since a routine cannot be run again for one of them alone.
  const siblings = steps.flatMap(({ outputs }) =>
    outputs.filter(({ operation }) => operation.kind === 'routine'),
  );
  const wanted = [...new Set([...nodes, ...siblings])];
  const plan = planMemory(steps, wanted, new Set());
  const externals = plan.externals.map(bufferOf);
  const slots = allocateSlots(device, plan.slots);
  const program = device.load(plan.launches);
  program.run([...externals, ...slots.map(({ buffer }) => buffer)]);
  program.free();
  const fresh = new Set(plan.fresh);
  slots.forEach((storage, slot) => {
    if (!fresh.has(externals.length + slot)) storage.dispose();
  });
  for (const node of wanted)
    node.realize(slots[(plan.outputs.get(node) as number) - externals.length] as Storage);
}
