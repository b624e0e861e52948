/**
 * Kernels with several results: elementwise work that reads another kernel's result element by element joins that kernel,
 * which then stores both. AdamW's two averages and its parameter become one kernel that reads each gradient once; a
 * product stores what its backward pass needs beside the activation of it. What is computed does not change.
 */
import {
  type Affine,
  type Body,
  type DeviceLimits,
  type Instruction,
  type LoopKernel,
  mapAffines,
  type Shape,
  sameShape,
  sizeOf,
} from '@clipin/kernel';
import type { Node } from '../node';
import type { Step } from './build';
import { InstructionList } from './instructions';
import { bodyAxes, readsOwnElement } from './own-element';
import { StepList } from './step-list';

/** The most instructions of a merged program. */
const mostInstructions = 400;

/** The same work in fewer steps, in an order in which they can run; `asked` is what must be stored in the end. */
export function mergeSteps(steps: readonly Step[], asked: ReadonlySet<Node>, limits: DeviceLimits): Step[] {
  const list = new StepList(steps.map((step) => ({ step })));
  for (let place = 0; place < list.length; place++) {
    for (let at: number | undefined = place; at !== undefined; ) at = mergeAt(list, at, limits);
  }
  return list.steps().map((step) => withoutUnread(step, (node) => asked.has(node) || list.isRead(node)));
}

/** The step without the stores that nobody reads any more. */
function withoutUnread(step: Step, isWanted: (node: Node) => boolean): Step {
  const { kernel, outputs } = step;
  if ((kernel.kind !== 'loop' && kernel.kind !== 'matmul') || outputs.every(isWanted)) return step;
  const stores = kernel.stores.filter((_, output) => isWanted(outputs[output] as Node));
  return { ...step, kernel: { ...kernel, stores }, outputs: outputs.filter(isWanted) };
}

type Steps = StepList<{ readonly step: Step }>;

/** Merges the step at a place with one whose result it reads; gives the place of both. */
function mergeAt(list: Steps, place: number, limits: DeviceLimits): number | undefined {
  const consumer = list.at(place)?.step;
  if (!consumer || !isElementwise(consumer.kernel)) return undefined;
  for (const input of consumer.inputs) {
    const before = list.placeOf(input);
    const producer = list.at(before)?.step;
    if (!producer) continue;
    const common = commonPlace(list, producer, before, consumer, place);
    const merged = common === undefined ? undefined : mergeBodies(producer, consumer, limits);
    if (common === undefined || !merged) continue;
    list.replace([before, place], common, { step: merged });
    return common;
  }
  return undefined;
}

/** Where both can run: late, if nobody in between waits for the producer, or early, if the consumer waits for nobody else. */
function commonPlace(
  list: Steps,
  producer: Step,
  before: number,
  consumer: Step,
  place: number,
): number | undefined {
  const waits = (node: Node) => list.readersOf(node).some((reader) => reader < place);
  if (!producer.outputs.some(waits)) return place;
  return consumer.inputs.every((node) => list.placeOf(node) <= before) ? before : undefined;
}

const isElementwise = (kernel: Step['kernel']): kernel is LoopKernel =>
  kernel.kind === 'loop' && !kernel.reduction;

/** One kernel that stores the results of both, if the consumer reads the producer's at its own element alone. */
function mergeBodies(producer: Step, consumer: Step, limits: DeviceLimits): Step | undefined {
  const { kernel: first } = producer;
  const { kernel: second } = consumer;
  if (!isElementwise(second) || (first.kind !== 'loop' && first.kind !== 'matmul')) return undefined;
  if (!readsOwnElement(second, (input) => producer.outputs.includes(consumer.inputs[input] as Node)))
    return undefined;
  const fixed = first.kind === 'matmul' || first.reduction !== undefined;
  const axes = fixed ? bodyAxes(first) : commonAxes(first.axes, second.axes);
  const secondProgram = axes && refine(second.program, second.axes, axes);
  const firstProgram = axes && (fixed ? first.program : refine(first.program, bodyAxes(first), axes));
  if (!axes || !firstProgram || !secondProgram) return undefined;

  const inputs = [...producer.inputs];
  const list = new InstructionList();
  const numbers = list.append(firstProgram, (input) => ({ input }));
  const own = list.append(secondProgram, (input) => {
    const node = consumer.inputs[input] as Node;
    const output = producer.outputs.indexOf(node);
    if (output >= 0) return { value: numbers[first.stores[output] as number] as number };
    const known = inputs.indexOf(node);
    return { input: known >= 0 ? known : inputs.push(node) - 1 };
  });
  const body: Body = {
    program: list.instructions,
    stores: [
      ...first.stores.map((store) => numbers[store] as number),
      ...second.stores.map((store) => own[store] as number),
    ],
  };
  const outputs = [...producer.outputs, ...consumer.outputs];
  const fits =
    inputs.length + outputs.length <= limits.kernelBuffers && body.program.length <= mostInstructions;
  if (!fits) return undefined;
  return {
    kernel: first.kind === 'loop' ? { ...first, axes, ...body } : { ...first, ...body },
    inputs,
    outputs,
  };
}

/** Products of the last axes, innermost first: where the axes divide the row-major order. */
const boundaries = (axes: Shape): number[] => axes.map((_, axis) => sizeOf(axes.slice(axis))).reverse();

/** The coarsest axes of which both are made, if there are such. */
function commonAxes(a: Shape, b: Shape): number[] | undefined {
  if (sameShape(a, b)) return [...a];
  if (sizeOf(a) !== sizeOf(b)) return undefined;
  const all = [...new Set([...boundaries(a), ...boundaries(b)])].filter((n) => n > 1).sort((x, y) => x - y);
  const axes = all.map((boundary, i) => boundary / (all[i - 1] ?? 1));
  return axes.every(Number.isInteger) ? axes.reverse() : undefined;
}

/** A program over `axes` as one over finer ones of the same elements; none where an axis does not divide. */
function refine(program: readonly Instruction[], axes: Shape, finer: Shape): Instruction[] | undefined {
  if (sizeOf(axes) !== sizeOf(finer)) return undefined;
  const own = boundaries(axes).reverse();
  const inner = [...own.slice(1), 1];
  // For each finer axis, the axis that it is a part of, and how far it goes in it.
  const parts = finer.map((size, axis) => {
    const step = sizeOf(finer.slice(axis + 1));
    const of = own.findIndex((end, i) => step >= (inner[i] as number) && step * size <= end);
    return { of, factor: step / (inner[of] ?? 1) };
  });
  const whole = parts.every(
    ({ of, factor }, axis) => finer[axis] === 1 || (of >= 0 && Number.isInteger(factor)),
  );
  if (!whole) return undefined;
  const change = ({ offset, strides }: Affine): Affine => ({
    offset,
    strides: parts.map(({ of, factor }, axis) => (finer[axis] === 1 ? 0 : (strides[of] as number) * factor)),
  });
  return mapAffines(program, change);
}
