/**
 * A launch over many tensors as dispatches: as many tensors in each as it may bind buffers. The last is filled up with parts
 * without elements, so that one text serves them all.
 */
import { type ForeachKernel, foreachPart, type Launch } from '@clipin/kernel';
import type { BufferNumber, Lowered } from './task';

/** Scratch for buffers that nobody reads or writes, behind what other kernels take. */
const fillerScratch = -5;

/** A tensor's share of the work. */
interface Part {
  readonly length: number;
  readonly inputs: readonly BufferNumber[];
  readonly outputs: readonly BufferNumber[];
}

/** The tasks of a launch, each of which binds at most `most` buffers if a part does not need more. */
export function foreachTasks(launch: Launch & { readonly kernel: ForeachKernel }, most: number): Lowered {
  const { kernel, inputTypes, outputTypes } = launch;
  const { shared, own, stores } = kernel;
  const common = launch.inputs.slice(0, shared);
  const groups = groupsOf(partsOf(launch), common, most);
  const fillers = fillUp(groups, new Set(common));
  const tasks = groups.map((parts) => ({
    kernel: { ...kernel, lengths: parts.map(({ length }) => length) },
    inputs: [...common, ...parts.flatMap(({ inputs }) => inputs)],
    inputTypes: inputTypes.slice(0, shared + parts.length * own),
    outputs: parts.flatMap(({ outputs }) => outputs),
    outputTypes: outputTypes.slice(0, parts.length * stores.length),
  }));
  const before = new Array<number>(-1 - fillerScratch).fill(0);
  return { tasks, scratch: fillers > 0 ? [...before, ...new Array<number>(fillers).fill(4)] : [] };
}

const partsOf = ({ kernel, inputs, outputs }: Launch & { readonly kernel: ForeachKernel }): Part[] =>
  kernel.lengths.flatMap((length, number) => {
    if (length === 0) return [];
    const part = foreachPart(kernel, number);
    const own = part.inputs.slice(kernel.shared);
    return {
      length,
      inputs: own.map((at) => inputs[at] as BufferNumber),
      outputs: part.outputs.map((at) => outputs[at] as BufferNumber),
    };
  });

/** Parts in their order, as many together as fit. */
function groupsOf(parts: readonly Part[], common: readonly BufferNumber[], most: number): Part[][] {
  const groups: Part[][] = [];
  let touched = new Set<BufferNumber>();
  for (const part of parts) {
    const more = new Set([...touched, ...part.inputs, ...part.outputs]);
    const last = groups[groups.length - 1];
    if (last && more.size <= most) {
      last.push(part);
      touched = more;
    } else {
      groups.push([part]);
      touched = new Set([...common, ...part.inputs, ...part.outputs]);
    }
  }
  return groups;
}

/** Adds parts without elements to the last of several groups, until it is as long as the first; gives the buffers that they take. */
function fillUp(groups: readonly Part[][], common: ReadonlySet<BufferNumber>): number {
  const [first, last] = [groups[0], groups[groups.length - 1]];
  if (!first || !last || groups.length === 1) return 0;
  const model = last[0] as Part;
  let taken = 0;
  while (last.length < first.length) {
    const fillers = new Map<BufferNumber, BufferNumber>();
    for (const buffer of [...model.inputs, ...model.outputs]) {
      if (!common.has(buffer) && !fillers.has(buffer)) fillers.set(buffer, fillerScratch - taken++);
    }
    const filled = (buffers: readonly BufferNumber[]) => buffers.map((at) => fillers.get(at) ?? at);
    last.push({ length: 0, inputs: filled(model.inputs), outputs: filled(model.outputs) });
  }
  return taken;
}
