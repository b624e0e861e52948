/**
 * One kernel for many small tensors: elementwise steps that compute the same on different tensors, and do not wait for each
 * other, become one foreach. The updates of an optimizer are such steps, one for each parameter; starting a kernel for each
 * takes longer than what it computes. What is computed does not change.
 *
 * Large tensors stay by themselves: there is nothing to gain, and what they are made of would be alive for longer.
 */
import { type Instruction, type LoopKernel, type Shape, sizeOf } from '@clipin/kernel';
import type { Node } from '../node';
import type { Step } from './build';
import { StepList } from './step-list';

/** The most elements of a tensor that is taken together with others. */
const mostElements = 2 ** 16;

/** The most elements of one kernel's tensors together: what its place keeps alive for longer is no more, of each input or result. */
const mostTogether = 2 ** 22;

/** What an elementwise step computes along one axis, but for its tensors, and these. */
interface FlatStep {
  readonly step: Step;
  readonly length: number;
  /** Equal for steps that compute the same. */
  readonly text: string;
  /** In the order of their first loads. */
  readonly inputs: readonly Node[];
}

/** The same work in fewer steps, in an order in which they can run. */
export function foreachSteps(steps: readonly Step[]): Step[] {
  const flat = steps.map(flatten);
  const alike = new Map<string, number[]>();
  flat.forEach((found, place) => {
    if (!found) return;
    const places = alike.get(found.text);
    if (places) places.push(place);
    else alike.set(found.text, [place]);
  });
  const candidates = [...alike.values()].filter((places) => places.length > 1);
  if (candidates.length === 0) return [...steps];
  const list = new StepList(steps.map((step) => ({ step })));
  for (const places of candidates) {
    for (const { members, place } of groupsOf(list, places, flat)) {
      const parts = [...members].map((at) => flat[at] as FlatStep);
      list.replace([...members], place, { step: join(parts) });
    }
  }
  return list.steps();
}

/** The step as work along one axis, if it is elementwise, small, and reads whole tensors as they lie, or single elements. */
function flatten(step: Step): FlatStep | undefined {
  const { kernel } = step;
  if (kernel.kind !== 'loop' || kernel.reduction) return undefined;
  const length = sizeOf(kernel.axes);
  if (length > mostElements) return undefined;
  const inputs: Node[] = [];
  let text = `${kernel.stores}`;
  for (const instruction of kernel.program) {
    const stride = strideOf(instruction, kernel.axes);
    if (stride === undefined) return undefined;
    if (instruction.op === 'load') {
      const node = step.inputs[instruction.input] as Node;
      if (!inputs.includes(node)) inputs.push(node);
      text += `;load ${instruction.dtype} ${inputs.indexOf(node)} ${instruction.index.offset} ${stride}`;
    } else text += `;${textOf(instruction)} ${stride}`;
  }
  return { step, length, text, inputs };
}

/** An instruction but for its affine functions and inputs; faster than JSON, which has no −0 either. */
function textOf(instruction: Instruction): string {
  const { op, dtype } = instruction;
  if (op === 'constant') {
    const { value } = instruction;
    return `${dtype} ${Object.is(value, -0) ? '-0' : value}`;
  }
  if (op === 'index') return `index ${instruction.index.offset}`;
  return 'args' in instruction ? `${op} ${dtype} ${instruction.args}` : op;
}

/**
 * How far an instruction's position moves from one element to the next, in row-major order; 0 of those without one. `undefined`
 * where it does not move evenly, or loads neither a whole tensor as it lies nor one element.
 */
function strideOf(instruction: Instruction, axes: Shape): number | undefined {
  if (instruction.op !== 'load' && instruction.op !== 'index') return 0;
  const { offset, strides } = instruction.index;
  let size = 1;
  let stride: number | undefined;
  for (let axis = axes.length - 1; axis >= 0; axis--) {
    const extent = axes[axis] as number;
    if (extent === 1) continue;
    stride ??= strides[axis] as number;
    if (strides[axis] !== stride * size) return undefined;
    size *= extent;
  }
  if (instruction.op === 'index') return stride ?? 0;
  if (instruction.guards.length > 0 || instruction.gather) return undefined;
  // Of one element, the first is the whole tensor.
  if (offset === 0 && (stride ?? 1) === 1) return 1;
  return (stride ?? 0) === 0 ? 0 : undefined;
}

/** Steps that can all run at one place. */
interface Group {
  readonly members: Set<number>;
  place: number;
  /** The first place at which a result of theirs is read. */
  deadline: number;
  elements: number;
}

/**
 * Goes along steps that compute the same, in their order. A step joins the group before it at its own place, if nobody has
 * read the group's results by then, or at the group's, if all that it reads is there.
 */
function* groupsOf(
  list: StepList<{ readonly step: Step }>,
  places: readonly number[],
  flat: readonly (FlatStep | undefined)[],
): Generator<Group> {
  let group: Group | undefined;
  for (const place of places) {
    const { step, length } = flat[place] as FlatStep;
    const readers = step.outputs.flatMap((node) => list.readersOf(node));
    const deadline = readers.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const common = group && commonPlace(list, group, flat[place] as FlatStep, place);
    if (group && common !== undefined) {
      group.members.add(place);
      group.place = common;
      group.deadline = Math.min(group.deadline, deadline);
      group.elements += length;
      continue;
    }
    if (group && group.members.size > 1) yield group;
    group = { members: new Set([place]), place, deadline, elements: length };
  }
  if (group && group.members.size > 1) yield group;
}

/** Where a group and a step behind it can both run, if they fit together. */
function commonPlace(
  list: StepList<{ readonly step: Step }>,
  { members, place: before, deadline, elements }: Group,
  { step, length }: FlatStep,
  place: number,
): number | undefined {
  if (elements + length > mostTogether) return undefined;
  if (place < deadline) return place;
  const makers = step.inputs.map((node) => list.placeOf(node));
  return makers.every((at) => at < before && !members.has(at)) ? before : undefined;
}

/** The foreach over these steps. */
function join(parts: readonly FlatStep[]): Step {
  const [{ step: first, inputs }] = parts as readonly [FlatStep, ...FlatStep[]];
  const { axes, program, stores } = first.kernel as LoopKernel;
  const strides = program.map((instruction) => strideOf(instruction, axes) as number);
  const numberOf = (input: number) => inputs.indexOf(first.inputs[input] as Node);
  const whole = new Set(
    program.flatMap((step, at) => (step.op === 'load' && strides[at] === 1 ? [numberOf(step.input)] : [])),
  );
  const isShared = inputs.map(
    (node, input) => !whole.has(input) && parts.every((part) => part.inputs[input] === node),
  );
  const numbers = inputs.map((_, input) => input);
  const shared = numbers.filter((input) => isShared[input]);
  const own = numbers.filter((input) => !isShared[input]);
  const order = [...shared, ...own];
  const flat = program.map((step, at): Instruction => {
    if (step.op !== 'load' && step.op !== 'index') return step;
    const index = { offset: step.index.offset, strides: [strides[at] as number] };
    return step.op === 'load'
      ? { ...step, input: order.indexOf(numberOf(step.input)), index }
      : { ...step, index };
  });
  return {
    kernel: {
      kind: 'foreach',
      lengths: parts.map(({ length }) => length),
      ...{ shared: shared.length, own: own.length, program: flat, stores },
    },
    inputs: [
      ...shared.map((input) => inputs[input] as Node),
      ...parts.flatMap((part) => own.map((input) => part.inputs[input] as Node)),
    ],
    outputs: parts.flatMap(({ step }) => step.outputs),
  };
}
