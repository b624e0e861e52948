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
import { StepList } from './step-list';

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
  /** The rows that it folds: those of a row kernel, or of the reduction of a loop. */
  readonly folded?: Rows | undefined;
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

/** The rows that the reduction of a loop folds. */
function foldedRows({ kernel, outputs }: Step, roots: ReadonlySet<Node>): Rows | undefined {
  if (kernel.kind !== 'loop' || !kernel.reduction) return undefined;
  const [root] = outputs as [Node];
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
function commonRows(producer: Entry, consumer: Entry): Rows | undefined {
  const [first, second] = [producer.folded, consumer.folded];
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
  if (consumer.step.kernel.kind === 'row') return second;
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
export const fuseRows = (
  steps: readonly Step[],
  roots: ReadonlySet<Node>,
  wanted: ReadonlySet<Node>,
  limits: DeviceLimits,
): Step[] => new RowFuser(steps, roots, wanted, limits).fuse();

class RowFuser {
  private readonly list: StepList<Entry>;

  constructor(
    steps: readonly Step[],
    private readonly roots: ReadonlySet<Node>,
    private readonly wanted: ReadonlySet<Node>,
    private readonly limits: DeviceLimits,
  ) {
    this.list = new StepList(
      steps.map((step) => ({ step, members: new Set(step.outputs), folded: foldedRows(step, roots) })),
    );
  }

  fuse(): Step[] {
    for (let place = 0; place < this.list.length; place++) this.takeIn(place);
    return this.list.steps();
  }

  /** Lets the step at a place take in those it reads from, the latest first, until none fits any more. */
  private takeIn(place: number): void {
    const refused = new Set<number>();
    for (;;) {
      const consumer = this.list.at(place);
      if (!consumer || !isWalk(consumer.step.kernel)) return;
      const sources = consumer.step.inputs.map((node) => this.list.placeOf(node));
      const from = Math.max(-1, ...sources.filter((source) => !refused.has(source)));
      const producer = this.list.at(from);
      if (from < 0) return;
      const joined = producer && this.join(producer, consumer, place);
      if (joined) {
        this.list.replace([from, place], place, joined);
        refused.clear();
      } else refused.add(from);
    }
  }

  /** Both as one step at the consumer's place, if nobody waits for the producer before, they fit, and it pays. */
  private join(producer: Entry, consumer: Entry, place: number): Entry | undefined {
    if (!isWalk(producer.step.kernel)) return undefined;
    const others = (node: Node) => this.list.readersOf(node).filter((reader) => reader !== place);
    if (producer.step.outputs.some((node) => others(node).some((reader) => reader < place))) return undefined;
    const rows = commonRows(producer, consumer);
    if (!rows) return undefined;
    const members = new Set([...producer.members, ...consumer.members]);
    const stored = producer.step.outputs.filter((node) => this.wanted.has(node) || others(node).length > 0);
    try {
      const outputs = [...stored, ...consumer.step.outputs];
      const step = buildRow(rows, members, outputs, this.roots, this.limits);
      return pays(step.kernel) ? { step, members, folded: rows } : undefined;
    } catch (error) {
      if (error instanceof CannotFuse) return undefined;
      throw error;
    }
  }
}
