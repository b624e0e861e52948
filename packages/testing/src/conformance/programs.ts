/**
 * Random well-typed scalar programs.
 *
 * fast-check draws plain numbers (`LeafPick`, `StepPick`); `draft` turns them into instructions, each time taking the
 * next operation that fits the types and has an estimate. So every draw is a valid program, and shrinking works.
 */
import { type DType, dtypes, type Instruction, type ScalarOp, scalarOps, scalarResult } from '@clipin/kernel';
import fc from 'fast-check';
import { anyInteger, type Estimate, estimateScalar } from './estimate';
import type { BufferPlan, Fill } from './run-case';
import { type Movement, movements, viewOf } from './views';

/** A value that a program starts from. */
export interface LeafPick {
  readonly kind: 'load' | 'gather' | 'constant' | 'index';
  readonly dtype: DType;
  readonly real: boolean;
  readonly movements: readonly Movement[];
  readonly seed: number;
}

/** An operation on earlier values; its numbers are taken modulo what there is. */
export interface StepPick {
  readonly op: number;
  readonly args: readonly [number, number, number];
  readonly target: DType;
}

/** A program in the making, with the estimate of each instruction. */
export interface Draft {
  readonly program: Instruction[];
  readonly estimates: Estimate[];
}

/** Inputs of a kernel in the making: the buffers' plans, by input number. */
export type Inputs = BufferPlan[];

/** With three outputs, what a GPU binds to one kernel by default: eight buffers. */
const mostInputs = 5;

const dtypeNames = fc.constantFrom<DType>('f32', 'f32', 'f32', 'f16', 'i32', 'u32', 'bool');

/** Leaves with any views. */
export const leaves = fc.record<LeafPick>({
  kind: fc.constantFrom('load', 'load', 'load', 'gather', 'constant', 'index'),
  dtype: dtypeNames,
  real: fc.boolean(),
  movements,
  seed: fc.nat(1000),
});

/** Operations. */
export const steps = fc.record<StepPick>({
  op: fc.nat(Object.keys(scalarOps).length - 1),
  args: fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)),
  target: dtypeNames,
});

/** A plan of random contents for a buffer, and the estimate of its values. */
export function randomBuffer(
  dtype: DType,
  length: number,
  seed: number,
  real = false,
): { readonly plan: BufferPlan; readonly estimate: Estimate } {
  const [low, high] = {
    f32: seed % 3 === 0 ? [0.5, 4] : [-4, 4],
    f16: [-4, 4],
    i32: [-20, 20],
    u32: [0, 20],
    bool: [0, 1],
  }[dtype] as [number, number];
  const float = dtypes[dtype].kind === 'float';
  const kind: Fill['kind'] = !float ? 'integer' : real ? 'real' : 'grid';
  const step = !float ? 1 : real ? 0 : 2 ** -3;
  return {
    plan: { dtype, length, fill: { kind, low, high, seed } },
    estimate: { low, high, error: 0, step },
  };
}

const orZero = (estimate: Estimate): Estimate => ({
  ...estimate,
  low: Math.min(0, estimate.low),
  high: Math.max(0, estimate.high),
});

/** Adds an instruction; gives its number. */
export function append(draft: Draft, instruction: Instruction, estimate: Estimate): number {
  draft.estimates.push(estimate);
  return draft.program.push(instruction) - 1;
}

function constantLeaf(draft: Draft, { dtype, seed }: LeafPick): void {
  const eighths = ((seed % 65) - 32) / 8;
  const value = { f32: eighths, f16: eighths, i32: (seed % 21) - 10, u32: seed % 21, bool: seed % 2 }[dtype];
  const step = dtypes[dtype].kind === 'float' ? 2 ** -3 : 1;
  append(draft, { op: 'constant', dtype, value }, { low: value, high: value, error: 0, step });
}

function indexLeaf(draft: Draft, axes: readonly number[], seed: number): void {
  const index = { offset: (seed % 7) - 3, strides: axes.map((_, axis) => ((seed >> axis) % 5) - 2) };
  const bound = index.strides.reduce(
    (sum, stride, axis) => sum + Math.abs(stride * (axes[axis] as number)),
    3,
  );
  append(draft, { op: 'index', dtype: 'i32', index }, { low: -bound, high: bound, error: 0, step: 1 });
}

function loadLeaf(draft: Draft, inputs: Inputs, axes: readonly number[], leaf: LeafPick): void {
  const { index, guards, length } = viewOf(axes, leaf.movements);
  const { plan, estimate } = randomBuffer(leaf.dtype, length, leaf.seed, leaf.real);
  const input = inputs.push(plan) - 1;
  append(
    draft,
    { op: 'load', dtype: leaf.dtype, input, index, guards },
    guards.length > 0 ? orZero(estimate) : estimate,
  );
}

/** A load whose row (or column) is read from another input; some of the numbers are out of range. */
function gatherLeaf(draft: Draft, inputs: Inputs, axes: readonly number[], leaf: LeafPick): void {
  const size = 1 + (leaf.seed % 6);
  const signed = leaf.seed % 2 === 0;
  const indices = viewOf(axes, leaf.movements);
  const dtype = signed ? 'i32' : 'u32';
  const fill: Fill = { kind: 'integer', low: signed ? -2 : 0, high: size + 2, seed: leaf.seed };
  const input = inputs.push({ dtype, length: indices.length, fill }) - 1;
  const { index, guards } = indices;
  const at = append(draft, { op: 'load', dtype, input, index, guards }, anyInteger(dtype));
  const inner = viewOf(axes, [...leaf.movements].reverse());
  const byColumn = leaf.seed % 4 === 0;
  const position = byColumn
    ? { offset: inner.index.offset * size, strides: inner.index.strides.map((stride) => stride * size) }
    : inner.index;
  const { plan, estimate } = randomBuffer(leaf.dtype, inner.length * size, leaf.seed + 1, leaf.real);
  append(
    draft,
    {
      op: 'load',
      dtype: leaf.dtype,
      input: inputs.push(plan) - 1,
      index: position,
      guards: inner.guards,
      gather: { at, stride: byColumn ? 1 : inner.length, size },
    },
    orZero(estimate),
  );
}

function addLeaf(draft: Draft, inputs: Inputs, axes: readonly number[], leaf: LeafPick): void {
  const free = mostInputs - inputs.length;
  if (leaf.kind === 'index') indexLeaf(draft, axes, leaf.seed);
  else if (leaf.kind === 'gather' && free >= 2) gatherLeaf(draft, inputs, axes, leaf);
  else if (leaf.kind !== 'constant' && free >= 1) loadLeaf(draft, inputs, axes, leaf);
  else constantLeaf(draft, leaf);
}

const ops = Object.keys(scalarOps) as ScalarOp[];

const typeOf = (draft: Draft, step: number): DType => (draft.program[step] as Instruction).dtype;

/** Arguments for `op` among the values there are, or `undefined`. Small numbers mean recent values. */
function findArguments(
  draft: Draft,
  op: ScalarOp,
  [first, second, third]: readonly number[],
): number[] | undefined {
  const pick = (number = 0, dtype?: DType): number | undefined => {
    const fitting = draft.program
      .map((_, step) => step)
      .filter((step) => !dtype || typeOf(draft, step) === dtype);
    return fitting[fitting.length - 1 - (number % Math.max(1, fitting.length))];
  };
  const a = pick(first);
  if (a === undefined) return undefined;
  if (scalarOps[op].arity === 1) return [a];
  const b = pick(second, typeOf(draft, a)) ?? a;
  if (scalarOps[op].arity === 2) return [a, b];
  const condition = pick(third, 'bool');
  return condition === undefined ? undefined : [condition, a, b];
}

function tryStep(draft: Draft, op: ScalarOp, pick: StepPick): boolean {
  const args = findArguments(draft, op, pick.args);
  if (!args) return false;
  const types = args.map((arg) => typeOf(draft, arg));
  const from = types[types.length - 1] as DType;
  if (!(scalarOps[op].kinds as readonly string[]).includes(dtypes[from].kind)) return false;
  if (from === 'f16' && op !== 'cast' && op !== 'select') return false;
  if (op === 'bitcast' && (pick.target === 'bool' || pick.target === 'f16')) return false;
  const dtype = scalarResult(op, types, pick.target);
  const estimates = args.map((arg) => draft.estimates[arg] as Estimate);
  const estimate = estimateScalar(op, from, dtype, estimates);
  if (!estimate) return false;
  append(draft, { op, dtype, args }, estimate);
  return true;
}

/** Adds to a draft over `axes` what these picks make. */
export function extendDraft(
  draft: Draft,
  inputs: Inputs,
  axes: readonly number[],
  leafPicks: readonly LeafPick[],
  stepPicks: readonly StepPick[],
): void {
  for (const leaf of leafPicks) addLeaf(draft, inputs, axes, leaf);
  for (const pick of stepPicks) {
    for (let turn = 0; turn < ops.length; turn++) {
      if (tryStep(draft, ops[(pick.op + turn) % ops.length] as ScalarOp, pick)) break;
    }
  }
}

/** The program that these picks make over `axes`; `reduced` is the result of a fold or product before it. */
export function draftProgram(
  inputs: Inputs,
  axes: readonly number[],
  leafPicks: readonly LeafPick[],
  stepPicks: readonly StepPick[],
  reduced?: { readonly dtype: DType; readonly estimate: Estimate },
): Draft {
  const draft: Draft = { program: [], estimates: [] };
  if (reduced) append(draft, { op: 'reduced', dtype: reduced.dtype }, reduced.estimate);
  extendDraft(draft, inputs, axes, leafPicks, stepPicks);
  return draft;
}
