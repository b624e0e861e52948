/**
 * One kernel for many small tensors: elementwise steps that compute the same on different tensors, and do not wait for each
 * other, become one foreach. The updates of an optimizer are such steps, one for each parameter; starting a kernel for each
 * takes longer than what it computes. What is computed does not change.
 *
 * Large tensors stay by themselves: there is nothing to gain, and what they are made of would be alive for longer.
 */
import {
  type Affine,
  contiguousStrides,
  type ForeachKernel,
  type Instruction,
  launchKey,
  type Shape,
  sizeOf,
} from '@clipin/kernel';
import type { Node } from '../node';
import type { Step } from './build';
import { StepList } from './step-list';

/** The most elements of a tensor that is taken together with others. */
const mostElements = 2 ** 16;

/** An elementwise step as work along one axis. */
interface FlatStep {
  readonly length: number;
  readonly program: readonly Instruction[];
  readonly stores: readonly number[];
  readonly inputs: readonly Node[];
}

/** The same work in fewer steps, in an order in which they can run. */
export function foreachSteps(steps: readonly Step[]): Step[] {
  const flat = steps.map(flatten);
  const alike = new Map<string, number[]>();
  steps.forEach((step, place) => {
    const found = flat[place];
    if (!found) return;
    const key = keyOf(found, step.outputs);
    const places = alike.get(key);
    if (places) places.push(place);
    else alike.set(key, [place]);
  });
  const candidates = [...alike.values()].filter((places) => places.length > 1);
  if (candidates.length === 0) return [...steps];
  const list = new StepList(steps.map((step) => ({ step })));
  for (const places of candidates) {
    for (const { members, place } of groupsOf(list, places)) {
      const parts = [...members].map((at) => flat[at] as FlatStep);
      const outputs = [...members].flatMap((at) => (steps[at] as Step).outputs);
      list.replace([...members], place, { step: { ...join(parts), outputs } });
    }
  }
  return list.steps();
}

/** The step as work along one axis, if it is elementwise, small, and reads whole tensors as they lie, or single elements. */
function flatten({ kernel, inputs }: Step): FlatStep | undefined {
  if (kernel.kind !== 'loop' || kernel.reduction || sizeOf(kernel.axes) > mostElements) return undefined;
  const length = sizeOf(kernel.axes);
  const read: Node[] = [];
  const program: Instruction[] = [];
  for (const step of kernel.program) {
    if (step.op !== 'load' && step.op !== 'index') {
      program.push(step);
      continue;
    }
    const index = alongOneAxis(step.index, kernel.axes);
    if (!index) return undefined;
    if (step.op === 'index') {
      program.push({ ...step, index });
      continue;
    }
    if (step.guards.length > 0 || step.gather) return undefined;
    const [stride] = index.strides as [number];
    const whole = index.offset === 0 && (stride === 1 || length === 1);
    if (!whole && stride !== 0) return undefined;
    const node = inputs[step.input] as Node;
    const known = read.indexOf(node);
    const input = known >= 0 ? known : read.push(node) - 1;
    program.push({ ...step, input, index: whole ? { offset: 0, strides: [1] } : index });
  }
  return { length, program, stores: kernel.stores, inputs: read };
}

/** An affine function of a position in these axes as one of its number in row-major order. */
function alongOneAxis({ offset, strides }: Affine, axes: Shape): Affine | undefined {
  const whole = contiguousStrides(axes);
  const long = axes.map((_, axis) => axis).filter((axis) => (axes[axis] as number) > 1);
  const last = long[long.length - 1];
  if (last === undefined) return { offset, strides: [0] };
  const stride = (strides[last] as number) / (whole[last] as number);
  const follows = long.every((axis) => strides[axis] === stride * (whole[axis] as number));
  return follows ? { offset, strides: [stride] } : undefined;
}

/** A text that is equal for steps that compute the same, each on its tensors. */
const keyOf = ({ program, stores, inputs }: FlatStep, outputs: readonly Node[]): string =>
  launchKey({
    kernel: { kind: 'loop', axes: [], program, stores },
    ...{ inputs: [], inputTypes: inputs.map(({ dtype }) => dtype) },
    ...{ outputs: [], outputTypes: outputs.map(({ dtype }) => dtype) },
  });

/** Steps that can all run at one place. */
interface Group {
  readonly members: Set<number>;
  place: number;
  /** The first place at which a result of theirs is read. */
  deadline: number;
}

/**
 * Goes along steps that compute the same, in their order. A step joins the group before it at its own place, if nobody has
 * read the group's results by then, or at the group's, if all that it reads is there.
 */
function* groupsOf(list: StepList<{ readonly step: Step }>, places: readonly number[]): Generator<Group> {
  let group: Group | undefined;
  for (const place of places) {
    const { inputs, outputs } = (list.at(place) as { step: Step }).step;
    const deadline = outputs.reduce(
      (first, node) => list.readersOf(node).reduce((a, b) => Math.min(a, b), first),
      Number.POSITIVE_INFINITY,
    );
    const makers = inputs.map((node) => list.placeOf(node));
    if (group && place < group.deadline) group.place = place;
    else if (!group || makers.some((at) => at >= (group as Group).place || group?.members.has(at))) {
      if (group && group.members.size > 1) yield group;
      group = { members: new Set([place]), place, deadline };
      continue;
    }
    group.members.add(place);
    group.deadline = Math.min(group.deadline, deadline);
  }
  if (group && group.members.size > 1) yield group;
}

/** The foreach over these steps. */
function join(parts: readonly FlatStep[]): Pick<Step, 'inputs'> & { readonly kernel: ForeachKernel } {
  const { program, stores, inputs } = parts[0] as FlatStep;
  const whole = new Set(
    program.flatMap((step) => (step.op === 'load' && step.index.strides[0] === 1 ? [step.input] : [])),
  );
  const isShared = inputs.map(
    (node, input) => !whole.has(input) && parts.every((part) => part.inputs[input] === node),
  );
  const numbers = inputs.map((_, input) => input);
  const shared = numbers.filter((input) => isShared[input]);
  const own = numbers.filter((input) => !isShared[input]);
  const order = [...shared, ...own];
  return {
    kernel: {
      kind: 'foreach',
      lengths: parts.map(({ length }) => length),
      ...{ shared: shared.length, own: own.length, stores },
      program: program.map((step) =>
        step.op === 'load' ? { ...step, input: order.indexOf(step.input) } : step,
      ),
    },
    inputs: [
      ...shared.map((input) => inputs[input] as Node),
      ...parts.flatMap((part) => own.map((input) => part.inputs[input] as Node)),
    ],
  };
}
