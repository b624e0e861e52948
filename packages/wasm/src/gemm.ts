/**
 * The inner functions of matrix products: packing into panels, and `C = A · B` over packed panels by tiles of 4 rows
 * and 8 columns. The tile's loop is the one V8 compiles well: two vector loads, four splats, eight multiply-adds.
 */
import { type Code, doWhile, i32, i32x4, ifElse, load, op, plus, shuffle, storeVector } from './code';
import { madd, type Target } from './math';
import { loadVector } from './memory-access';
import { FunctionBuilder, type Local, type ModuleBuilder } from './module';

/** Rows and columns of a tile. */
export const tileRows = 4 as const;
export const panelColumns = 8 as const;

/** Where the gemm function finds its operands; all strides in bytes. */
export interface GemmLayout {
  /** From one row of A to the next inside a tile; not negative. */
  readonly aRow: number;
  /** From one step of k to the next in A. */
  readonly aStep: number;
  /** From one tile of 4 rows to the next in A. */
  readonly aTile: number;
  /** From one step of k to the next in B: 32 in packed panels. */
  readonly bStep: number;
  /** From one panel of 8 columns to the next in B. */
  readonly bPanel: number;
  /** From one row of C to the next; its rows hold whole panels. */
  readonly cRow: number;
}

/**
 * The function `gemm(a, b, c, rows, panels, k, accumulate)`, by index: C = A · B, added to what C holds if `accumulate` is not 0.
 * Each sum runs over k in order.
 */
export const gemmFunction = (module: ModuleBuilder, target: Target, layout: GemmLayout): number =>
  module.helper(`gemm ${JSON.stringify(layout)}`, () => buildGemm(target, layout));

function buildGemm(target: Target, layout: GemmLayout): FunctionBuilder {
  const f = new FunctionBuilder(['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32']);
  const [a, b, c, rows, panels, k, accumulate] = f.params as [
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
    Local,
  ];
  const aTile = f.local('i32');
  const cTile = f.local('i32');
  const left = f.local('i32');
  const steps = f.local('i32');
  const aAt = f.local('i32');
  const bAt = f.local('i32');
  const sums = Array.from({ length: 2 * tileRows }, () => f.local('v128'));
  const low = f.local('v128');
  const high = f.local('v128');
  const splats = Array.from({ length: tileRows }, () => f.local('v128'));
  const sumOf = (row: number, half: number) => sums[2 * row + half] as Local;

  const tile = (count: number): Code => {
    const each = (visit: (row: number, half: number) => Code): Code =>
      Array.from({ length: count }, (_, row) => [visit(row, 0), visit(row, 1)]);
    const offset = (row: number, half: number) => row * layout.cRow + 16 * half;
    const step = [
      low.set(load('v128.load', bAt.get)),
      high.set(load('v128.load', bAt.get, 16)),
      Array.from({ length: count }, (_, row) => {
        const splat = splats[row] as Local;
        return [
          splat.set(load('v128.load32_splat', aAt.get, row * layout.aRow)),
          sumOf(row, 0).set(madd(target, splat.get, low.get, sumOf(row, 0).get)),
          sumOf(row, 1).set(madd(target, splat.get, high.get, sumOf(row, 1).get)),
        ];
      }),
      aAt.add(layout.aStep),
      bAt.add(layout.bStep),
      steps.add(-1),
    ];
    return [
      ifElse(
        accumulate.get,
        each((row, half) => sumOf(row, half).set(load('v128.load', cTile.get, offset(row, half)))),
        each((row, half) => sumOf(row, half).set(i32x4(0))),
      ),
      aAt.set(aTile.get),
      bAt.set(b.get),
      steps.set(k.get),
      ifElse(steps.get, doWhile(step, steps.get)),
      each((row, half) => storeVector(cTile.get, sumOf(row, half).get, offset(row, half))),
    ];
  };

  const whole = op('i32.ge_s', left.get, i32(tileRows));
  const panel = [
    aTile.set(a.get),
    cTile.set(c.get),
    left.set(rows.get),
    ifElse(
      whole,
      doWhile(
        [tile(tileRows), aTile.add(layout.aTile), cTile.add(tileRows * layout.cRow), left.add(-tileRows)],
        whole,
      ),
    ),
    [1, 2, 3].map((count) => ifElse(op('i32.eq', left.get, i32(count)), tile(count))),
    b.add(layout.bPanel),
    c.add(4 * panelColumns),
    panels.add(-1),
  ];
  f.body = ifElse(panels.get, doWhile(panel, panels.get));
  return f;
}

/** How a matrix is cut into panels: strides in elements across the panel and along k. */
export interface PackLayout {
  /** Lanes across a panel: 8 for columns of B, 4 for rows of A. */
  readonly width: 4 | 8;
  readonly across: number;
  readonly along: number;
}

/** The function `pack(from, to, k)`, by index: one panel of `count` lanes as `[k][width]`, lanes beyond `count` zero. */
export const packFunction = (module: ModuleBuilder, layout: PackLayout, count: number): number =>
  module.helper(`pack ${count} ${JSON.stringify(layout)}`, () => buildPack(layout, count));

function buildPack({ width, across, along }: PackLayout, count: number): FunctionBuilder {
  const f = new FunctionBuilder(['i32', 'i32', 'i32']);
  const [from, to, k] = f.params as [Local, Local, Local];
  const groups = Array.from({ length: width / 4 }, (_, group) => Math.max(0, Math.min(4, count - 4 * group)));
  const vector = (group: number, lanes: number): Code =>
    lanes === 0 ? i32x4(0) : loadVector(f, plus(from.get, 16 * group * across), across, lanes);
  const single = [
    groups.map((lanes, group) => storeVector(to.get, vector(group, lanes), 16 * group)),
    from.add(4 * along),
    to.add(4 * width),
    k.add(-1),
  ];
  const singles = ifElse(k.get, doWhile(single, k.get));
  if (along !== 1 || across === 1) {
    f.body = singles;
    return f;
  }
  const four = op('i32.ge_s', k.get, i32(4));
  const columns = Array.from({ length: 4 }, () => f.local('v128'));
  const block = [
    groups.map((lanes, group) => [
      columns.map((column, lane) =>
        column.set(
          lane < lanes ? load('v128.load', plus(from.get, 4 * (4 * group + lane) * across)) : i32x4(0),
        ),
      ),
      transpose(f, columns as [Local, Local, Local, Local]),
      columns.map((column, step) => storeVector(to.get, column.get, 4 * (step * width + 4 * group))),
    ]),
    from.add(16),
    to.add(16 * width),
    k.add(-4),
  ];
  f.body = [ifElse(four, doWhile(block, four)), singles];
  return f;
}

/** Transposes a square of 4 by 4 in place. */
function transpose(f: FunctionBuilder, [a, b, c, d]: readonly [Local, Local, Local, Local]): Code {
  const halves = Array.from({ length: 4 }, () => f.local('v128'));
  const [lowAB, lowCD, highAB, highCD] = halves as [Local, Local, Local, Local];
  return [
    lowAB.set(shuffle(a.get, b.get, [0, 4, 1, 5])),
    lowCD.set(shuffle(c.get, d.get, [0, 4, 1, 5])),
    highAB.set(shuffle(a.get, b.get, [2, 6, 3, 7])),
    highCD.set(shuffle(c.get, d.get, [2, 6, 3, 7])),
    a.set(shuffle(lowAB.get, lowCD.get, [0, 1, 4, 5])),
    b.set(shuffle(lowAB.get, lowCD.get, [2, 3, 6, 7])),
    c.set(shuffle(highAB.get, highCD.get, [0, 1, 4, 5])),
    d.set(shuffle(highAB.get, highCD.get, [2, 3, 6, 7])),
  ];
}
