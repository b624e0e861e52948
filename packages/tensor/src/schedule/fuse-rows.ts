/**
 * Steps that walk the same rows become one. Softmax is a maximum, a sum and two elementwise kernels, which read the same
 * rows again and again: here a step takes in the steps that it reads from, as long as nobody else needs them before it.
 *
 * It is worth it while a row stays in the cache, and rows are many enough to be shared among threads. Whether steps fit
 * together is found out by building their kernel; where they do not, they stay as they are.
 */
import {
  type DeviceLimits,
  type Kernel,
  type RowKernel,
  rowPasses,
  type Shape,
  sizeOf,
} from '@clipin/kernel';
import type { Node } from '../node';
import type { Step } from './build';
import { isLeaf } from './graph';
import { CannotFuse } from './program';
import { buildRow, type Rows } from './row';

/** The longest row: 64 KiB of f32, which the caches near a core hold. */
const longestRow = 2 ** 14;
/** With fewer rows than this, and more elements in all than that, threads would have too little to share. */
const fewRows = 32;
const smallWork = 2 ** 14;
/** Beyond this many elements in all, rows whose elements lie apart are left to kernels that walk columns. */
const scatteredWork = 2 ** 12;
/** The most instructions of one kernel. */
const mostInstructions = 400;

/** A step among others, and what it is made of. */
interface Entry {
  readonly step: Step;
  /** Nodes that its kernel computes at a place of their own: its outputs, and those that nobody else needed. */
  readonly members: ReadonlySet<Node>;
  readonly rows?: Rows;
}

/** A reduction inside a step, which has at most one. */
function reductionIn(root: Node, roots: ReadonlySet<Node>): Node | undefined {
  const seen = new Set<Node>([root]);
  const stack = [root];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.operation.kind === 'reduce') return node;
    for (const input of node.inputs) {
      if (isLeaf(input) || roots.has(input) || seen.has(input)) continue;
      seen.add(input);
      stack.push(input);
    }
  }
  return undefined;
}

/** The rows that a step folds: those of a row kernel, or of the reduction of a loop. */
function foldedRows({ rows, step }: Entry, roots: ReadonlySet<Node>): Rows | undefined {
  if (rows) return rows;
  const [root] = step.outputs as [Node];
  if (step.kernel.kind !== 'loop' || !step.kernel.reduction) return undefined;
  const reduction = reductionIn(root, roots);
  if (reduction?.operation.kind !== 'reduce') return undefined;
  const { axes } = reduction.operation;
  const [input] = reduction.inputs as [Node];
  return { axes: root.shape, row: input.shape.filter((_, axis) => axes.includes(axis)) };
}

/** The last axes of a shape that have `length` elements, as the row. */
function splitRows(shape: Shape, length: number): Rows | undefined {
  for (let axis = shape.length; axis >= 0; axis--) {
    const row = shape.slice(axis);
    if (sizeOf(row) === length) return { axes: shape.slice(0, axis), row };
  }
  return undefined;
}

/** The rows of a kernel for both steps; `undefined` where they have none in common. */
function commonRows(producer: Entry, consumer: Entry, roots: ReadonlySet<Node>): Rows | undefined {
  const [first, second] = [foldedRows(producer, roots), foldedRows(consumer, roots)];
  const folded = second ?? first;
  if (!folded) return undefined;
  const [count, length] = [sizeOf(folded.axes), sizeOf(folded.row)];
  const same = (rows: Rows) => sizeOf(rows.axes) === count && sizeOf(rows.row) === length;
  if (first && second && !same(first)) return undefined;
  if (length < 2 || length > longestRow || (count < fewRows && count * length > smallWork)) return undefined;
  const members = [...producer.members, ...consumer.members].map(({ shape }) => shape);
  if (!members.every((shape) => sizeOf(shape) === count || sizeOf(shape) === count * length))
    return undefined;
  // The axes of a result of the size of the rows serve best: the others are found in them.
  if (consumer.rows) return consumer.rows;
  const full = members.reverse().find((shape) => sizeOf(shape) === count * length);
  const split = full && splitRows(full, length);
  return split && sizeOf(split.axes) === count ? split : folded;
}

/** Whether a kernel is better than those it takes the place of. */
function pays(kernel: RowKernel): boolean {
  const { axes, row, program } = kernel;
  if (program.length > mostInstructions || kernel.folds.length === 0) return false;
  if (sizeOf(axes) * sizeOf(row) <= scatteredWork) return true;
  const { varies } = rowPasses(kernel);
  const last = axes.length + row.length - 1;
  return program.every(
    (step, at) => step.op !== 'load' || !varies[at] || Math.abs(step.index.strides[last] as number) <= 1,
  );
}

const isWalk = ({ kind }: Kernel): boolean => kind === 'loop' || kind === 'row';

/**
 * Joins steps that share rows.
 *
 * @param steps - in the order in which they run
 * @param roots - nodes that steps store
 * @param wanted - nodes that must be stored in any case
 */
export function fuseRows(
  steps: readonly Step[],
  roots: ReadonlySet<Node>,
  wanted: ReadonlySet<Node>,
  limits: DeviceLimits,
): Step[] {
  const entries: (Entry | undefined)[] = steps.map((step) => ({
    step,
    members: new Set(step.outputs),
  }));
  const places = new Map<Node, number>();
  const readers = new Map<Node, Set<number>>();
  entries.forEach((entry, place) => {
    for (const output of entry?.step.outputs ?? []) places.set(output, place);
    for (const input of entry?.step.inputs ?? [])
      readers.set(input, (readers.get(input) ?? new Set()).add(place));
  });

  const join = (at: number, consumer: Entry, from: number): Entry | undefined => {
    const producer = entries[from];
    if (!producer || !isWalk(producer.step.kernel)) return undefined;
    const others = producer.step.outputs
      .flatMap((node) => [...(readers.get(node) ?? [])])
      .filter((reader) => reader !== at);
    if (others.some((reader) => reader < at)) return undefined;
    const rows = commonRows(producer, consumer, roots);
    if (!rows) return undefined;
    const members = new Set([...producer.members, ...consumer.members]);
    const isRead = (node: Node) =>
      wanted.has(node) || [...(readers.get(node) ?? [])].some((reader) => reader !== at);
    const outputs = [...producer.step.outputs.filter(isRead), ...consumer.step.outputs];
    try {
      const step = buildRow(rows, members, outputs, roots, limits);
      return pays(step.kernel) ? { step, members, rows } : undefined;
    } catch (error) {
      if (error instanceof CannotFuse) return undefined;
      throw error;
    }
  };

  const replace = (at: number, consumer: Entry, from: number, joined: Entry): void => {
    for (const input of [...consumer.step.inputs, ...(entries[from]?.step.inputs ?? [])]) {
      readers.get(input)?.delete(at);
      readers.get(input)?.delete(from);
    }
    for (const input of joined.step.inputs) readers.set(input, (readers.get(input) ?? new Set()).add(at));
    for (const output of joined.step.outputs) places.set(output, at);
    entries[from] = undefined;
    entries[at] = joined;
  };

  for (let at = 0; at < entries.length; at++) {
    const refused = new Set<number>();
    for (;;) {
      const consumer = entries[at];
      if (!consumer || !isWalk(consumer.step.kernel)) break;
      const sources = consumer.step.inputs.map((node) => places.get(node) ?? -1);
      const from = Math.max(-1, ...sources.filter((place) => place >= 0 && !refused.has(place)));
      if (from < 0) break;
      const joined = join(at, consumer, from);
      if (joined) {
        replace(at, consumer, from, joined);
        refused.clear();
      } else refused.add(from);
    }
  }
  return entries.flatMap((entry) => (entry ? [entry.step] : []));
}
