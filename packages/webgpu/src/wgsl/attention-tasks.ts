/**
 * Attention as matrix products and row sums over a scratch matrix of scores, a few batch entries at a time so that the
 * scratch stays small. For drivers on the CPU, which run this form faster than kernels that keep scores to themselves
 * (`flash-tasks.ts`), and for heads too wide for those.
 */
import type {
  Affine,
  AttentionBackwardKernel,
  AttentionKernel,
  AttentionShape,
  Body,
  DType,
  Instruction,
  Launch,
  LoopKernel,
  MatmulKernel,
  Operand,
} from '@clipin/kernel';
import { contiguousStrides } from '@clipin/kernel';
import type { Profile } from './profile';
import type { BufferNumber, Lowered, Task } from './task';

/** Scores at or below this are hidden: nothing computed comes near, and no infinity takes part in arithmetic. */
export const hiddenScore = -3e38;

/** A buffer seen through an affine function, by its number. */
export interface View {
  readonly buffer: BufferNumber;
  readonly dtype: DType;
  readonly index: Affine;
}

/** Affine contiguous over `[b, h, x, y]` for data stored `[batch, x, heads, y]`, from batch entry `first` on. */
export const tokensFirst = (heads: number, x: number, y: number, first = 0): Affine => ({
  offset: first * x * heads * y,
  strides: [x * heads * y, y, heads * y, 1],
});

export const contiguous = (shape: readonly number[], first = 0): Affine => {
  const strides = contiguousStrides(shape);
  return { offset: first * (strides[0] ?? 0), strides };
};

const swapLast = ({ offset, strides: [b = 0, h = 0, x = 0, y = 0] }: Affine): Affine => ({
  offset,
  strides: [b, h, y, x],
});

export const load = (input: number, { dtype, index }: View): Instruction => ({
  op: 'load',
  dtype,
  input,
  index,
  guards: [],
});
export const f32 = { dtype: 'f32' } as const;
export const constant = (value: number): Instruction => ({ op: 'constant', ...f32, value });

/** A task of these inputs and outputs. */
export function task<K extends LoopKernel | MatmulKernel>(
  kernel: K,
  inputs: readonly View[],
  outputs: readonly View[],
): Task<K> {
  return {
    kernel,
    inputs: inputs.map(({ buffer }) => buffer),
    inputTypes: inputs.map(({ dtype }) => dtype),
    outputs: outputs.map(({ buffer }) => buffer),
    outputTypes: outputs.map(({ dtype }) => dtype),
    places: outputs.map(({ index }) => index),
  };
}

/** `a · b` over `[b, h]`, with `a` over `[b, h, m, k]` and `b` over `[b, h, k, n]`, stored at `output`. */
function product(
  sizes: { batch: readonly number[]; m: number; n: number; k: number },
  a: View,
  b: View,
  output: View,
  body: Body = { program: [{ op: 'reduced', ...f32 }], stores: [0] },
  more: readonly View[] = [],
): Task<MatmulKernel> {
  const operand = (input: number, { index }: View): Operand => ({ input, index });
  return task(
    { kind: 'matmul', ...sizes, a: operand(0, a), b: operand(1, b), ...body },
    [a, b, ...more],
    [output],
  );
}

/** The launch's operands, from batch entry `first` on. */
function viewsOf(launch: Launch & { kernel: AttentionShape }, first: number) {
  const view = ({ input, index }: Operand): View => ({
    buffer: launch.inputs[input] as BufferNumber,
    dtype: launch.inputTypes[input] as DType,
    index: { offset: index.offset + first * (index.strides[0] ?? 0), strides: index.strides },
  });
  const { query, key, value, mask } = launch.kernel;
  return { view, query: view(query), key: view(key), value: view(value), mask: mask && view(mask) };
}

/** Rows of scores are whole vec4: the surplus keys are hidden, and not multiplied with values. */
const rowLength = (keys: number): number => Math.ceil(keys / 4) * 4;

/** Whether a query sees a key, as instructions that follow `at` others; none where it sees every key. */
function visibility(
  { causal, keys }: AttentionShape,
  mask: View | undefined,
  maskInput: number,
  at: number,
): Instruction[] {
  const steps: Instruction[] = [];
  const add = (step: Instruction): number => at + steps.push(step) - 1;
  const conditions: number[] = [];
  const below = (bound: number, strides: number[], offset: number) => {
    const limit = add({ op: 'constant', dtype: 'i32', value: bound });
    const index = add({ op: 'index', dtype: 'i32', index: { offset, strides } });
    conditions.push(add({ op: 'less', dtype: 'bool', args: [index, limit] }));
  };
  if (mask) conditions.push(add(load(maskInput, mask)));
  if (causal) below(1, [0, 0, -1, 1], 0);
  if (rowLength(keys) > keys) below(0, [0, 0, 0, 1], -keys);
  // The last step is the last condition, then what it and the ones before it say together.
  for (const condition of conditions.slice(0, -1)) {
    add({ op: 'and', dtype: 'bool', args: [at + steps.length - 1, condition] });
  }
  return steps;
}

/** Program that gives `value` (its last instruction) where the query sees the key, else `otherwise`. */
function whereVisible(
  kernel: AttentionShape,
  mask: View | undefined,
  maskInput: number,
  value: readonly Instruction[],
  otherwise: number,
): Body {
  const seen = visibility(kernel, mask, maskInput, value.length);
  if (!seen.length) return { program: value, stores: [value.length - 1] };
  const condition = value.length + seen.length - 1;
  const select: Instruction = { op: 'select', ...f32, args: [condition, value.length - 1, condition + 1] };
  return { program: [...value, ...seen, constant(otherwise), select], stores: [condition + 2] };
}

/** Ranges of batch entries whose scratch matrices fit the profile's bound together. */
function batchRanges(
  kernel: AttentionShape,
  profile: Profile,
  matrices: number,
): { first: number; count: number }[] {
  const { batch, heads, queries, keys } = kernel;
  const bytes = 4 * matrices * heads * queries * rowLength(keys);
  const fit = Math.floor(profile.scratchBytes / Math.max(1, bytes));
  const count = Math.max(1, Math.min(batch, fit));
  const ranges = [];
  for (let first = 0; first < batch; first += count)
    ranges.push({ first, count: Math.min(count, batch - first) });
  return ranges;
}

/** The tasks of attention. Scratch: −1 scores, then weights; −2 the highest score of each query. */
export function attentionTasks(launch: Launch & { kernel: AttentionKernel }, profile: Profile): Lowered {
  const { heads, queries, keys, dim, scale } = launch.kernel;
  const row = rowLength(keys);
  const ranges = batchRanges(launch.kernel, profile, 1);
  const [result, logSumExp] = launch.outputs as readonly [number, number];
  const tasks = ranges.flatMap(({ first, count }) => {
    const { query, key, value, mask } = viewsOf(launch, first);
    const batch = [count, heads];
    const rows = [...batch, queries];
    const scores: View = { buffer: -1, ...f32, index: contiguous([...rows, row]) };
    const highest: View = { buffer: -2, ...f32, index: contiguous(rows) };
    const denominators: View = { buffer: logSumExp, ...f32, index: contiguous(rows, first) };
    const output: View = { buffer: result, ...f32, index: tokensFirst(heads, queries, dim, first) };
    const scaled: Instruction[] = [
      { op: 'reduced', ...f32 },
      constant(scale),
      { op: 'multiply', ...f32, args: [0, 1] },
    ];
    const alongKeys = ({ offset, strides }: Affine): Affine => ({ offset, strides: [...strides, 0] });
    return [
      product(
        { batch, m: queries, n: row, k: dim },
        query,
        { ...key, index: swapLast(key.index) },
        scores,
        whereVisible(launch.kernel, mask, 2, scaled, -3.4e38),
        mask ? [mask] : [],
      ),
      rowTask(rows, row, 'max', [load(0, scores)], [{ op: 'reduced', ...f32 }], [scores], highest),
      rowTask(
        rows,
        row,
        'sum',
        weights(scores, { ...highest, index: alongKeys(highest.index) }),
        [
          { op: 'reduced', ...f32 },
          load(1, highest),
          { op: 'log', ...f32, args: [0] },
          { op: 'add', ...f32, args: [1, 2] },
          constant(0),
          { op: 'less', dtype: 'bool', args: [4, 0] },
          constant(Number.NEGATIVE_INFINITY),
          { op: 'select', ...f32, args: [5, 3, 6] },
        ],
        [scores, highest],
        denominators,
      ),
      task(
        {
          kind: 'loop',
          axes: [...rows, row],
          program: weights(scores, { ...denominators, index: alongKeys(denominators.index) }),
          stores: [7],
        },
        [scores, denominators],
        [scores],
      ),
      product({ batch, m: queries, n: dim, k: keys }, scores, value, output),
    ];
  });
  const most = ranges[0]?.count ?? 0;
  return { tasks, scratch: [most * heads * queries * row, most * heads * queries] };
}

/** `exp(score − shift)`, 0 where the key is hidden; input 0 is the scores, input 1 the shifts. */
const weights = (scores: View, shift: View): Instruction[] => [
  load(0, scores),
  load(1, shift),
  { op: 'subtract', ...f32, args: [0, 1] },
  { op: 'exp', ...f32, args: [2] },
  constant(hiddenScore),
  { op: 'lessEqual', dtype: 'bool', args: [0, 4] },
  constant(0),
  { op: 'select', ...f32, args: [5, 6, 3] },
];

/** A fold over the keys (or the dimensions) of each query. */
function rowTask(
  rows: readonly number[],
  length: number,
  op: 'max' | 'sum',
  program: readonly Instruction[],
  after: readonly Instruction[],
  inputs: readonly View[],
  output: View,
): Task<LoopKernel> {
  const kernel: LoopKernel = {
    kind: 'loop',
    axes: rows,
    program: after,
    stores: [after.length - 1],
    reduction: { op, ...f32, axes: [length], program },
  };
  return task(kernel, inputs, [output]);
}

/**
 * The tasks of attention's derivative. Scratch: −1 weights, −2 derivatives of the scores, −3 `Σ gradient · result` of
 * each query.
 */
export function attentionBackwardTasks(
  launch: Launch & { kernel: AttentionBackwardKernel },
  profile: Profile,
): Lowered {
  const { kernel } = launch;
  const { heads, queries, keys, dim, scale } = kernel;
  const row = rowLength(keys);
  const ranges = batchRanges(kernel, profile, 2);
  const [gradQuery, gradKey, gradValue] = launch.outputs as readonly [number, number, number];
  const tasks = ranges.flatMap(({ first, count }) => {
    const { view, query, key, value, mask } = viewsOf(launch, first);
    const gradient = view(kernel.gradient);
    const batch = [count, heads];
    const rows = [...batch, queries];
    const matrix = contiguous([...rows, row]);
    const transposed = swapLast(matrix);
    const weightsView: View = { buffer: -1, ...f32, index: matrix };
    const scores: View = { buffer: -2, ...f32, index: matrix };
    const delta: View = { buffer: -3, ...f32, index: contiguous(rows) };
    const result = view({ input: kernel.result, index: tokensFirst(heads, queries, dim) });
    const logSumExp = view({ input: kernel.logSumExp, index: contiguous([...rows]) });
    const output = (buffer: number, tokens: number): View => ({
      buffer,
      ...f32,
      index: tokensFirst(heads, tokens, dim, first),
    });
    const alongKeys = (v: View): View => ({ ...v, index: { ...v.index, strides: [...v.index.strides, 0] } });
    const weight: Instruction[] = [
      { op: 'reduced', ...f32 },
      constant(scale),
      { op: 'multiply', ...f32, args: [0, 1] },
      load(2, alongKeys(logSumExp)),
      { op: 'subtract', ...f32, args: [2, 3] },
      { op: 'exp', ...f32, args: [4] },
    ];
    const gradScore: Instruction[] = [
      { op: 'reduced', ...f32 },
      load(2, weightsView),
      load(3, alongKeys(delta)),
      { op: 'subtract', ...f32, args: [0, 2] },
      { op: 'multiply', ...f32, args: [1, 3] },
      constant(scale),
      { op: 'multiply', ...f32, args: [4, 5] },
    ];
    const forQueries = { batch, m: queries, n: row, k: dim };
    const forKeys = { batch, m: keys, n: dim, k: queries };
    return [
      rowTask(
        rows,
        dim,
        'sum',
        [load(0, gradient), load(1, result), { op: 'multiply', ...f32, args: [0, 1] }],
        [{ op: 'reduced', ...f32 }],
        [gradient, result],
        delta,
      ),
      product(
        forQueries,
        query,
        { ...key, index: swapLast(key.index) },
        weightsView,
        whereVisible(kernel, mask, 3, weight, 0),
        mask ? [logSumExp, mask] : [logSumExp],
      ),
      product(
        forQueries,
        gradient,
        { ...value, index: swapLast(value.index) },
        scores,
        { program: gradScore, stores: [6] },
        [weightsView, delta],
      ),
      product({ batch, m: queries, n: dim, k: keys }, scores, key, output(gradQuery, queries)),
      product(forKeys, { ...scores, index: transposed }, query, output(gradKey, keys)),
      product(forKeys, { ...weightsView, index: transposed }, gradient, output(gradValue, keys)),
    ];
  });
  const most = ranges[0]?.count ?? 0;
  const matrixSize = most * heads * queries * row;
  return { tasks, scratch: [matrixSize, matrixSize, most * heads * queries] };
}
