/** Random cases of the routines that are not loop nests: scatter-add, attention and its derivative. */
import type { AttentionShape, Kernel, Launch, Operand } from '@clipin/kernel';
import fc from 'fast-check';
import { u } from './estimate';
import type { BufferPlan, KernelCase } from './run-case';
import { type Movement, unguardedMovements, viewOf } from './views';

/** Scatter-adds with duplicates and numbers out of range. Whole numbers and eighths: sums are exact. */
export const scatterAddCases: fc.Arbitrary<KernelCase> = fc
  .record({
    dtype: fc.constantFrom('f32', 'f32', 'i32', 'u32'),
    indices: fc.constantFrom('i32', 'u32'),
    batch: fc.constantFrom(0, 1, 1, 2, 3),
    rows: fc.constantFrom(0, 1, 2, 5, 33),
    count: fc.constantFrom(0, 1, 2, 7, 40, 65),
    width: fc.constantFrom(0, 1, 3, 4, 8, 17, 33),
    seed: fc.nat(1000),
  })
  .map(({ seed, ...shape }): KernelCase => {
    const { dtype, indices, batch, rows, count, width } = shape;
    const low = indices === 'i32' ? -2 : 0;
    const range = { kind: 'integer', low, high: rows + 1, seed } as const;
    const values = {
      kind: dtype === 'f32' ? 'grid' : 'integer',
      low: dtype === 'u32' ? 0 : -9,
      high: 9,
      seed: seed + 1,
    } as const;
    return {
      buffers: [
        { dtype: indices, length: batch * count, fill: range },
        { dtype, length: batch * count * width, fill: values },
        { dtype, length: batch * rows * width },
      ],
      launches: [
        {
          kernel: { kind: 'scatterAdd', ...shape },
          inputs: [0, 1],
          inputTypes: [indices, dtype],
          outputs: [2],
          outputTypes: [dtype],
        },
      ],
      checks: [{ buffer: 2, error: 0 }],
    };
  });

/** Largest size of an element of query, key, value and gradient. */
const size = 1;

/** Where the sizes of attention come from. */
export type AttentionSizes = Readonly<
  Record<'batch' | 'heads' | 'queries' | 'keys' | 'dim', fc.Arbitrary<number>>
>;

const usualSizes: AttentionSizes = {
  batch: fc.constantFrom(1, 1, 2, 0),
  heads: fc.constantFrom(1, 2, 3),
  queries: fc.constantFrom(1, 2, 3, 5, 8, 17, 33),
  keys: fc.constantFrom(0, 1, 2, 4, 7, 16, 33, 65),
  dim: fc.constantFrom(1, 3, 4, 8, 16, 17, 32, 64),
};

const attentionPicks = (sizes: AttentionSizes) =>
  fc.record({
    ...sizes,
    causal: fc.boolean(),
    masked: fc.boolean(),
    /** Operands lie as `[batch, tokens, heads, dim]`, as projections of tokens give them. */
    interleaved: fc.boolean(),
    views: fc.tuple(unguardedMovements, unguardedMovements, unguardedMovements, unguardedMovements),
    mask: unguardedMovements,
    seed: fc.nat(1000),
  });

type AttentionPicks = ReturnType<typeof attentionPicks> extends fc.Arbitrary<infer T> ? T : never;

interface AttentionDraft {
  readonly shape: AttentionShape;
  /** Inputs first, then the two outputs. */
  readonly buffers: BufferPlan[];
  readonly launch: Launch;
}

/** An operand `[batch, heads, tokens, dim]` under some movements, which stands at `input`. */
function operandOf(
  { batch, heads, dim, interleaved, seed }: AttentionPicks,
  movements: readonly Movement[],
  tokens: number,
  input: number,
): { readonly operand: Operand; readonly plan: BufferPlan } {
  const swapped: Movement[] = interleaved ? [{ kind: 'permute', axis: 1, amount: 0 }] : [];
  const { index, length } = viewOf([batch, heads, tokens, dim], [...movements, ...swapped]);
  const fill = { kind: 'real', low: -size, high: size, seed: seed + input } as const;
  return { operand: { input, index }, plan: { dtype: 'f32', length, fill } };
}

/** Launches read the first buffers and write those after them. */
const launchOf = (kernel: Kernel, inputs: readonly BufferPlan[], outputs: readonly BufferPlan[]): Launch => ({
  kernel,
  inputs: inputs.map((_, i) => i),
  inputTypes: inputs.map(({ dtype }) => dtype),
  outputs: outputs.map((_, i) => inputs.length + i),
  outputTypes: outputs.map(({ dtype }) => dtype),
});

function draftAttention(picks: AttentionPicks): AttentionDraft {
  const { batch, heads, queries, keys, dim, causal, seed } = picks;
  const inputs: BufferPlan[] = [];
  const addOperand = (movements: readonly Movement[], tokens: number): Operand => {
    const { operand, plan } = operandOf(picks, movements, tokens, inputs.length);
    inputs.push(plan);
    return operand;
  };
  const addMask = (): Operand => {
    const { index, length } = viewOf([batch, heads, queries, keys], picks.mask);
    const fill = { kind: 'integer', low: 0, high: 1, seed } as const;
    return { input: inputs.push({ dtype: 'bool', length, fill }) - 1, index };
  };
  const [query, key, value] = picks.views;
  const shape: AttentionShape = {
    ...{ batch, heads, queries, keys, dim, causal },
    // Now and then scores so large that their exponentials overflow.
    scale: dim <= 4 && seed % 3 === 0 ? 30 : 1 / Math.sqrt(dim),
    query: addOperand(query, queries),
    key: addOperand(key, keys),
    value: addOperand(value, keys),
    ...(picks.masked && { mask: addMask() }),
  };
  const outputs: BufferPlan[] = [
    { dtype: 'f32', length: batch * queries * heads * dim },
    { dtype: 'f32', length: batch * heads * queries },
  ];
  const launch = launchOf({ kind: 'attention', ...shape }, inputs, outputs);
  return { shape, buffers: [...inputs, ...outputs], launch };
}

/**
 * Errors of attention. An exponential turns the absolute error of its argument into a relative one; a weight
 * `exp(s − max) / Σ` meets that above and below the line, and a rounding for each key summed. Weights add up to 1, so
 * the result inherits their relative error.
 */
function attentionErrors({ dim, keys, scale }: AttentionShape) {
  const largest = dim * size * size * scale;
  const score = (dim + 2) * u * largest;
  const exponential = score + (8 + 4 * largest) * u;
  const weight = 2 * exponential + (keys + 2) * u;
  return {
    result: size * (weight + (keys + 1) * u),
    logSumExp: score + exponential + (keys + 8) * u + 4 * u * (largest + Math.log(keys + 1)),
  };
}

/** Attention over strided operands, causal or masked or both, rows that see nothing included. */
export const attentionCases = (sizes = usualSizes): fc.Arbitrary<KernelCase> =>
  attentionPicks(sizes).map(attentionCase);

function attentionCase(picks: AttentionPicks): KernelCase {
  const { shape, buffers, launch } = draftAttention(picks);
  const [result, logSumExp] = launch.outputs as [number, number];
  const errors = attentionErrors(shape);
  return {
    buffers,
    launches: [launch],
    checks: [
      { buffer: result, error: errors.result },
      { buffer: logSumExp, error: errors.logSumExp },
    ],
  };
}

/**
 * Errors of the derivative, from those of the forward kernel it follows: its weights are `exp(s − logSumExp)`, the
 * gradient of a score is `weight · (g·v − g·result) · scale`. Over the keys weights add up to 1; over the queries each
 * is at most 1.
 */
function backwardErrors(shape: AttentionShape) {
  const { dim, keys, queries, scale } = shape;
  const forward = attentionErrors(shape);
  const largest = dim * size * size * scale;
  const weight = (dim + 2) * u * largest + forward.logSumExp + (12 + 4 * largest + Math.log(keys + 1)) * u;
  const score = 2 * weight + (2 * dim + 8) * u + forward.result / size;
  const whole = scale * dim * size ** 3;
  return {
    query: whole * (score + 2 * keys * u),
    key: queries * whole * (score + 2 * queries * u),
    value: queries * size * (weight + queries * u),
  };
}

/** Attention and then its derivative, which reads what the forward kernel wrote. */
export const attentionBackwardCases = (sizes = usualSizes): fc.Arbitrary<KernelCase> =>
  attentionPicks(sizes).map(attentionBackwardCase);

function attentionBackwardCase(picks: AttentionPicks): KernelCase {
  const { shape, buffers, launch } = draftAttention(picks);
  const { batch, heads, queries, keys, dim } = shape;
  const [result, logSumExp] = launch.outputs as [number, number];
  const gradient = operandOf(picks, picks.views[3], queries, buffers.length);
  const inputs = [...buffers, gradient.plan];
  const outputs = [queries, keys, keys].map(
    (tokens) => ({ dtype: 'f32', length: batch * tokens * heads * dim }) as const,
  );
  const kernel: Kernel = {
    kind: 'attentionBackward',
    ...shape,
    result,
    logSumExp,
    gradient: gradient.operand,
  };
  const backward = launchOf(kernel, inputs, outputs);
  const errors = backwardErrors(shape);
  return {
    buffers: [...inputs, ...outputs],
    launches: [launch, backward],
    checks: [errors.query, errors.key, errors.value].map((error, i) => ({
      buffer: backward.outputs[i] as number,
      error,
    })),
  };
}
