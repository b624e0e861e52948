/**
 * Matrix products without workgroup memory, for drivers that compute on the CPU: an invocation computes a tile of up to
 * 16 rows by 8 columns in registers. Such drivers run a workgroup of one subgroup as the lanes of a vector, and what costs
 * most is loads, which they make lane by lane. All lanes share their rows, so the lanes load the elements of `a` for each
 * other, whatever its strides; each lane loads its own columns of `b`, which `packRight` has laid out as rows of vec4
 * where they were not.
 */
import type { MatmulKernel } from '@clipin/kernel';
import { sizeOf } from '@clipin/kernel';
import { writeIndices } from './loop-code';
import { type Limits, type MatmulPlan, planMatmul, type SumTile, writeElement } from './matmul-code';
import type { Profile } from './profile';
import { affineCode } from './program-code';
import type { Dispatch, Task } from './task';

/** Invocations in a workgroup where nothing is known of subgroups. */
const usualLanes = 8;

const range = (n: number): number[] => [...Array(n).keys()];

/** Rows of an invocation's tile: sixteen need subgroups to pay. */
function tileRows(m: number, { subgroup }: Profile): number {
  if (m > 8 && subgroup) return 16;
  return m > 4 ? 8 : m > 1 ? 4 : 1;
}

/** The dispatch of a matrix product in register tiles. */
export function registerMatmulCode(given: Task<MatmulKernel>, profile: Profile): Dispatch {
  const plan = planMatmul(given, { a: [], b: ['other'] });
  const { shader, task } = plan;
  const { batch, m, n, k } = task.kernel;
  const lanes = profile.subgroup || usualLanes;
  const rows = tileRows(m, profile);
  // Neighbouring lanes compute neighbouring vec4, so that they read neighbouring memory.
  const step = lanes * 4;
  const perRow = n > step ? 2 : 1;
  const limits = { m: shader.param(m), n: shader.param(n) };
  const columnGroups = Math.ceil(n / (perRow * step));
  const rowTiles = Math.ceil(m / rows);
  const indices = writeIndices(shader, 'group', [...batch, rowTiles, columnGroups]);
  const columnGroup = indices.pop();
  const row = shader.let('m', `${indices.pop()} * ${rows}`);
  const column = shader.let('n', `${columnGroup} * ${perRow * step} + i32(lane) * 4`);
  const tile: SumTile = {
    sums: range(rows * perRow).map(() => shader.name('c')),
    perRow,
    step,
    row,
    column,
  };
  for (const sum of tile.sums) shader.line(`var ${sum} = vec4<f32>(0.0);`);
  const loadLeft = leftLoads(plan, indices, { row, rows, limit: limits.m }, profile.subgroup);
  const loadRight = rightLoads(plan, indices, tile, limits.n);
  shader.line(`for (var k = 0; k < ${shader.param(k)}; k++) {`);
  const element = loadLeft();
  const vectors = loadRight();
  for (const i of range(rows)) {
    const value = shader.let('x', `vec4<f32>(${element(i)})`);
    vectors.forEach((vector, part) => {
      const sum = tile.sums[i * perRow + part];
      shader.line(`${sum} = fma(${value}, ${vector}, ${sum});`);
    });
  }
  shader.line('}');
  writeRows(plan, tile, indices, limits);
  return shader.finish(columnGroups * rowTiles * sizeOf(batch), lanes);
}

/**
 * Prepares the loads of the left operand. What it gives writes the loads at `k` that all rows need, and gives the
 * expression of each row's element.
 */
function leftLoads(
  { shader, a }: MatmulPlan,
  indices: readonly string[],
  { row, rows, limit }: { row: string; rows: number; limit: string },
  subgroup: number,
): () => (i: number) => string {
  const base = shader.let('o', affineCode({ shader, indices }, a.batch));
  const [down, along] = [shader.param(a.other), shader.param(a.k)];
  const start = (i: string) => shader.let('q', `${base} + min(${row} + ${i}, ${limit} - 1) * ${down}`);
  const load = (at: string) => shader.let('x', shader.load(a.number, `${at} + k * ${along}`));
  if (!subgroup) {
    const starts = range(rows).map((i) => start(`${i}`));
    return () => (i) => load(starts[i] as string);
  }
  // Each invocation loads the element of another row, and hands it to the rest.
  const starts = range(Math.ceil(rows / subgroup)).map((part) =>
    start(`${part * subgroup} + i32(${shader.needSubgroups('subgroup_lane')})`),
  );
  return () => {
    const loaded = starts.map(load);
    return (i) => `subgroupBroadcast(${loaded[Math.floor(i / subgroup)]}, ${i % subgroup}u)`;
  };
}

/**
 * Runs the epilogue row by row. The loop ends at a number that the compiler does not know, so that it stays a loop:
 * unrolled, an epilogue takes seconds to compile on lavapipe. The sums move up a row at each turn, since an array that is
 * indexed by a variable costs more.
 */
function writeRows(
  plan: MatmulPlan,
  { sums, perRow, step, row, column }: SumTile,
  indices: readonly string[],
  limits: Limits,
): void {
  const { shader } = plan;
  const rows = sums.length / perRow;
  const end = shader.let('e', `min(${row} + ${rows}, ${limits.m})`);
  shader.line(`for (var row = ${row}; row < ${end}; row++) {`);
  for (const part of range(perRow)) {
    const at = part ? shader.let('n', `${column} + ${part * step}`) : column;
    shader.line(`if (${at} < ${limits.n}) {`);
    writeElement(plan, [...indices, 'row', at], sums[part] as string, limits);
    shader.line('}');
  }
  sums.slice(perRow).forEach((sum, i) => {
    shader.line(`${sums[i]} = ${sum};`);
  });
  shader.line('}');
}

/** Prepares the loads of the right operand, clamped into the matrix; what it gives writes them at `k`. */
function rightLoads(
  { shader, b }: MatmulPlan,
  indices: readonly string[],
  { column, perRow, step }: SumTile,
  limit: string,
): () => string[] {
  const base = shader.let('o', affineCode({ shader, indices }, b.batch));
  const along = shader.param(b.k);
  const columns = range(perRow).map((part) => (part ? `${column} + ${part * step}` : column));
  if (b.run === 'other') {
    const starts = columns.map((first) => shader.let('q', `${base} + min(${first}, ${limit} - 4)`));
    return () =>
      starts.map((start) => shader.let('y', shader.loadRun(b.number, `(${start} + k * ${along})`)));
  }
  const across = shader.param(b.other);
  const starts = columns.map((first) =>
    range(4).map((i) => shader.let('q', `${base} + min(${first} + ${i}, ${limit} - 1) * ${across}`)),
  );
  const at = (four: readonly string[]) => four.map((start) => `${start} + k * ${along}`);
  return () => starts.map((four) => shader.let('y', shader.loadFour(b.number, at(four))));
}
