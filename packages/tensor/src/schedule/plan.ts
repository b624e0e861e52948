/**
 * The memory plan of a schedule: which buffer each node lives in. A buffer is used again as soon as its last reader is
 * done; elementwise kernels write over an input that nobody needs any more; donated inputs become outputs.
 */
import { type DType, dtypes, type Launch, sizeOf } from '@clipin/kernel';
import type { Node } from '../node';
import type { Step } from './build';
import { isLeaf } from './graph';
import { inputsBeside, mayOverwrite } from './overwrite';

/** Size of a buffer that a plan needs. */
export interface Slot {
  dtype: DType;
  length: number;
}

/**
 * Launches over a table of buffers: first the `externals` (leaves that are there already), then the `slots`.
 * The first slots are scratch memory; those of `fresh` belong to outputs and are new in every run.
 */
export interface Plan {
  readonly launches: readonly Launch[];
  readonly externals: readonly Node[];
  readonly slots: readonly Slot[];
  /** Positions in the table that must be newly allocated for each run. */
  readonly fresh: readonly number[];
  /** Position in the table of each output. */
  readonly outputs: ReadonlyMap<Node, number>;
  /** The most bytes of slots that hold a value at once. */
  readonly leastBytes: number;
}

/** How many free slots are looked at for one node: enough for a good fit, few enough for huge graphs. */
const slotsTried = 64;

const bytesOf = ({ dtype }: { readonly dtype: DType }): number => dtypes[dtype].bytes;

/**
 * Plans the buffers of a schedule.
 *
 * @param steps - kernels in order
 * @param wanted - nodes whose buffers outlive the run
 * @param donated - leaves whose buffers may be written over once they have been read
 * @param successors - which of these leaves each output comes after, and had better take the place of: then a loop that
 *   gives back what it gets finds everything in the same buffers every time
 */
export function planMemory(
  steps: readonly Step[],
  wanted: readonly Node[],
  donated: ReadonlySet<Node>,
  successors: ReadonlyMap<Node, Node> = new Map(),
): Plan {
  const externals = [...new Set([...steps.flatMap(({ inputs }) => inputs.filter(isLeaf)), ...donated])];
  const lastUse = new Map<Node, number>();
  steps.forEach(({ inputs }, time) => {
    for (const input of inputs) lastUse.set(input, time);
  });
  const outlives = new Set(wanted);
  const positions = new Map<Node, number>(externals.map((node, position) => [node, position]));
  const slots: Slot[] = [];
  const fresh: number[] = [];
  const free: number[] = [];
  const freeDonations = externals.flatMap((leaf, position) =>
    donated.has(leaf) && !lastUse.has(leaf) ? [position] : [],
  );

  const sizeAt = (position: number): Slot => {
    const leaf = externals[position];
    return leaf
      ? { dtype: leaf.dtype, length: sizeOf(leaf.shape) }
      : (slots[position - externals.length] as Slot);
  };
  const fitsExactly = (position: number, node: Node): boolean => {
    const slot = sizeAt(position);
    // A buffer that outlives the run is read by its own dtype.
    const same = outlives.has(node) ? slot.dtype === node.dtype : bytesOf(slot) === bytesOf(node);
    return same && slot.length === sizeOf(node.shape);
  };
  const addSlot = (node: Node): number => {
    slots.push({ dtype: node.dtype, length: sizeOf(node.shape) });
    return externals.length + slots.length - 1;
  };
  const take = (list: number[], at: number): number => list.splice(at, 1)[0] as number;

  /** A free scratch slot, the closest in size of those freed last, grown if it is too small; or a new one. */
  const scratch = (node: Node): number => {
    const length = sizeOf(node.shape);
    let best = -1;
    let distance = Number.POSITIVE_INFINITY;
    for (let at = Math.max(0, free.length - slotsTried); at < free.length; at++) {
      const slot = sizeAt(free[at] as number);
      if (bytesOf(slot) !== bytesOf(node) || Math.abs(slot.length - length) >= distance) continue;
      best = at;
      distance = Math.abs(slot.length - length);
    }
    if (best < 0) return addSlot(node);
    const position = take(free, best);
    const slot = sizeAt(position);
    slot.length = Math.max(slot.length, length);
    return position;
  };

  const place = (node: Node): number => {
    if (!outlives.has(node)) return scratch(node);
    const own = freeDonations.findIndex((position) => externals[position] === successors.get(node));
    const donation = own >= 0 ? own : freeDonations.findIndex((position) => fitsExactly(position, node));
    if (donation >= 0) return take(freeDonations, donation);
    const position = addSlot(node);
    fresh.push(position);
    return position;
  };

  /** An input of this step that ends here and that the output may take over. */
  const inherit = (
    step: Step,
    time: number,
    output: number,
    taken: ReadonlySet<number>,
  ): number | undefined => {
    const node = step.outputs[output] as Node;
    const [first, end] = inputsBeside(step, output);
    const inputs = step.inputs.slice(first, end);
    const mayInherit = (input: Node, number: number): boolean => {
      const position = positions.get(input) as number;
      const isScratch = position >= externals.length && !outlives.has(input);
      const mayTake = isScratch ? !outlives.has(node) : donated.has(input) && outlives.has(node);
      const ends = lastUse.get(input) === time && !taken.has(position);
      return mayTake && ends && fitsExactly(position, node) && mayOverwrite(step, first + number);
    };
    const own = inputs.findIndex(
      (input, number) => input === successors.get(node) && mayInherit(input, number),
    );
    const heir = own >= 0 ? own : inputs.findIndex(mayInherit);
    return heir < 0 ? undefined : positions.get(inputs[heir] as Node);
  };

  const positionOf = (node: Node): number => {
    const known = positions.get(node);
    if (known !== undefined) return known;
    const position = addSlot(node); // a node without elements, which no kernel writes
    positions.set(node, position);
    if (outlives.has(node)) fresh.push(position);
    return position;
  };

  const launches = steps.map((step, time): Launch => {
    const inputs = step.inputs.map(positionOf);
    const inherited = new Set<number>();
    const outputs = step.outputs.map((node, output) => {
      const heir = inherit(step, time, output, inherited);
      if (heir !== undefined) inherited.add(heir);
      const position = heir ?? place(node);
      positions.set(node, position);
      return position;
    });
    for (const input of new Set(step.inputs)) {
      const position = positions.get(input) as number;
      if (lastUse.get(input) !== time || inherited.has(position) || outlives.has(input)) continue;
      if (position >= externals.length) free.push(position);
      else if (donated.has(input)) freeDonations.push(position);
    }
    for (const output of step.outputs) {
      if (!lastUse.has(output) && !outlives.has(output)) free.push(positions.get(output) as number);
    }
    return {
      kernel: step.kernel,
      inputs,
      inputTypes: step.inputs.map(({ dtype }) => dtype),
      outputs,
      outputTypes: step.outputs.map(({ dtype }) => dtype),
    };
  });
  wanted.forEach(positionOf);
  return {
    launches,
    externals,
    slots,
    fresh,
    outputs: new Map(wanted.map((node) => [node, positions.get(node) as number])),
    leastBytes: mostAlive(
      steps,
      lastUse,
      (node) => outlives.has(node),
      (node) => (positions.get(node) as number) < externals.length,
    ),
  };
}

/** The most bytes of values alive at once, but for those that took over the memory of a leaf. */
function mostAlive(
  steps: readonly Step[],
  lastUse: ReadonlyMap<Node, number>,
  outlives: (node: Node) => boolean,
  inLeaf: (node: Node) => boolean,
): number {
  const sizeAt = (node: Node) => (inLeaf(node) ? 0 : bytesOf(node) * sizeOf(node.shape));
  let [alive, most] = [0, 0];
  steps.forEach((step, time) => {
    const { inputs, outputs } = step;
    const ends = [...new Set([...inputs, ...outputs])].filter(
      (node) => !isLeaf(node) && !outlives(node) && (lastUse.get(node) ?? time) === time,
    );
    const made = outputs.reduce((sum, node) => sum + sizeAt(node), 0);
    const gone = ends.reduce((sum, node) => sum + sizeAt(node), 0);
    const overwritten = inputs.filter((node, number) => ends.includes(node) && mayOverwrite(step, number));
    // An output in the place of an input that ends here takes nothing.
    const shared = Math.min(
      made,
      overwritten.reduce((sum, node) => sum + sizeAt(node), 0),
    );
    most = Math.max(most, alive + made - shared);
    alive += made - gone;
  });
  return most;
}
