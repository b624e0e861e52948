/**
 * Matrix products without workgroup memory, for drivers that compute on the CPU: an invocation computes a tile of 8 rows
 * by 8 columns in registers. Such drivers run the invocations of a workgroup as the lanes of a vector. All lanes share
 * their rows, so an element of `a` is one load for all of them, whatever its strides; each lane loads its own columns of
 * `b`, which `packRight` has laid out as rows of vec4 where they were not.
 */
import type { MatmulKernel } from '@clipin/kernel';
import { sizeOf } from '@clipin/kernel';
import { writeIndices } from './loop-code';
import { type Limits, type MatmulPlan, planMatmul, type SumTile, writeElement } from './matmul-code';
import { affineCode } from './program-code';
import type { Dispatch, Task } from './task';

/** Invocations in a workgroup: the width of the vectors of lavapipe, twice that of SwiftShader's. */
const lanes = 8;

const range = (n: number): number[] => [...Array(n).keys()];

/** The dispatch of a matrix product in register tiles. */
export function registerMatmulCode(given: Task<MatmulKernel>): Dispatch {
  const plan = planMatmul(given, { a: [], b: ['other'] });
  const { shader, task, a } = plan;
  const { batch, m, n, k } = task.kernel;
  const rows = m > 4 ? 8 : m > 1 ? 4 : 1;
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
  shader.line(`if (${column} >= ${limits.n}) { return; }`);

  const aBase = shader.let('o', affineCode({ shader, indices }, a.batch));
  const [aRow, aStep] = [shader.param(a.other), shader.param(a.k)];
  const starts = range(rows).map((i) =>
    shader.let('q', `${aBase} + min(${row} + ${i}, ${limits.m} - 1) * ${aRow}`),
  );
  const sums = range(rows * perRow).map(() => shader.name('c'));
  for (const sum of sums) shader.line(`var ${sum} = vec4<f32>(0.0);`);
  const loadRight = rightLoads(plan, indices, column, limits.n, { perRow, step });
  shader.line(`for (var k = 0; k < ${shader.param(k)}; k++) {`);
  const vectors = loadRight();
  shader.line(`let a_k = k * ${aStep};`);
  // Each element of `a` right before its products: loaded earlier, they would push the sums out of registers.
  starts.forEach((start, i) => {
    const value = shader.let('x', shader.load(a.number, `${start} + a_k`));
    vectors.forEach((vector, part) => {
      const sum = sums[i * perRow + part];
      shader.line(`${sum} = fma(vec4<f32>(${value}), ${vector}, ${sum});`);
    });
  });
  shader.line('}');
  writeRows(plan, { sums, perRow, step, row, column }, indices, limits);
  return shader.finish(columnGroups * rowTiles * sizeOf(batch), lanes);
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
    if (part) shader.line(`if (${at} < ${limits.n}) {`);
    writeElement(plan, [...indices, 'row', at], sums[part] as string, limits);
    if (part) shader.line('}');
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
  column: string,
  limit: string,
  { perRow, step }: { perRow: number; step: number },
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
  return () =>
    starts.map((four) =>
      shader.let(
        'y',
        shader.loadFour(
          b.number,
          four.map((start) => `${start} + k * ${along}`),
        ),
      ),
    );
}
