/**
 * Elementwise work before a product goes into it: an operand that only this product reads becomes a program, computed where
 * the product reads it. Scaled or masked matrices, one-hot rows, gathered or padded ones are then never stored.
 *
 * That pays where each element is computed once. A product computes blocks of its result, and an operand anew for each
 * block that reads it, so the other side must fit into one block: thin products, which take little longer than the
 * reading of their operands, win most. What several kernels read is stored as before: to compute it in each of two
 * products takes longer than to store it once.
 */
import {
  type Affine,
  type DeviceLimits,
  type Instruction,
  type LoopKernel,
  type MatmulKernel,
  mapAffines,
  type Operand,
  type Producer,
  sizeOf,
} from '@clipin/kernel';
import type { Node } from '../node';
import type { Step } from './build';
import { combine, unflatten } from './coordinates';
import { StepList } from './step-list';

/** The most instructions of an operand's program. */
const mostInstructions = 64;
/** So many times more rows than columns (or columns than rows) leave enough blocks that are cut along these alone. */
const thin = 4;

type Product = MatmulKernel<Operand | Producer>;
type Side = 'a' | 'b';

/** The same work, with operands of products computed inside them where that pays; `asked` is what must be stored. */
export function fuseOperands(steps: readonly Step[], asked: ReadonlySet<Node>, limits: DeviceLimits): Step[] {
  if (limits.operandBlock === 0) return [...steps];
  const list = new StepList(steps.map((step) => ({ step })));
  for (let place = 0; place < list.length; place++)
    for (const side of ['a', 'b'] as const) takeIn(list, place, side, asked, limits);
  return list.steps();
}

function takeIn(
  list: StepList<{ readonly step: Step }>,
  place: number,
  side: Side,
  asked: ReadonlySet<Node>,
  limits: DeviceLimits,
): void {
  const product = list.at(place)?.step;
  if (product?.kernel.kind !== 'matmul' || !computesOnce(product.kernel, side, limits)) return;
  const operand = product.kernel[side];
  if (!('input' in operand)) return;
  const node = product.inputs[operand.input] as Node;
  const from = list.placeOf(node);
  const maker = list.at(from)?.step;
  if (maker?.kernel.kind !== 'loop' || maker.kernel.reduction || maker.outputs.length > 1) return;
  const readers = list.readersOf(node);
  if (
    node.dtype !== 'f32' ||
    asked.has(node) ||
    readers.length > 1 ||
    readsElsewhere(product.kernel, side, operand.input)
  )
    return;
  if (keepsLonger(list, maker, place, asked) > sizeOf(node.shape)) return;
  const extents = extentsOf(product.kernel, side);
  const program = programAt(maker.kernel, operand, extents);
  if (!program?.every((step) => walksSums(step, side, extents.length))) return;
  const joined = join(product, side, maker, program);
  if (joined && joined.inputs.length + joined.outputs.length <= limits.kernelBuffers)
    list.replace([from, place], place, { step: joined });
}

/** Whether the device computes each element of an operand once. */
function computesOnce({ batch, m, n }: Product, side: Side, { operandBlock }: DeviceLimits): boolean {
  const [across, along] = side === 'a' ? [n, m] : [m, n];
  return across <= operandBlock && sizeOf(batch) * along >= thin * across;
}

/**
 * Whether a load goes along the sums, in the order of memory, or stands still: a block of a thin product reads whole lines of
 * memory then; the other way round it reads a little of each.
 */
const walksSums = (step: Instruction, side: Side, rank: number): boolean =>
  step.op !== 'load' || Math.abs(step.index.strides[rank - (side === 'a' ? 1 : 2)] as number) <= 1;

const extentsOf = ({ batch, m, n, k }: Product, side: Side): readonly number[] =>
  side === 'a' ? [...batch, m, k] : [...batch, k, n];

/** Whether a product reads an input in other places than as this operand. */
function readsElsewhere(kernel: Product, side: Side, input: number): boolean {
  const other = kernel[side === 'a' ? 'b' : 'a'];
  const loads = 'input' in other ? kernel.program : [...kernel.program, ...other.program];
  return (
    ('input' in other && other.input === input) ||
    loads.some((step) => step.op === 'load' && step.input === input)
  );
}

/** Elements that could be freed before a place, but not if what reads them runs only there. */
function keepsLonger(
  list: StepList<{ readonly step: Step }>,
  { inputs }: Step,
  place: number,
  asked: ReadonlySet<Node>,
): number {
  const ends = inputs.filter(
    (input) =>
      list.placeOf(input) >= 0 &&
      !asked.has(input) &&
      list.readersOf(input).every((reader) => reader < place),
  );
  return ends.reduce((sum, input) => sum + sizeOf(input.shape), 0);
}

/** The program of a loop at the places where an operand reads its result, if it can be said there and is not repeated. */
function programAt(
  { axes, program, stores }: LoopKernel,
  { index }: Operand,
  extents: readonly number[],
): readonly Instruction[] | undefined {
  const result = stores[0] as number;
  if (result >= mostInstructions || sizeOf(extents) > sizeOf(axes)) return undefined;
  const coordinates = unflatten(index, axes, extents);
  if (!coordinates) return undefined;
  const change = ({ offset, strides }: Affine): Affine => {
    const moved = combine(coordinates, strides, extents.length);
    return { ...moved, offset: moved.offset + offset };
  };
  return mapAffines(program.slice(0, result + 1), change);
}

/** The product with an operand that is a program over the inputs of `maker`. */
function join(product: Step, side: Side, maker: Step, program: readonly Instruction[]): Step | undefined {
  const { kernel } = product;
  if (kernel.kind !== 'matmul') return undefined;
  const inputs: Node[] = [];
  const numberOf = (node: Node | undefined): number => {
    if (!node) throw new RangeError('a kernel reads an input that it does not have');
    const known = inputs.indexOf(node);
    return known >= 0 ? known : inputs.push(node) - 1;
  };
  const renumber = (steps: readonly Instruction[], own: readonly Node[]): Instruction[] =>
    steps.map((step) => (step.op === 'load' ? { ...step, input: numberOf(own[step.input]) } : step));
  const operand = (of: Operand | Producer): Operand | Producer =>
    'input' in of
      ? { ...of, input: numberOf(product.inputs[of.input]) }
      : { program: renumber(of.program, product.inputs) };
  const made: Producer = { program: renumber(program, maker.inputs) };
  const a = side === 'a' ? made : operand(kernel.a);
  const b = side === 'b' ? made : operand(kernel.b);
  const body = renumber(kernel.program, product.inputs);
  return { ...product, kernel: { ...kernel, a, b, program: body }, inputs };
}
