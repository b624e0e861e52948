/** What all matrix products share: how operands are read, and the epilogue. */
import type { Affine, MatmulKernel, Operand } from '@clipin/kernel';
import { collapseMatmul } from './collapse';
import { unpackFor, unpackStores, writeBody } from './program-code';
import { Shader } from './shader';
import { placesOf, type Task } from './task';

/** Along what an operand is read in runs of four: `k`, the other axis of its matrix, or nothing. */
export type Run = 'k' | 'other' | 'none';

/** An operand prepared for code. */
export interface OperandPlan {
  readonly number: number;
  readonly run: Run;
  readonly batch: Affine;
  /** Stride of the rows of `a`, of the columns of `b`. */
  readonly other: number;
  readonly k: number;
}

/** A collapsed product with everything that its code needs to know. */
export interface MatmulPlan {
  readonly task: Task<MatmulKernel>;
  readonly shader: Shader;
  readonly a: OperandPlan;
  readonly b: OperandPlan;
  /** The last axis of the body: four columns run at once. */
  readonly laneAxis: number;
  readonly ragged: boolean;
}

/** Strides that are not those of the run have to keep it aligned; then four elements are one load. */
const staysAligned = (index: Affine, runAxis: number): boolean =>
  index.offset % 4 === 0 && index.strides.every((stride, axis) => axis === runAxis || stride % 4 === 0);

/** An operand's place among the axes of its affine function, and the runs that are of use. */
interface Layout {
  readonly kAxis: number;
  readonly otherAxis: number;
  readonly k: number;
  readonly other: number;
  readonly useful: readonly Run[];
}

function planOperand(shader: Shader, operand: Operand, layout: Layout): OperandPlan {
  const { kAxis, otherAxis, k, other, useful } = layout;
  const { strides } = operand.index;
  const number = shader.inputNumber(operand.input);
  const runs = (run: Run, axis: number, size: number) =>
    useful.includes(run) && strides[axis] === 1 && size % 4 === 0 && size > 0;
  const run: Run = runs('other', otherAxis, other) ? 'other' : runs('k', kAxis, k) ? 'k' : 'none';
  if (run === 'none' || !staysAligned(operand.index, run === 'k' ? kAxis : otherAxis)) shader.unpack(number);
  const batch = { offset: operand.index.offset, strides: strides.slice(0, -2) };
  return { number, run, batch, other: strides[otherAxis] as number, k: strides[kAxis] as number };
}

/** Collapses the task and decides how its operands are read, in runs of the kinds that are of use. */
export function planMatmul(
  given: Task<MatmulKernel>,
  useful: { readonly a: readonly Run[]; readonly b: readonly Run[] },
): MatmulPlan {
  const task = collapseMatmul(given);
  const { kernel } = task;
  const shader = new Shader(task);
  const rank = kernel.batch.length;
  const laneAxis = rank + 1;
  const { m, n, k } = kernel;
  const a = planOperand(shader, kernel.a, {
    kAxis: rank + 1,
    otherAxis: rank,
    k,
    other: m,
    useful: useful.a,
  });
  const b = planOperand(shader, kernel.b, {
    kAxis: rank,
    otherAxis: rank + 1,
    k,
    other: n,
    useful: useful.b,
  });
  const reduced = { name: 'total', lanes: 4, dtype: 'f32' } as const;
  unpackFor(shader, kernel.program, { laneAxis, reduced });
  const ragged = n % 4 !== 0;
  unpackStores(shader, placesOf(task), laneAxis, ragged);
  return { task, shader, a, b, laneAxis, ragged };
}

/** `x · stride` where the stride is a parameter, or 1 or 0. */
export const times = (shader: Shader, x: string, stride: number): string =>
  stride === 1 ? x : stride === 0 ? '0' : `${x} * ${shader.param(stride)}`;

/** A tile of sums in registers. */
export interface SumTile {
  /** Names of vec4 sums, row by row. */
  readonly sums: readonly string[];
  /** How many vec4 there are in a row, and how many columns there are from one to the next. */
  readonly perRow: number;
  readonly step: number;
  /** Expressions of the tile's first row and column; the rows follow each other. */
  readonly row: string;
  readonly column: string;
}

/** Expressions of the sizes of the result. */
export interface Limits {
  readonly m: string;
  readonly n: string;
}

/** Runs the epilogue over a tile of sums and stores it. */
export function writeEpilogue(
  plan: MatmulPlan,
  { sums, perRow, step, ...first }: SumTile,
  indices: readonly string[],
  limits: Limits,
): void {
  const { shader } = plan;
  shader.line(`var tile = array<vec4<f32>, ${sums.length}>(${sums.join(', ')});`);
  shader.line(`for (var at_sum = 0; at_sum < ${sums.length}; at_sum++) {`);
  const row = shader.let('m', `${first.row} + at_sum / ${perRow}`);
  const column = shader.let('n', `${first.column} + (at_sum % ${perRow}) * ${step}`);
  shader.line(`if (${row} < ${limits.m} && ${column} < ${limits.n}) {`);
  writeElement(plan, [...indices, row, column], 'tile[at_sum]', limits);
  shader.line('}');
  shader.line('}');
}

/** Runs the epilogue on one vec4 of sums. */
export function writeElement(
  { task, shader, laneAxis, ragged }: MatmulPlan,
  indices: readonly string[],
  sum: string,
  limits: Limits,
): void {
  const reduced = { name: shader.let('total', sum), lanes: 4, dtype: 'f32' } as const;
  const end = ragged ? { index: indices[laneAxis] as string, size: limits.n } : undefined;
  writeBody({ shader, indices, laneAxis, reduced }, task.kernel, placesOf(task), end);
}
