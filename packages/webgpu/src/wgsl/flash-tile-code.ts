/**
 * What the flash kernels of attention have in common: tiles of rows in workgroup memory, the products of their rows, the
 * sums that weighted rows add up to. A row is a query, a key, a value or a gradient of one head. A workgroup owns rows
 * of one kind and walks over those of the other; an invocation takes four own rows, and shares them with the others of
 * its line: each takes every `across`-th walked row, and every `across`-th vec4 of the results.
 */
import type { Operand } from '@clipin/kernel';
import { sizeOf } from '@clipin/kernel';
import { writeIndices } from './loop-code';
import { affineCode, isAlignedRun } from './program-code';
import { Shader } from './shader';
import type { BufferNumber, Dispatch, FlashBackwardKernel, FlashKernel, FlashTiling, Task } from './task';

/** A flash kernel while it is written. */
export interface FlashPlan {
  readonly task: Task<FlashKernel | FlashBackwardKernel>;
  readonly shader: Shader;
  readonly tiling: FlashTiling;
  /** Which rows the workgroup owns. */
  readonly own: 'query' | 'key';
  /** Vec4 in a row, and from row to row in workgroup memory: an odd number, so that neighbours lie in other banks. */
  readonly width: number;
  readonly stride: number;
  /** Names of the indices of the batch entry and the head. */
  readonly outer: readonly string[];
  /** Expressions: the number of queries and keys. */
  readonly counts: { readonly query: string; readonly key: string };
  /** Name of the first row that the workgroup owns, and of a vec4 of those that the invocation takes. */
  readonly first: string;
  readonly rows: string;
}

export const range = (n: number): number[] => [...Array(n).keys()];

/** Vec4 that a row takes in workgroup memory. */
export const rowStride = (dim: number): number => Math.ceil(dim / 4) | 1;

/** Vec4 from column to column of a matrix of weights: again so that neighbours lie in other banks. */
export const weightStride = ({ own }: FlashTiling): number => own / 4 + 1;

export const invocationsOf = ({ own, across }: FlashTiling): number => (own / 4) * across;

/** Starts a kernel: finds the workgroup's head and rows. */
export function planFlash(
  task: Task<FlashKernel | FlashBackwardKernel>,
  own: 'query' | 'key',
  operands: readonly Operand[],
): FlashPlan {
  const { batch, heads, queries, keys, dim, mask, tiling } = task.kernel;
  const shader = new Shader(task);
  for (const { input, index } of operands) {
    if (dim % 4 !== 0 || !isAlignedRun(index, 3)) shader.unpack(shader.inputNumber(input));
  }
  if (mask) shader.unpack(shader.inputNumber(mask.input));
  const sizes = { query: shader.param(queries), key: shader.param(keys) };
  const [b = '', h = '', tile = ''] = writeIndices(shader, 'group', [batch, heads, tilesOf(task, own)]);
  const first = shader.let('first', `${tile} * ${tiling.own}`);
  shader.line(`let down = i32(lane) / ${tiling.across};`);
  shader.line(`let along = i32(lane) % ${tiling.across};`);
  const rows = shader.let('rows', `vec4<i32>(${first} + down * 4) + vec4<i32>(0, 1, 2, 3)`);
  const width = Math.ceil(dim / 4);
  return {
    ...{ task, shader, tiling, own, width, stride: rowStride(dim), outer: [b, h] },
    ...{ counts: sizes, first, rows },
  };
}

const tilesOf = ({ kernel }: FlashPlan['task'], own: 'query' | 'key'): number =>
  Math.ceil((own === 'query' ? kernel.queries : kernel.keys) / kernel.tiling.own);

/** The finished dispatch. */
export function finishFlash({ task, shader, tiling, own }: FlashPlan): Dispatch {
  const { batch, heads } = task.kernel;
  return shader.finish(sizeOf([batch, heads, tilesOf(task, own)]), invocationsOf(tiling));
}

/** Declares a tile of rows. */
export function declareTile({ shader, stride }: FlashPlan, name: string, rows: number): void {
  shader.declare(`var<workgroup> ${name}: array<vec4<f32>, ${rows * stride}>;`);
}

/** Declares a matrix of weights: a vec4 of own rows for each column, a walked row. */
export function declareWeights({ shader, tiling }: FlashPlan, name: string): void {
  shader.declare(`var<workgroup> ${name}: array<vec4<f32>, ${tiling.walked * weightStride(tiling)}>;`);
}

/**
 * Prepares to load tiles of an operand: what does not change from tile to tile is written now. The function that it
 * gives writes the load of `rows` rows from `first` on; beyond the operand's end they are 0.
 */
export function tileLoader(
  { task, shader, tiling, width, stride, outer, counts }: FlashPlan,
  { input, index }: Operand,
  of: 'query' | 'key',
  factor?: string,
): (tile: string, rows: number, first: string) => void {
  const { dim } = task.kernel;
  const number = shader.inputNumber(input);
  const [b = 0, h = 0, tokens = 0, along = 0] = index.strides;
  const base = shader.let(
    'base',
    affineCode({ shader, indices: outer }, { ...index, strides: [b, h, 0, 0] }),
  );
  const perRow = shader.param(tokens);
  const isRun = dim % 4 === 0 && isAlignedRun(index, 3);
  const perElement = along === 1 ? '' : ` * ${shader.param(along)}`;
  const end = dim % 4 === 0 ? undefined : shader.param(dim);
  return (tile, rows, first) => {
    shader.line(`for (var e = i32(lane); e < ${rows * width}; e += ${invocationsOf(tiling)}) {`);
    shader.line(`let r = e / ${width};`);
    shader.line(`let d = e % ${width};`);
    shader.line('var x = vec4<f32>(0.0);');
    shader.line(`if (${first} + r < ${counts[of]}) {`);
    shader.line(`let at = ${base} + (${first} + r) * ${perRow};`);
    const loaded = isRun
      ? shader.loadRun(number, '(at + d * 4)')
      : shader.loadFour(
          number,
          range(4).map((lane) => `at + (d * 4 + ${lane})${perElement}`),
        );
    shader.line(`x = ${factor ? `${loaded} * ${factor}` : loaded};`);
    if (end)
      shader.line(
        `x = select(vec4<f32>(0.0), x, vec4<i32>(d * 4) + vec4<i32>(0, 1, 2, 3) < vec4<i32>(${end}));`,
      );
    shader.line('}');
    shader.line(`${tile}[r * ${stride} + d] = x;`);
    shader.line('}');
  };
}

/** The place in its tile of the walked row that the invocation takes as its `i`-th. */
export const columnOf = ({ tiling }: FlashPlan, i: number): string =>
  i ? `(along + ${i * tiling.across})` : 'along';

/** Walked rows that an invocation takes from a tile. */
export const columns = ({ tiling }: FlashPlan): number[] => range(tiling.walked / tiling.across);

/** Writes the scalar products of own and walked rows. Gives, for each walked row, the name of a vec4 over own rows. */
export function writeProducts(plan: FlashPlan, own: string, walked: string): string[] {
  const { shader, stride, width } = plan;
  const products = columns(plan).map(() => shader.name('s'));
  for (const product of products) shader.line(`var ${product} = vec4<f32>(0.0);`);
  shader.line(`for (var d = 0; d < ${width}; d++) {`);
  const rows = range(4).map((row) => shader.let('a', `${own}[(down * 4 + ${row}) * ${stride} + d]`));
  products.forEach((product, i) => {
    const b = shader.let('b', `${walked}[${columnOf(plan, i)} * ${stride} + d]`);
    shader.line(`${product} += vec4<f32>(${rows.map((row) => `dot(${row}, ${b})`).join(', ')});`);
  });
  shader.line('}');
  return products;
}

/**
 * Writes which own rows see, or are seen by, each walked row of the tile from `first` on: for each the name of a
 * `vec4<bool>`. Rows beyond the operands' ends are not seen, where they are walked rows.
 */
export function writeSeen(plan: FlashPlan, first: string): string[] {
  const { task, shader, outer, counts, own, rows } = plan;
  const { causal, mask } = task.kernel;
  const walked = own === 'query' ? 'key' : 'query';
  const strides = mask?.index.strides ?? [];
  const [perOwn, perWalked] = own === 'query' ? [strides[2], strides[3]] : [strides[3], strides[2]];
  const maskBase =
    mask &&
    shader.let(
      'mask',
      `vec4<i32>(${affineCode({ shader, indices: outer }, { ...mask.index, strides: [...strides.slice(0, 2), 0, 0] })}) + ${rows} * ${shader.param(perOwn ?? 0)}`,
    );
  const step = mask && shader.param(perWalked ?? 0);
  return columns(plan).map((i) => {
    const row = shader.let('c', `${first} + ${columnOf(plan, i)}`);
    const conditions = [`vec4<bool>(${row} < ${counts[walked]})`];
    if (causal)
      conditions.push(own === 'query' ? `(vec4<i32>(${row}) <= ${rows})` : `(${rows} <= vec4<i32>(${row}))`);
    if (mask) {
      const at = shader.let('m', `${maskBase} + vec4<i32>(${row} * ${step})`);
      const places = range(4).map((lane) => `${at}.${'xyzw'[lane]}`);
      conditions.push(shader.loadFour(shader.inputNumber(mask.input), places));
    }
    return shader.let('seen', conditions.join(' & '));
  });
}

/** Stores a vec4 over own rows into a matrix of weights, as the column of the `i`-th walked row. */
export function writeWeight(plan: FlashPlan, matrix: string, i: number, value: string): void {
  plan.shader.line(`${matrix}[${columnOf(plan, i)} * ${weightStride(plan.tiling)} + down] = ${value};`);
}

/** Sums of an invocation: `[row][part]`, a vec4 each. */
export type Sums = readonly (readonly string[])[];

/** Declares sums, all 0. */
export function declareSums({ shader, width, tiling }: FlashPlan): Sums {
  const parts = range(Math.ceil(width / tiling.across));
  const sums = range(4).map(() => parts.map(() => shader.name('sum')));
  for (const sum of sums.flat()) shader.line(`var ${sum} = vec4<f32>(0.0);`);
  return sums;
}

/** Adds the walked rows of a tile, each with the weights that the own rows have for it. */
export function writeAdd(plan: FlashPlan, matrix: string, walked: string, sums: Sums): void {
  const { shader, tiling, stride } = plan;
  shader.line(`for (var j = 0; j < ${tiling.walked}; j++) {`);
  const weights = shader.let('w', `${matrix}[j * ${weightStride(tiling)} + down]`);
  const parts = (sums[0] ?? []).map((_, part) =>
    // The last part may lie beyond the row: what is read there is not stored.
    shader.let('v', `${walked}[j * ${stride} + along + ${part * tiling.across}]`),
  );
  sums.forEach((row, r) => {
    row.forEach((sum, part) => {
      shader.line(`${sum} = fma(vec4<f32>(${weights}.${'xyzw'[r]}), ${parts[part]}, ${sum});`);
    });
  });
  shader.line('}');
}

/**
 * Writes the stores of sums to an output `[batch, tokens, heads, dim]`.
 *
 * @param value - the expression that is stored for a sum of own row `row` of four
 */
export function writeRows(
  { task, shader, tiling, own, width, outer, counts, rows }: FlashPlan,
  number: BufferNumber,
  sums: Sums,
  value: (sum: string, row: number) => string,
): void {
  const { heads, dim } = task.kernel;
  const [b, h] = outer;
  const [headCount, size] = [shader.param(heads), shader.param(dim)];
  sums.forEach((parts, r) => {
    const row = `${rows}.${'xyzw'[r]}`;
    shader.line(`if (${row} < ${counts[own]}) {`);
    const base = shader.let('at', `((${b} * ${counts[own]} + ${row}) * ${headCount} + ${h}) * ${size}`);
    parts.forEach((sum, part) => {
      shader.line(`if (along + ${part * tiling.across} < ${width}) {`);
      const d = shader.let('d', `(along + ${part * tiling.across}) * 4`);
      if (shader.isPacked(number)) shader.storePacked(number, `(${base} + ${d})`, value(sum, r));
      else {
        const four = shader.let('x', value(sum, r));
        for (const lane of range(4)) {
          shader.line(`if (${d} + ${lane} < ${size}) {`);
          shader.store(number, `${base} + ${d} + ${lane}`, `${four}.${'xyzw'[lane]}`);
          shader.line('}');
        }
      }
      shader.line('}');
    });
    shader.line('}');
  });
}
