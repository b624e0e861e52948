/**
 * Matrix products with workgroup memory, for GPUs: a workgroup computes a tile of the result from tiles of 16 steps of
 * `k` that it loads together; each invocation keeps a block of it in registers. Each invocation loads one 4 × 4 block of
 * an operand, in runs of four along whichever axis is contiguous, and turns it where that is needed, so transposes of
 * either operand cost nothing.
 */
import { type MatmulKernel, sizeOf } from '@clipin/kernel';
import { writeIndices } from './loop-code';
import { type MatmulPlan, type OperandPlan, planMatmul, times, writeEpilogue } from './matmul-code';
import type { Profile, Tile } from './profile';
import { affineCode } from './program-code';
import type { Shader } from './shader';
import type { Dispatch, Task } from './task';

/** Sizes of the tiles of a workgroup and of an invocation's block. */
interface Tiling {
  /** The workgroup's tile is `tile × tile`. */
  readonly tile: Tile;
  readonly rows: number;
  readonly columns: number;
}

const depth = 16;
const tilings: Readonly<Record<Tile, Tiling>> = {
  128: { tile: 128, rows: 8, columns: 8 },
  64: { tile: 64, rows: 8, columns: 4 },
  32: { tile: 32, rows: 4, columns: 4 },
};

/** Tiles of a matrix product. */
export const tilesOf = ({ batch, m, n }: MatmulKernel, tile: Tile): number =>
  Math.ceil(m / tile) * Math.ceil(n / tile) * sizeOf(batch);

/**
 * The tile that was timed to be the fastest, or the largest that leaves enough tiles for a GPU's processors.
 *
 * @param larger - what may be taken beside 32, the largest first
 */
export function chooseTile(
  kernel: MatmulKernel,
  { workgroups, tiles }: Profile,
  larger: readonly Tile[] = [128, 64],
): Tile {
  const fits = (tile: Tile) => Math.min(kernel.m, kernel.n) > tile / 2;
  const side = Math.sqrt(sizeOf(kernel.batch) * kernel.m * kernel.n);
  const timed = tiles.find(({ most }) => side <= most) ?? tiles[tiles.length - 1];
  const enough: Readonly<Record<Tile, number>> = { 128: workgroups, 64: workgroups / 4, 32: 0 };
  const good = (tile: Tile) =>
    fits(tile) && (timed ? tile <= timed.tile : tilesOf(kernel, tile) >= enough[tile]);
  return larger.find(good) ?? 32;
}

/** How many pieces `k` should be cut into, so that there are enough tiles for a GPU's processors. */
export function piecesOfK(kernel: MatmulKernel, profile: Profile, tile: Tile): number {
  const tiles = tilesOf(kernel, tile);
  return Math.max(1, Math.min(Math.floor(profile.workgroups / tiles), Math.floor(kernel.k / 256)));
}

const range = (n: number): number[] => [...Array(n).keys()];

/**
 * Writes the load of one 4 × 4 block: four vec4 along the tile's `other` axis, for `k` to `k + 3`, zero from `end` on.
 *
 * @param first - expression of the block's first row (of `a`) or column (of `b`)
 */
function writeBlock(
  shader: Shader,
  { number, run, other, k: kStride }: OperandPlan,
  { base, first, limit, k, end }: { base: string; first: string; limit: string; k: string; end: string },
  targets: readonly string[],
): void {
  const at = (i: number) => `min(${first} + ${i}, ${limit} - 1)`;
  if (run === 'k') {
    shader.line(`if (${k} < ${end}) {`);
    const runs = range(4).map((i) =>
      shader.let('x', shader.loadRun(number, `(${base} + ${times(shader, at(i), other)} + ${k})`)),
    );
    targets.forEach((target, step) => {
      shader.line(`${target} = vec4<f32>(${runs.map((r) => `${r}.${'xyzw'[step]}`).join(', ')});`);
    });
    shader.line('}');
    return;
  }
  targets.forEach((target, step) => {
    shader.line(`if (${k} + ${step} < ${end}) {`);
    const row = `${base} + ${times(shader, `(${k} + ${step})`, kStride)}`;
    const loaded =
      run === 'other'
        ? shader.loadRun(number, `(${row} + min(${first}, ${limit} - 4))`)
        : shader.loadFour(
            number,
            range(4).map((i) => `${row} + ${times(shader, at(i), other)}`),
          );
    shader.line(`${target} = ${loaded};`);
    shader.line('}');
  });
}

/** The range of `k` that this invocation sums: all of it, or the piece that the first batch axis numbers. */
export function writeRange(
  { task, shader }: MatmulPlan,
  batch: readonly string[],
  end: string,
): [string, string] {
  if (!task.chunk) return ['0', end];
  const chunk = shader.param(task.chunk);
  const from = shader.let('f', `${batch[0]} * ${chunk}`);
  return [from, shader.let('t', `min(${from} + ${chunk}, ${end})`)];
}

/** The dispatch of a matrix product in workgroup tiles. */
export function tiledMatmulCode(given: Task<MatmulKernel>, profile: Profile): Dispatch {
  const plan: MatmulPlan = planMatmul(given, { a: ['other', 'k'], b: ['other', 'k'] });
  const { shader, task, a, b } = plan;
  const { batch, m, n, k } = task.kernel;
  const { tile, rows, columns } = tilings[chooseTile(task.kernel, profile)];
  const across = tile / columns;
  const size = across * (tile / rows);
  const blocks = tile / 4;
  const stride = blocks;
  shader.declare(`var<workgroup> left: array<vec4<f32>, ${depth * stride}>;`);
  shader.declare(`var<workgroup> right: array<vec4<f32>, ${depth * stride}>;`);

  const limits = { m: shader.param(m), n: shader.param(n) };
  const tilesDown = Math.ceil(m / tile);
  const tilesAcross = Math.ceil(n / tile);
  const indices = writeIndices(shader, 'group', [...batch, tilesDown, tilesAcross]);
  const columnTile = shader.let('n', `${indices.pop()} * ${tile}`);
  const rowTile = shader.let('m', `${indices.pop()} * ${tile}`);
  const [from, to] = writeRange(plan, indices, shader.param(k));

  // The first half of the invocations loads `a`, the other half `b`.
  const half = size / 2;
  shader.line(`let block = i32(lane % ${half}u);`);
  for (const [operand, name] of [
    [a, 'a'],
    [b, 'b'],
  ] as const) {
    const alongK = operand.run === 'k';
    const blockK = alongK ? `block % ${depth / 4}` : `block / ${blocks}`;
    const blockOther = alongK ? `block / ${depth / 4}` : `block % ${blocks}`;
    shader.line(`let ${name}_k = (${blockK}) * 4;`);
    shader.line(`let ${name}_other = ${blockOther};`);
    shader.line(`let ${name}_base = ${affineCode({ shader, indices }, operand.batch)};`);
  }
  const perRow = columns / 4;
  const sums = range(rows * perRow).map(() => shader.name('c'));
  for (const sum of sums) shader.line(`var ${sum} = vec4<f32>(0.0);`);
  shader.line(`let down = i32(lane) / ${across};`);
  shader.line(`let along = i32(lane) % ${across};`);
  shader.line(`for (var k = ${from}; k < ${to}; k += ${depth}) {`);
  const targets = range(4).map((i) => `in_${i}`);
  for (const target of targets) shader.line(`var ${target} = vec4<f32>(0.0);`);
  shader.line(`if (lane < ${half}u) {`);
  for (const [operand, name, first, limit] of [
    [a, 'a', rowTile, limits.m],
    [b, 'b', columnTile, limits.n],
  ] as const) {
    const place = {
      base: `${name}_base`,
      first: `(${first} + ${name}_other * 4)`,
      limit,
      k: `(k + ${name}_k)`,
      end: to,
    };
    writeBlock(shader, operand, place, targets);
    targets.forEach((target, step) => {
      shader.line(
        `${name === 'a' ? 'left' : 'right'}[(${name}_k + ${step}) * ${stride} + ${name}_other] = ${target};`,
      );
    });
    if (name === 'a') shader.line('} else {');
  }
  shader.line('}');
  shader.line('workgroupBarrier();');
  writeProducts(shader, { rows, perRow, stride }, sums);
  shader.line('workgroupBarrier();');
  shader.line('}');
  const row = shader.let('m', `${rowTile} + down * ${rows}`);
  const column = shader.let('n', `${columnTile} + along * ${columns}`);
  writeEpilogue(plan, { sums, perRow, step: 4, row, column }, indices, limits);
  return shader.finish(tilesOf(task.kernel, tile), size);
}

/** Adds the products of the loaded tiles to the sums: four steps of `k` in the text, the rest a loop. */
function writeProducts(
  shader: Shader,
  { rows, perRow, stride }: { rows: number; perRow: number; stride: number },
  sums: readonly string[],
): void {
  const unrolled = 4;
  shader.line(`for (var step = 0; step < ${depth}; step += ${unrolled}) {`);
  for (const u of range(unrolled)) {
    const line = `(step + ${u}) * ${stride}`;
    const lefts = range(rows / 4).map((i) => shader.let('l', `left[${line} + down * ${rows / 4} + ${i}]`));
    const rights = range(perRow).map((i) => shader.let('r', `right[${line} + along * ${perRow} + ${i}]`));
    for (const i of range(rows)) {
      rights.forEach((right, part) => {
        const sum = sums[i * perRow + part];
        shader.line(`${sum} = fma(vec4<f32>(${lefts[i >> 2]}.${'xyzw'[i & 3]}), ${right}, ${sum});`);
      });
    }
  }
  shader.line('}');
}
