/**
 * The derivative of every primitive, one short function each, in reverse mode: from the gradient of the result to those
 * of the inputs. An operation without a rule does not compile.
 */

import { dtypes, type ScalarOp, sizeOf } from '@clipin/kernel';
import {
  type AttentionOptions,
  attentionBackward,
  type Entry,
  type Operation,
  type Range,
  type Routine,
  type Tensor,
  where,
  zerosLike,
} from '@clipin/tensor';
import { attentionBackwardInParts } from './attention';
import type { Gradients } from './tape';

/** One gradient in, one for each input out. */
type SingleRule = (gradient: Tensor, inputs: readonly Tensor[], output: Tensor) => Gradients;

const nothing: SingleRule = () => [];

/** Gradient of `max(a, b)` and, with the two exchanged, of `min`: ties share it. */
const toLarger = (gradient: Tensor, larger: Tensor, smaller: Tensor): Tensor =>
  gradient.mul(where(larger.equal(smaller), 0.5, smaller.less(larger).cast('f32')));

const scalarRules: Record<
  ScalarOp,
  (gradient: Tensor, a: Tensor, b: Tensor, c: Tensor, output: Tensor) => Gradients
> = {
  negate: (g) => [g.neg()],
  abs: (g, x) => [where(x.less(0), g.neg(), where(x.greater(0), g, 0))],
  floor: () => [],
  sqrt: (g, _a, _b, _c, y) => [g.div(y.mul(2))],
  exp: (g, _a, _b, _c, y) => [g.mul(y)],
  log: (g, x) => [g.div(x)],
  sin: (g, x) => [g.mul(x.cos())],
  cos: (g, x) => [g.mul(x.sin()).neg()],
  tanh: (g, _a, _b, _c, y) => [g.mul(y.square().neg().add(1))],
  erf: (g, x) => [g.mul(x.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
  not: () => [],
  cast: (g, x) => [dtypes[x.dtype].kind === 'float' ? g.cast(x.dtype) : undefined],
  bitcast: () => [],
  add: (g) => [g, g],
  subtract: (g) => [g, g.neg()],
  multiply: (g, a, b) => [g.mul(b), g.mul(a)],
  divide: (g, _a, b, _c, y) => [g.div(b), g.mul(y).div(b).neg()],
  remainder: () => [],
  max: (g, a, b) => [toLarger(g, a, b), toLarger(g, b, a)],
  min: (g, a, b) => [toLarger(g, b, a), toLarger(g, a, b)],
  less: () => [],
  lessEqual: () => [],
  equal: () => [],
  and: () => [],
  or: () => [],
  xor: () => [],
  shiftLeft: () => [],
  shiftRight: () => [],
  select: (g, condition) => [undefined, where(condition, g, 0), where(condition, 0, g)],
};

type Kind<K extends Operation['kind']> = Extract<Operation, { readonly kind: K }>;

const permute = ({ order }: Kind<'permute'>, g: Tensor): Gradients => [
  g.transpose(order.map((_, axis) => order.indexOf(axis))),
];

const expand: SingleRule = (g, [x]) => {
  const { shape } = x as Tensor;
  const grown = shape.map((_, axis) => axis).filter((axis) => shape[axis] === 1 && g.shape[axis] !== 1);
  return [g.sum(grown, { keepDims: true })];
};

/** Elements back to where they were taken from, zeros between and around. */
function slice({ start, step }: Kind<'slice'>, g: Tensor, x: Tensor): Gradients {
  const backwards = step.map((by, axis) => (by < 0 ? axis : -1)).filter((axis) => axis >= 0);
  const counts = g.shape;
  let spread = backwards.length > 0 ? g.flip(backwards) : g;
  step.forEach((by, axis) => {
    if (Math.abs(by) > 1) spread = withZerosBetween(spread, axis, Math.abs(by));
  });
  const widths = x.shape.map((n, axis) => {
    const [from, by, count] = [start[axis] as number, step[axis] as number, counts[axis] as number];
    const before = count === 0 ? 0 : by > 0 ? from : from + (count - 1) * by;
    return [before, n - before - (spread.shape[axis] as number)] as const;
  });
  return [spread.pad(widths)];
}

/** `a 0 0 b 0 0 c` from `a b c` for a step of 3. */
function withZerosBetween(x: Tensor, axis: number, step: number): Tensor {
  const count = x.shape[axis] as number;
  if (count === 0) return x;
  const [outer, inner] = [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis + 1))];
  const wide = x.reshape([outer, count, 1, inner]).pad([
    [0, 0],
    [0, 0],
    [0, step - 1],
    [0, 0],
  ]);
  const length = (count - 1) * step + 1;
  const long = wide.reshape([outer, count * step, inner]).slice([], [0, length]);
  return long.reshape(x.shape.map((n, a) => (a === axis ? length : n)));
}

const pad = ({ before }: Kind<'pad'>, g: Tensor, x: Tensor): Gradients => [
  g.slice(...before.map((width, axis): Range => [width, width + (x.shape[axis] as number)])),
];

function reduce({ op, axes }: Kind<'reduce'>, g: Tensor, x: Tensor, y: Tensor): Gradients {
  const kept = x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n));
  const gradient = g.reshape(kept);
  if (op === 'sum') return [gradient.expand(x.shape)];
  if (op === 'product') {
    // The product of all the other factors, also where one of them is 0.
    const zero = x.equal(0);
    const zeros = zero.cast('f32').sum(axes, { keepDims: true });
    const others = where(zero, 1, x).product(axes, { keepDims: true });
    const slope = where(zero, where(zeros.equal(1), others, 0), where(zeros.equal(0), others.div(x), 0));
    return [gradient.mul(slope)];
  }
  const chosen = x.equal(y.reshape(kept)).cast('f32');
  return [gradient.mul(chosen).div(chosen.sum(axes, { keepDims: true }))];
}

const matmul: SingleRule = (g, [a, b]) => [
  g.matmul((b as Tensor).swapAxes(-1, -2)),
  (a as Tensor).swapAxes(-1, -2).matmul(g),
];

/** A pullback of attention's derivative, given to the rule so that it can differentiate a composition. */
export type PullBack = (
  f: (...args: Tensor[]) => Tensor[],
  primals: readonly Tensor[],
  gradients: readonly Tensor[],
) => Tensor[];

function attentionRule(
  routine: Exclude<Routine, { kind: 'scatterAdd' }>,
  entry: Entry,
  gradients: Gradients,
  pullBack: PullBack,
): Gradients {
  const inputs = [...entry.inputs];
  const mask = routine.masked ? inputs.pop() : undefined;
  const options: AttentionOptions = { scale: routine.scale, causal: routine.causal, ...(mask && { mask }) };
  const [query, key, value] = inputs as [Tensor, Tensor, Tensor];
  if (routine.kind === 'attention') {
    const [result, logSumExp] = entry.outputs as [Tensor, Tensor];
    const [gradient, other] = gradients;
    if (other) throw new Error('attention: logSumExp has no derivative rule; differentiate the result alone');
    return gradient ? attentionBackward({ query, key, value, result, logSumExp }, gradient, options) : [];
  }
  const gradient = inputs[5] as Tensor;
  const seeds = entry.outputs.map((output, i) => gradients[i] ?? zerosLike(output));
  const [q, k, v, g] = pullBack(
    (...args) => attentionBackwardInParts(args as [Tensor, Tensor, Tensor, Tensor], options),
    [query, key, value, gradient],
    seeds,
  );
  return [q, k, v, undefined, undefined, g];
}

/**
 * Gradients of an operation's inputs.
 *
 * @param pullBack - derivative of a composition, for routines whose own derivative is one
 */
export function applyRule(entry: Entry, gradients: Gradients, pullBack: PullBack): Gradients {
  const { operation, inputs, outputs } = entry;
  const [x, y, z] = inputs as [Tensor, Tensor, Tensor];
  const output = outputs[0] as Tensor;
  if (operation.kind === 'routine' && operation.call.routine.kind !== 'scatterAdd') {
    return attentionRule(operation.call.routine, entry, gradients, pullBack);
  }
  const gradient = gradients[0];
  if (!gradient) return [];
  switch (operation.kind) {
    case 'scalar':
      return scalarRules[operation.op](gradient, x, y, z, output);
    case 'reshape':
      return [gradient.reshape(x.shape)];
    case 'permute':
      return permute(operation, gradient);
    case 'expand':
      return expand(gradient, inputs, output);
    case 'slice':
      return slice(operation, gradient, x);
    case 'pad':
      return pad(operation, gradient, x);
    case 'reduce':
      return reduce(operation, gradient, x, output);
    case 'matmul':
      return matmul(gradient, inputs, output);
    case 'gather':
      return [
        gradient.scatterAdd(y, x.shape[operation.batchDims] as number, { batchDims: operation.batchDims }),
      ];
    case 'routine': {
      const { routine } = operation.call;
      return routine.kind === 'scatterAdd'
        ? [undefined, gradient.gather(x, { batchDims: routine.batchDims })]
        : [];
    }
    case 'buffer':
    case 'parameter':
    case 'constant':
    case 'iota':
      return nothing(gradient, inputs, output);
  }
}
