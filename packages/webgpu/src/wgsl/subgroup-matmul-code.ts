/**
 * Matrix products with the adapter's matrix units, for GPUs that have some: a workgroup loads tiles of both operands, zero
 * beyond the end of `k`, as they lie (a transposed one is read by columns); each of its subgroups multiplies a part of
 * them, fragment by fragment, and keeps the sums. Then the sums go through workgroup memory, and the epilogue runs on them.
 *
 * Operands of dtype f16 are multiplied as such and summed in f32; others only where units multiply f32.
 */
import type { MatmulKernel } from '@clipin/kernel';
import { writeIndices } from './loop-code';
import { type MatmulPlan, type OperandPlan, planMatmul, times, writeElement } from './matmul-code';
import type { MatrixUnit, Profile, Tile } from './profile';
import { affineCode } from './program-code';
import type { Shader } from './shader';
import type { Dispatch, Task } from './task';
import { chooseTile, tilesOf, writeRange } from './tiled-matmul-code';

/** How the subgroups of a workgroup lie over its tile. */
const grids: Readonly<Record<Tile, { readonly down: number; readonly across: number }>> = {
  128: { down: 4, across: 2 },
  64: { down: 2, across: 2 },
  32: { down: 2, across: 2 },
};

/** What follows from a unit's component: steps of `k` in a tile, and surplus vec4 that end a row in memory, 16 bytes. */
const depths: Readonly<Record<MatrixUnit['component'], { readonly depth: number; readonly pad: number }>> = {
  f16: { depth: 32, pad: 2 },
  f32: { depth: 16, pad: 1 },
};

/** A tile for a unit, and the sizes that follow. All strides and lengths are in vec4. */
export interface MatrixTile {
  readonly unit: MatrixUnit;
  readonly tile: Tile;
  readonly subgroups: number;
  /** Fragments of a subgroup's part, down and across. */
  readonly rows: number;
  readonly columns: number;
  /** Length of an operand's tile in workgroup memory, whichever way it lies. */
  readonly operand: number;
  /** Length of one fragment of sums for each subgroup. */
  readonly sums: number;
}

function layOut(unit: MatrixUnit, tile: Tile): MatrixTile {
  const { down, across } = grids[tile];
  const { depth, pad } = depths[unit.component];
  const subgroups = down * across;
  return {
    unit,
    tile,
    subgroups,
    rows: tile / down / unit.m,
    columns: tile / across / unit.n,
    operand: Math.max(tile * (depth / 4 + pad), depth * (tile / 4 + pad)),
    sums: (subgroups * unit.m * unit.n) / 4,
  };
}

/** Whether whole fragments fill the tile, and workgroups can be so large. */
function fits({ unit, rows, columns, subgroups, operand, sums }: MatrixTile, profile: Profile): boolean {
  const bytes = 2 * operand * (unit.component === 'f16' ? 8 : 16) + sums * 16;
  return (
    [rows, columns, depths[unit.component].depth / unit.k, unit.n / 4].every(Number.isInteger) &&
    bytes <= profile.workgroupBytes &&
    subgroups * unit.lanes <= profile.workgroupSize
  );
}

/** How a product is cut into tiles for matrix units; undefined where none serves its operands. */
export function matrixTile(task: Task<MatmulKernel>, profile: Profile): MatrixTile | undefined {
  const { kernel, inputTypes } = task;
  const halves = [kernel.a, kernel.b].every(({ input }) => inputTypes[input] === 'f16');
  const of = (component: MatrixUnit['component']) =>
    profile.matrixUnits.find((unit) => unit.component === component);
  const unit = (halves ? of('f16') : undefined) ?? of('f32');
  if (!unit) return undefined;
  const able = (tile: Tile) => fits(layOut(unit, tile), profile);
  if (!able(32)) return undefined;
  const larger = [128, 64] as const;
  const timed = { ...profile, tiles: profile.unitTiles };
  return layOut(unit, chooseTile(kernel, timed, larger.filter(able)));
}

const range = (n: number): number[] => [...Array(n).keys()];

/** One operand's tile in workgroup memory. */
interface OperandTile {
  readonly name: 'left' | 'right';
  readonly operand: OperandPlan;
  /** Whether its rows in memory run along `k`; else they run along the other axis. */
  readonly alongK: boolean;
  /** From one row to the next, in vec4. */
  readonly stride: number;
}

function planTile(name: 'left' | 'right', operand: OperandPlan, { unit, tile }: MatrixTile): OperandTile {
  const { depth, pad } = depths[unit.component];
  const steps = operand.k !== 0 && (operand.other === 0 || Math.abs(operand.k) < Math.abs(operand.other));
  const alongK = operand.run === 'k' || (operand.run === 'none' && steps);
  return { name, operand, alongK, stride: (alongK ? depth : tile) / 4 + pad };
}

/** Expressions of where a tile begins and of where its operand ends. */
interface Place {
  readonly base: string;
  /** The tile's first row (of `a`) or column (of `b`), and how many there are in the matrix. */
  readonly first: string;
  readonly limit: string;
  readonly end: string;
}

/** The value of four neighbours from `(other, k)` on, where `k` is before the end. */
function loadFour(
  shader: Shader,
  { operand, alongK }: OperandTile,
  { base, limit, end }: Place,
  other: string,
  k: string,
): string {
  const { number, run, other: stride, k: kStride } = operand;
  // What lies beyond the matrix comes to nothing but sums that are not stored; the index only has to be legal.
  const at = (i: number) => `min(${other} + ${i}, ${limit} - 1)`;
  if (alongK) {
    const row = shader.let('w', `${base} + ${times(shader, at(0), stride)}`);
    if (run === 'k') return shader.loadRun(number, `(${row} + ${k})`);
    const steps = range(4).map((i) => `${row} + ${times(shader, `min(${k} + ${i}, ${end} - 1)`, kStride)}`);
    const inside = `vec4<i32>(${k}) + vec4<i32>(0, 1, 2, 3) < vec4<i32>(${end})`;
    return `select(vec4<f32>(0.0), ${shader.loadFour(number, steps)}, ${inside})`;
  }
  const row = shader.let('w', `${base} + ${times(shader, k, kStride)}`);
  if (run === 'other') return shader.loadRun(number, `(${row} + min(${other}, ${limit} - 4))`);
  return shader.loadFour(
    number,
    range(4).map((i) => `${row} + ${times(shader, at(i), stride)}`),
  );
}

/** Loads the tile of an operand from step `k` on: each invocation takes every so many groups of four. */
function writeLoad(
  shader: Shader,
  tile: OperandTile,
  place: Place,
  { of: { unit, tile: side }, size }: { of: MatrixTile; size: number },
): void {
  const { name, alongK, stride } = tile;
  const { depth } = depths[unit.component];
  const perRow = (alongK ? depth : side) / 4;
  shader.line(
    `for (var at_${name} = i32(lane); at_${name} < ${(side * depth) / 4}; at_${name} += ${size}) {`,
  );
  const row = shader.let('r', `at_${name} / ${perRow}`);
  const four = shader.let('q', `at_${name} % ${perRow}`);
  const other = shader.let('o', `${place.first} + ${alongK ? row : `${four} * 4`}`);
  const k = shader.let('k', `k + ${alongK ? `${four} * 4` : row}`);
  shader.line('var four = vec4<f32>(0.0);');
  shader.line(`if (${k} < ${place.end}) {`);
  shader.line(`four = ${loadFour(shader, tile, place, other, k)};`);
  shader.line('}');
  shader.line(`${name}[${row} * ${stride} + ${four}] = vec4<${unit.component}>(four);`);
  shader.line('}');
}

/** Adds the products of the loaded tiles to a subgroup's sums. */
function writeProducts(
  shader: Shader,
  [left, right]: readonly [OperandTile, OperandTile],
  { unit, rows, columns }: MatrixTile,
  sums: readonly string[],
): void {
  /** The fragment that begins so many rows or columns, and so many steps of `k`, behind the part. */
  const load = ({ name, alongK, stride }: OperandTile, part: string, other: number, k: number) => {
    const at = alongK
      ? `(${part} + ${other}) * ${stride}u + ${k / 4}`
      : `${k * stride} + (${part} + ${other}) / 4u`;
    const type = name === 'left' ? 'Left' : 'Right';
    const order = (name === 'left') === alongK ? 'row_major' : 'col_major';
    return shader.let(name[0] as string, `subgroupMatrixLoad<${type}, ${order}>(&${name}, ${at}, ${stride})`);
  };
  for (const step of range(depths[unit.component].depth / unit.k)) {
    const lefts = range(rows).map((i) => load(left, 'part_row', i * unit.m, step * unit.k));
    const rights = range(columns).map((i) => load(right, 'part_column', i * unit.n, step * unit.k));
    sums.forEach((sum, i) => {
      const operands = `${lefts[Math.floor(i / columns)]}, ${rights[i % columns]}`;
      shader.line(`${sum} = subgroupMatrixMultiplyAccumulate(${operands}, ${sum});`);
    });
  }
}

/** Runs the epilogue on all sums: a fragment of each subgroup at a time goes through workgroup memory. */
function writeEpilogue(
  plan: MatmulPlan,
  { unit, tile, subgroups, columns, sums: length }: MatrixTile,
  sums: readonly string[],
  { indices, row, column, limits, size }: EpiloguePlace,
): void {
  const { shader } = plan;
  const { down, across } = grids[tile];
  const fragment = (unit.m * unit.n) / 4;
  const perRow = unit.n / 4;
  shader.line(`for (var turn = 0; turn < ${sums.length}; turn++) {`);
  shader.line(`if (subgroup < ${subgroups}u) {`);
  shader.line('switch turn {');
  sums.forEach((sum, i) => {
    const store = `subgroupMatrixStore<row_major>(&sums, subgroup * ${fragment}u, ${sum}, ${perRow});`;
    shader.line(`${i === sums.length - 1 ? 'default' : `case ${i}`}: { ${store} }`);
  });
  shader.line('}');
  shader.line('}');
  shader.line('workgroupBarrier();');
  shader.line(`for (var at_sum = i32(lane); at_sum < ${length}; at_sum += ${size}) {`);
  const part = shader.let('p', `at_sum / ${fragment}`);
  const within = shader.let('w', `at_sum % ${fragment}`);
  const down_ = `${part} / ${across} * ${tile / down} + turn / ${columns} * ${unit.m}`;
  const across_ = `${part} % ${across} * ${tile / across} + turn % ${columns} * ${unit.n}`;
  const m = shader.let('m', `${row} + ${down_} + ${within} / ${perRow}`);
  const n = shader.let('n', `${column} + ${across_} + ${within} % ${perRow} * 4`);
  shader.line(`if (${m} < ${limits.m} && ${n} < ${limits.n}) {`);
  writeElement(plan, [...indices, m, n], 'sums[at_sum]', limits);
  shader.line('}');
  shader.line('}');
  shader.line('workgroupBarrier();');
  shader.line('}');
}

/** Where the tile lies: indices along the batch axes, first row and column, the sizes of the result. */
interface EpiloguePlace {
  readonly indices: readonly string[];
  readonly row: string;
  readonly column: string;
  readonly limits: { readonly m: string; readonly n: string };
  /** Invocations of the workgroup. */
  readonly size: number;
}

/** The dispatch of a product on matrix units; undefined where none serves its operands. */
export function subgroupMatmulCode(given: Task<MatmulKernel>, profile: Profile): Dispatch | undefined {
  if (!matrixTile(given, profile)) return undefined;
  const plan = planMatmul(given, { a: ['other', 'k'], b: ['other', 'k'] });
  const { shader, task, a, b } = plan;
  const of = matrixTile(task, profile) as MatrixTile;
  const { unit, tile, subgroups } = of;
  const { batch, m, n, k } = task.kernel;
  const { component } = unit;
  shader.needMatrices();
  shader.declare(`alias Left = subgroup_matrix_left<${component}, ${unit.k}, ${unit.m}>;`);
  shader.declare(`alias Right = subgroup_matrix_right<${component}, ${unit.n}, ${unit.k}>;`);
  shader.declare(`alias Sums = subgroup_matrix_result<f32, ${unit.n}, ${unit.m}>;`);
  shader.declare(`var<workgroup> left: array<vec4<${component}>, ${of.operand}>;`);
  shader.declare(`var<workgroup> right: array<vec4<${component}>, ${of.operand}>;`);
  shader.declare(`var<workgroup> sums: array<vec4<f32>, ${of.sums}>;`);

  const size = subgroups * unit.lanes;
  const limits = { m: shader.param(m), n: shader.param(n) };
  const indices = writeIndices(shader, 'group', [...batch, Math.ceil(m / tile), Math.ceil(n / tile)]);
  const column = shader.let('n', `${indices.pop()} * ${tile}`);
  const row = shader.let('m', `${indices.pop()} * ${tile}`);
  const [from, end] = writeRange(plan, indices, shader.param(k));
  const tiles = [planTile('left', a, of), planTile('right', b, of)] as const;
  const places = tiles.map(({ operand }, i) => ({
    base: shader.let('b', affineCode({ shader, indices }, operand.batch)),
    first: i ? column : row,
    limit: i ? limits.n : limits.m,
    end,
  }));
  const { down, across } = grids[tile];
  shader.line(`let part_row = subgroup / ${across}u * ${tile / down}u;`);
  shader.line(`let part_column = subgroup % ${across}u * ${tile / across}u;`);
  const sums = range(of.rows * of.columns).map(() => shader.name('c'));
  for (const sum of sums) shader.line(`var ${sum} = Sums();`);
  shader.line(`for (var k = ${from}; k < ${end}; k += ${depths[component].depth}) {`);
  tiles.forEach((each, i) => {
    writeLoad(shader, each, places[i] as Place, { of, size });
  });
  shader.line('workgroupBarrier();');
  // Where subgroups are smaller than they may be, there are more of them than parts.
  shader.line(`if (subgroup < ${subgroups}u) {`);
  writeProducts(shader, tiles, of, sums);
  shader.line('}');
  shader.line('workgroupBarrier();');
  shader.line('}');
  writeEpilogue(plan, of, sums, { indices, row, column, limits, size });
  return shader.finish(tilesOf(task.kernel, tile), size);
}
