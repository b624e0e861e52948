/**
 * Matrix products without workgroup memory: an invocation computes a tile of 8 rows by 8 columns in registers. This is
 * what drivers that compute on the CPU run fastest. Also what all matrix products share: operands and the epilogue.
 */
import type { Affine, MatmulKernel, Operand } from '@clipin/kernel';
import { sizeOf } from '@clipin/kernel';
import { collapseMatmul } from './collapse';
import { writeIndices } from './loop-code';
import { affineCode, type Scope, unpackFor, unpackStores, writeBody } from './program-code';
import { Shader } from './shader';
import { type Dispatch, placesOf, type Task } from './task';

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

/** An operand's place among the axes of its affine function, and whether runs along `k` are of use. */
interface Layout {
  readonly kAxis: number;
  readonly otherAxis: number;
  readonly k: number;
  readonly other: number;
  readonly alongK: boolean;
}

function planOperand(shader: Shader, operand: Operand, layout: Layout): OperandPlan {
  const { kAxis, otherAxis, k, other, alongK } = layout;
  const { strides } = operand.index;
  const number = shader.inputNumber(operand.input);
  const runs = (axis: number, size: number) => strides[axis] === 1 && size % 4 === 0 && size > 0;
  const run: Run = runs(otherAxis, other) ? 'other' : alongK && runs(kAxis, k) ? 'k' : 'none';
  if (run === 'none' || !staysAligned(operand.index, run === 'k' ? kAxis : otherAxis)) shader.unpack(number);
  const batch = { offset: operand.index.offset, strides: strides.slice(0, -2) };
  return { number, run, batch, other: strides[otherAxis] as number, k: strides[kAxis] as number };
}

/** Collapses the task and decides how its operands are read: `alongK` says whether runs along `k` are of use. */
export function planMatmul(given: Task<MatmulKernel>, alongK: boolean): MatmulPlan {
  const task = collapseMatmul(given);
  const { kernel } = task;
  const shader = new Shader(task);
  const rank = kernel.batch.length;
  const laneAxis = rank + 1;
  const { m, n, k } = kernel;
  const a = planOperand(shader, kernel.a, { kAxis: rank + 1, otherAxis: rank, k, other: m, alongK });
  const b = planOperand(shader, kernel.b, { kAxis: rank, otherAxis: rank + 1, k, other: n, alongK });
  const reduced = { name: 'total', lanes: 4, dtype: 'f32' } as const;
  unpackFor(shader, kernel.program, { laneAxis, reduced });
  const ragged = n % 4 !== 0;
  unpackStores(shader, placesOf(task), laneAxis, ragged);
  return { task, shader, a, b, laneAxis, ragged };
}

/** `x · stride` where the stride is a parameter, or 1 or 0. */
export const times = (shader: Shader, x: string, stride: number): string =>
  stride === 1 ? x : stride === 0 ? '0' : `${x} * ${shader.param(stride)}`;

/**
 * Runs the epilogue over a tile of sums and stores it.
 *
 * @param sums - names of vec4 sums, row by row
 * @param perRow - vec4 in a row of the tile
 * @param row - expression of the tile's first row; the rows follow each other
 * @param column - expression of the tile's first column; the vec4 follow each other
 */
export function writeEpilogue(
  { task, shader, laneAxis, ragged }: MatmulPlan,
  tile: { sums: readonly string[]; perRow: number; row: string; column: string },
  indices: readonly string[],
  limits: { m: string; n: string },
): void {
  shader.line(`var tile = array<vec4<f32>, ${tile.sums.length}>(${tile.sums.join(', ')});`);
  shader.line(`for (var at_sum = 0; at_sum < ${tile.sums.length}; at_sum++) {`);
  const row = shader.let('m', `${tile.row} + at_sum / ${tile.perRow}`);
  const column = shader.let('n', `${tile.column} + (at_sum % ${tile.perRow}) * 4`);
  shader.line(`if (${row} < ${limits.m} && ${column} < ${limits.n}) {`);
  shader.line('let total = tile[at_sum];');
  const scope: Scope = {
    shader,
    indices: [...indices, row, column],
    laneAxis,
    reduced: { name: 'total', lanes: 4, dtype: 'f32' },
  };
  writeBody(scope, task.kernel, placesOf(task), ragged ? { index: column, size: limits.n } : undefined);
  shader.line('}');
  shader.line('}');
}

/** Invocations in a workgroup, side by side in a row of tiles: the vector width of the CPU drivers. */
const workgroup = 8;

const range = (n: number): number[] => [...Array(n).keys()];

/** Index expressions of `count` rows of `a`, or columns of `b`, clamped into the matrix. */
function clamped(
  shader: Shader,
  first: string,
  count: number,
  limit: string,
  stride: number,
  base: string,
): string[] {
  return range(count).map((i) => {
    const at = `min(${i ? `${first} + ${i}` : first}, ${limit} - 1)`;
    return shader.let('q', `${base} + ${times(shader, at, stride)}`);
  });
}

/** Index expressions of runs of four rows or columns, clamped into the matrix; its size is a multiple of 4. */
function clampedRuns(shader: Shader, first: string, count: number, limit: string, base: string): string[] {
  return range(count / 4).map((i) => shader.let('q', `${base} + min(${first} + ${i * 4}, ${limit} - 4)`));
}

/** Writes the loads of one operand at `k`, and gives the expressions of the tile's elements, or of its runs of four. */
function loadOperand(shader: Shader, { number, run, k }: OperandPlan, starts: readonly string[]): string[] {
  const at = times(shader, 'k', k);
  return starts.map((start) =>
    shader.let(
      'x',
      run === 'other'
        ? shader.loadRun(number, `(${start} + ${at})`)
        : shader.load(number, `${start} + ${at}`),
    ),
  );
}

/** The dispatch of a matrix product in register tiles. */
export function registerMatmulCode(given: Task<MatmulKernel>): Dispatch {
  // Runs along `k` would save loads but need four steps of the tile at once, more than the registers of a CPU hold.
  const plan = planMatmul(given, false);
  const { shader, task, a, b } = plan;
  const { batch, m, n, k } = task.kernel;
  const rows = m > 4 ? 8 : m > 1 ? 4 : 1;
  const columns = n > 4 ? 8 : 4;
  const columnTiles = Math.ceil(n / columns);
  const limits = { m: shader.param(m), n: shader.param(n) };

  const columnGroups = Math.ceil(columnTiles / workgroup);
  const rowTiles = Math.ceil(m / rows);
  const indices = writeIndices(shader, 'group', [...batch, rowTiles, columnGroups]);
  const columnGroup = indices.pop();
  const row = shader.let('m', `${indices.pop()} * ${rows}`);
  const column = shader.let('n', `(${columnGroup} * ${workgroup} + i32(lane)) * ${columns}`);
  shader.line(`if (${column} >= ${limits.n}) { return; }`);

  const scope: Scope = { shader, indices };
  const aBase = shader.let('o', affineCode(scope, a.batch));
  const bBase = shader.let('o', affineCode(scope, b.batch));
  const aStarts =
    a.run === 'other'
      ? clampedRuns(shader, row, rows, limits.m, aBase)
      : clamped(shader, row, rows, limits.m, a.other, aBase);
  const bStarts =
    b.run === 'other'
      ? clampedRuns(shader, column, columns, limits.n, bBase)
      : clamped(shader, column, columns, limits.n, b.other, bBase);

  const perRow = columns / 4;
  const sums = range(rows * perRow).map(() => shader.name('c'));
  for (const sum of sums) shader.line(`var ${sum} = vec4<f32>(0.0);`);
  shader.line(`for (var k = 0; k < ${shader.param(k)}; k++) {`);
  const left = loadOperand(shader, a, aStarts);
  const right = loadOperand(shader, b, bStarts);
  const vectors = range(perRow).map((part) =>
    b.run === 'other'
      ? (right[part] as string)
      : shader.let('y', `vec4<f32>(${right.slice(part * 4, part * 4 + 4).join(', ')})`),
  );
  for (const i of range(rows)) {
    const value = a.run === 'other' ? `${left[i >> 2]}.${'xyzw'[i & 3]}` : left[i];
    vectors.forEach((vector, part) => {
      const sum = sums[i * perRow + part];
      shader.line(`${sum} = fma(vec4<f32>(${value}), ${vector}, ${sum});`);
    });
  }
  shader.line('}');
  writeEpilogue(plan, { sums, perRow, row, column }, indices, limits);
  return shader.finish(columnGroups * rowTiles * sizeOf(batch), workgroup);
}
