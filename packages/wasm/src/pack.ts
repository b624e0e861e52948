/** Packing: a function that copies one panel of a matrix, a few lanes wide, to where tiles of products read it in order. */
import { type Code, doWhile, i32, i32x4, ifElse, loadInt, op, plus, shuffle } from './code';
import { halfBytes, widenHalves } from './half';
import { loadVector, storeVectorLanes } from './memory-access';
import { FunctionBuilder, type Local, type ModuleBuilder } from './module';

/** Bytes of a line of cache, or fewer. */
const lineBytes = 64;

/** How a matrix is cut into panels: strides in elements across the panel and along k. */
export interface PackLayout {
  /** Lanes across a panel. */
  readonly width: number;
  readonly across: number;
  readonly along: number;
  /** Whether what is packed are halves; the panels hold f32. */
  readonly half?: boolean;
}

/** The function `pack(from, to, k)`, by index: one panel of `count` lanes as `[k][width]`, lanes beyond `count` zero. */
export const packFunction = (module: ModuleBuilder, layout: PackLayout, count: number): number =>
  module.helper(`pack ${count} ${JSON.stringify(layout)}`, () => buildPack(layout, count));

function buildPack({ width, across, along, half }: PackLayout, count: number): FunctionBuilder {
  const f = new FunctionBuilder(['i32', 'i32', 'i32']);
  const bytes = half ? halfBytes : 4;
  const loadFloats = (address: Code, stride: number, lanes: number): Code => {
    const loaded = loadVector(f, address, stride, lanes, bytes);
    return half ? widenHalves(f, loaded) : loaded;
  };
  const [from, to, k] = f.params as [Local, Local, Local];
  /** Lanes of each vector of a panel's row: what is loaded, and what there is room for. */
  const groups = Array.from({ length: Math.ceil(width / 4) }, (_, group) => ({
    lanes: Math.max(0, Math.min(4, count - 4 * group)),
    room: Math.min(4, width - 4 * group),
  }));
  const value = f.local('v128');
  const single = [
    groups.map(({ lanes, room }, group) => [
      value.set(
        lanes === 0 ? i32x4(0) : loadFloats(plus(from.get, 4 * bytes * group * across), across, lanes),
      ),
      storeVectorLanes(plus(to.get, 16 * group), value.get, room),
    ]),
    from.add(bytes * along),
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
    groups.map(({ lanes, room }, group) => [
      columns.map((column, lane) =>
        column.set(
          lane < lanes ? loadFloats(plus(from.get, bytes * (4 * group + lane) * across), 1, 4) : i32x4(0),
        ),
      ),
      transpose(f, columns as [Local, Local, Local, Local]),
      columns.map((column, step) =>
        storeVectorLanes(plus(to.get, 4 * (step * width + 4 * group)), column.get, room),
      ),
    ]),
    from.add(4 * bytes),
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

/**
 * The function `touch(from, rows, bytes, stride)`, by index: reads a little of every line of cache of some rows. What is read in
 * order comes from memory at its full rate; tiles that walk rows side by side would wait for each line.
 */
export const touchFunction = (module: ModuleBuilder): number =>
  module.helper('touch', () => {
    const f = new FunctionBuilder(['i32', 'i32', 'i32', 'i32']);
    const [from, rows, bytes, stride] = f.params as [Local, Local, Local, Local];
    const at = f.local('i32');
    const end = f.local('i32');
    const row = [
      at.set(from.get),
      end.set(op('i32.add', from.get, bytes.get)),
      f.count(at, end.get, lineBytes, op('drop', loadInt(at.get))),
      op('drop', loadInt(plus(end.get, -4))),
      from.set(op('i32.add', from.get, stride.get)),
      rows.add(-1),
    ];
    f.body = ifElse(op('i32.gt_s', rows.get, i32(0)), doWhile(row, op('i32.gt_s', rows.get, i32(0))));
    return f;
  });
