/** Random loop nests, reductions and matrix products, with their data and the errors to allow. */
import {
  type DType,
  type Instruction,
  type Kernel,
  type Operand,
  type Producer,
  type ReduceOp,
  sizeOf,
} from '@clipin/kernel';
import fc from 'fast-check';
import { type Estimate, estimateFold, estimateMatmul } from './estimate';
import {
  append,
  type Draft,
  draftProgram,
  type Inputs,
  type LeafPick,
  leaves,
  randomBuffer,
  type StepPick,
  steps,
} from './programs';
import type { KernelCase } from './run-case';
import { type Movement, shapes, unguardedMovements, viewOf } from './views';

/** What a body is made of. */
export interface BodyPick {
  readonly leaves: readonly LeafPick[];
  readonly steps: readonly StepPick[];
  /** Values to store beside the last one. */
  readonly stores: readonly number[];
}

/** Bodies of at least so many leaves. */
export const bodies = (least: number): fc.Arbitrary<BodyPick> =>
  fc.record({
    leaves: fc.array(leaves, { minLength: least, maxLength: 3 }),
    steps: fc.array(steps, { maxLength: 8 }),
    stores: fc.array(fc.nat(9), { maxLength: 2 }),
  });

const lastOf = ({ program }: Draft): number => program.length - 1;

/** A case of one kernel: inputs first in the table, then outputs, unless they go to the buffers named `inPlace`. */
export function caseOf(
  kernel: Kernel,
  inputs: Inputs,
  outputs: readonly { readonly dtype: DType; readonly length: number; readonly error: number }[],
  inPlace: readonly (number | undefined)[] = [],
): KernelCase {
  const fresh = outputs.filter((_, i) => inPlace[i] === undefined);
  const numbers = outputs.map((output, i) => inPlace[i] ?? inputs.length + fresh.indexOf(output));
  return {
    buffers: [...inputs, ...fresh.map(({ dtype, length }) => ({ dtype, length }))],
    launches: [
      {
        kernel,
        inputs: inputs.map((_, i) => i),
        inputTypes: inputs.map(({ dtype }) => dtype),
        outputs: numbers,
        outputTypes: outputs.map(({ dtype }) => dtype),
      },
    ],
    checks: outputs.map(({ error }, i) => ({ buffer: numbers[i] as number, error })),
  };
}

/** What a body stores: its last value, and some others. */
export const storesOf = (draft: Draft, { stores }: BodyPick): number[] => [
  lastOf(draft),
  ...stores.map((store) => store % draft.program.length),
];

/** The outputs that stores of values make, each of `length` elements. */
export const outputsOf = (draft: Draft, stores: readonly number[], length: number) =>
  stores.map((store) => ({
    dtype: (draft.program[store] as Instruction).dtype,
    length,
    error: (draft.estimates[store] as Estimate).error,
  }));

/** For each store, an input of its type from the body's own leaves, no input twice. */
export function targetsInPlace(draft: Draft, stores: readonly number[]): (number | undefined)[] {
  const free = draft.program.flatMap((step) => (step.op === 'load' ? [step] : []));
  return stores.map((store) => {
    const found = free.findIndex(({ dtype }) => dtype === draft.program[store]?.dtype);
    return found < 0 ? undefined : free.splice(found, 1)[0]?.input;
  });
}

/** The same body, each leaf of it a whole input as it lies. */
export const asPlainLoads = (body: BodyPick): BodyPick => ({
  ...body,
  leaves: body.leaves.map((leaf) => ({ ...leaf, kind: 'load', movements: [] })),
});

/** Loop nests without a reduction. */
export const loopCases: fc.Arbitrary<KernelCase> = fc
  .tuple(shapes(4, 3000), bodies(1))
  .map(([axes, body]) => {
    const inputs: Inputs = [];
    const draft = draftProgram(inputs, axes, body.leaves, body.steps);
    const stores = storesOf(draft, body);
    const kernel: Kernel = { kind: 'loop', axes, program: draft.program, stores };
    return caseOf(kernel, inputs, outputsOf(draft, stores, sizeOf(axes)));
  });

/** Loop nests whose outputs are inputs that the same element was read from. */
export const inPlaceCases: fc.Arbitrary<KernelCase> = fc
  .tuple(shapes(3, 3000), bodies(2).map(asPlainLoads))
  .map(([axes, body]) => {
    const inputs: Inputs = [];
    const draft = draftProgram(inputs, axes, body.leaves, body.steps);
    const stores = storesOf(draft, body);
    const kernel: Kernel = { kind: 'loop', axes, program: draft.program, stores };
    const outputs = outputsOf(draft, stores, sizeOf(axes));
    return caseOf(kernel, inputs, outputs, targetsInPlace(draft, stores));
  });

/** Folds with a program before and after them; with `inPlace`, into an input of the program after them. */
export const reductionCases = (inPlace = false): fc.Arbitrary<KernelCase> =>
  fc
    .record({
      outer: shapes(2, 70),
      inner: shapes(2, 300),
      op: fc.constantFrom<ReduceOp>('sum', 'product', 'max', 'min'),
      prologue: fc.record({
        leaves: fc.array(leaves, { minLength: 1, maxLength: 2 }),
        steps: fc.array(steps, { maxLength: 3 }),
      }),
      body: fc.record({
        leaves: fc.array(leaves, { minLength: inPlace ? 1 : 0, maxLength: 2 }),
        steps: fc.array(steps, { maxLength: 4 }),
        stores: fc.array(fc.nat(9), { maxLength: 1 }),
      }),
    })
    .map(({ outer, inner, op, prologue, body }) => {
      const inputs: Inputs = [];
      const before = draftProgram(inputs, [...outer, ...inner], prologue.leaves, prologue.steps);
      const fold = foldOf(op, before, sizeOf(inner));
      const epilogue = inPlace ? asPlainLoads(body) : body;
      const draft = draftProgram(inputs, outer, epilogue.leaves, epilogue.steps, fold);
      const stores = storesOf(draft, epilogue);
      const reduction = { op: fold.op, dtype: fold.dtype, axes: inner, program: fold.program };
      const kernel: Kernel = { kind: 'loop', axes: outer, reduction, program: draft.program, stores };
      const targets = inPlace ? targetsInPlace(draft, stores) : [];
      return caseOf(kernel, inputs, outputsOf(draft, stores, sizeOf(outer)), targets);
    });

interface Fold {
  readonly op: ReduceOp;
  readonly dtype: DType;
  readonly estimate: Estimate;
  readonly program: readonly Instruction[];
}

/** The fold asked for, of the last value that it can fold; else the sum, or for truth values the maximum. */
export function foldOf(op: ReduceOp, draft: Draft, count: number): Fold {
  const { program, estimates } = draft;
  for (const tried of [op, 'sum', 'max'] as const) {
    for (let end = program.length; end > 0; end--) {
      const { dtype } = program[end - 1] as Instruction;
      const estimate = estimateFold(tried, dtype, estimates[end - 1] as Estimate, count);
      if (estimate) return { op: tried, dtype, estimate, program: program.slice(0, end) };
    }
  }
  // Nothing but halves: the last of them is widened.
  const last = program.length - 1;
  if (program[last]?.dtype !== 'f16') throw new Error('every program starts with a value that can be folded');
  append(draft, { op: 'cast', dtype: 'f32', args: [last] }, estimates[last] as Estimate);
  return foldOf(op, draft, count);
}

const operandTypes = fc.constantFrom('f32', 'f16');
const matrixSizes = fc.constantFrom(0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65);

/** How an operand is made: a view of a buffer, or a program. */
interface OperandPick {
  readonly movements: readonly Movement[];
  readonly producer?: Pick<BodyPick, 'leaves' | 'steps'> | undefined;
}

const operandPicks = (producers: boolean): fc.Arbitrary<OperandPick> =>
  fc.record({
    movements: unguardedMovements,
    producer: producers
      ? fc.option(
          fc.record({
            leaves: fc.array(leaves, { minLength: 1, maxLength: 2 }),
            steps: fc.array(steps, { maxLength: 5 }),
          }),
          { nil: undefined },
        )
      : fc.constant(undefined),
  });

/** The forms that an operand can have, the longest program first, with the estimates of their elements. */
function operandForms(
  inputs: Inputs,
  axes: readonly number[],
  { movements, producer }: OperandPick,
  { dtype, seed, real }: { readonly dtype: DType; readonly seed: number; readonly real: boolean },
): readonly { readonly operand: Operand | Producer; readonly estimate: Estimate }[] {
  if (!producer) {
    const { index, length } = viewOf(axes, movements);
    const { plan, estimate } = randomBuffer(dtype, length, seed, real);
    return [{ operand: { input: inputs.push(plan) - 1, index }, estimate }];
  }
  // The first leaf is a value that any product can take.
  const [first, ...others] = producer.leaves as [LeafPick, ...LeafPick[]];
  const kind = first.kind === 'gather' ? 'gather' : 'load';
  const { program, estimates } = draftProgram(
    inputs,
    axes,
    [{ ...first, kind, dtype: 'f32' }, ...others],
    producer.steps,
  );
  return program
    .map((_, at) => at)
    .filter((at) => program[at]?.dtype === 'f32')
    .reverse()
    .map((at) => ({
      operand: { program: program.slice(0, at + 1) },
      estimate: estimates[at] as Estimate,
    }));
}

/**
 * Matrix products, some with programs after them; with `inPlace`, into an input of that program; with `producers`, some of
 * operands that are programs.
 */
export const matmulCases = (inPlace = false, producers = false): fc.Arbitrary<KernelCase> =>
  fc
    .record({
      batch: fc.array(fc.constantFrom(1, 2, 3, 2, 0), { maxLength: 2 }),
      m: matrixSizes,
      n: matrixSizes,
      k: matrixSizes,
      real: fc.boolean(),
      types: fc.tuple(operandTypes, operandTypes),
      seed: fc.nat(1000),
      left: operandPicks(producers),
      right: operandPicks(producers),
      body: bodies(inPlace ? 1 : 0),
    })
    .map(({ batch: wanted, m, n, k, real, types, seed, left, right, body }) => {
      const batch = sizeOf(wanted) * m * n * k > 60_000 ? wanted.map((size) => Math.min(1, size)) : wanted;
      const inputs: Inputs = [];
      const forms = {
        a: operandForms(inputs, [...batch, m, k], left, { dtype: types[0], seed, real }),
        b: operandForms(inputs, [...batch, k, n], right, { dtype: types[1], seed: seed + 1, real }),
      };
      const { a, b, estimate } = productOf(forms, k);
      const outer = [...batch, m, n];
      const reduced = { dtype: 'f32', estimate } as const;
      const epilogue = inPlace ? asPlainLoads(body) : body;
      const draft = draftProgram(inputs, outer, epilogue.leaves, epilogue.steps, reduced);
      const stores = storesOf(draft, epilogue);
      const kernel: Kernel = { kind: 'matmul', batch, m, n, k, a, b, program: draft.program, stores };
      const targets = inPlace ? targetsInPlace(draft, stores) : [];
      return caseOf(kernel, inputs, outputsOf(draft, stores, sizeOf(outer)), targets);
    });

type OperandForms = ReturnType<typeof operandForms>;

/** The first forms of both operands whose product can be compared. */
function productOf(forms: { readonly a: OperandForms; readonly b: OperandForms }, k: number) {
  for (const a of forms.a) {
    for (const b of forms.b) {
      const estimate = estimateMatmul(a.estimate, b.estimate, k);
      if (estimate) return { a: a.operand, b: b.operand, estimate };
    }
  }
  throw new Error('every operand starts with a value that can be multiplied');
}
