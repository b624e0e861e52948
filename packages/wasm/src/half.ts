/**
 * Halves: what a register of dtype `f16` holds are the 16 bits of each, in the lower half of its lane. So kernels that only
 * move halves convert nothing. Conversions are made of integer operations: exact, subnormal halves and NaN included.
 */
import {
  type Code,
  doWhile,
  i32,
  i32x4,
  ifElse,
  load,
  loadHalfLane,
  op,
  plus,
  shuffle,
  storeLane,
  storeVector,
} from './code';
import { FunctionBuilder, type Local, type ModuleBuilder } from './module';

/** Bytes of a half in memory. */
export const halfBytes = 2;

const and = (a: Code, b: Code): Code => op('v128.and', a, b);
const or = (a: Code, b: Code): Code => op('v128.or', a, b);
const add = (a: Code, b: Code): Code => op('i32x4.add', a, b);
const shiftLeft = (a: Code, by: number): Code => op('i32x4.shl', a, i32(by));
const shiftRight = (a: Code, by: number): Code => op('i32x4.shr_u', a, i32(by));

/** f32 has 8 bits of exponent with bias 127, a half 5 with bias 15. */
const rebias = (127 - 15) << 23;
/** 2⁻¹⁴, the least normal half, as the bits of an f32. */
const leastNormal = 113 << 23;

/** Halves as f32. */
export function widenHalves(f: FunctionBuilder, halves: Code): Code {
  const [bits, size, wide] = [f.local('v128'), f.local('v128'), f.local('v128')];
  // Infinity and NaN have the greatest exponent there too.
  const special = and(op('i32x4.gt_s', size.get, i32x4(0x7bff)), i32x4(rebias));
  // A subnormal half is a number of the normal ones' first binade, less where that begins.
  const subnormal = op('f32x4.sub', add(wide.get, i32x4(1 << 23)), i32x4(leastNormal));
  const isSubnormal = op('i32x4.gt_s', i32x4(0x400), size.get);
  return [
    bits.set(halves),
    size.set(and(bits.get, i32x4(0x7fff))),
    wide.set(add(shiftLeft(size.get, 13), i32x4(rebias))),
    or(
      op('v128.bitselect', subnormal, add(wide.get, special), isSubnormal),
      shiftLeft(op('v128.xor', bits.get, size.get), 16),
    ),
  ];
}

/** f32 rounded to halves: to nearest, ties to even, beyond 65504 to infinity. */
export function narrowToHalves(f: FunctionBuilder, value: Code): Code {
  const [bits, size, result] = [f.local('v128'), f.local('v128'), f.local('v128')];
  const odd = and(shiftRight(size.get, 13), i32x4(1));
  const normal = shiftRight(add(add(size.get, i32x4(0xfff - rebias)), odd), 13);
  // The last place of what is added to is that of the subnormal halves: the addition rounds as they do.
  const half = i32x4(0x3f000000);
  const subnormal = op('i32x4.sub', op('f32x4.add', size.get, half), half);
  const nan = and(op('i32x4.gt_s', size.get, i32x4(0x7f800000)), i32x4(0x200));
  return [
    bits.set(value),
    size.set(and(bits.get, i32x4(0x7fffffff))),
    result.set(op('v128.bitselect', subnormal, normal, op('i32x4.gt_s', i32x4(leastNormal), size.get))),
    result.set(
      op('v128.bitselect', or(nan, i32x4(0x7c00)), result.get, op('i32x4.gt_s', size.get, i32x4(0x477fffff))),
    ),
    or(result.get, shiftRight(op('v128.xor', bits.get, size.get), 16)),
  ];
}

/**
 * The function `widenLines(from, to, lines, length, fromStride, toStride)`, by index: lines of halves as lines of f32, strides in
 * bytes. Lines are taken in whole vectors: there is room for them at `to`.
 */
export const widenLines = (module: ModuleBuilder): number =>
  module.helper('widenLines', () => {
    const f = new FunctionBuilder(Array.from({ length: 6 }, () => 'i32'));
    const [from, to, lines, length, fromStride, toStride] = f.params as [
      Local,
      Local,
      Local,
      Local,
      Local,
      Local,
    ];
    const [at, target, end] = [f.local('i32'), f.local('i32'), f.local('i32')];
    const wide = f.local('v128');
    const line = [
      at.set(from.get),
      target.set(to.get),
      end.set(op('i32.add', from.get, op('i32.mul', length.get, i32(halfBytes)))),
      f.count(at, end.get, 4 * halfBytes, [
        wide.set(widenHalves(f, load('v128.load16x4_u', at.get))),
        storeVector(target.get, wide.get),
        target.add(16),
      ]),
      from.set(op('i32.add', from.get, fromStride.get)),
      to.set(op('i32.add', to.get, toStride.get)),
      lines.add(-1),
    ];
    f.body = ifElse(op('i32.gt_s', lines.get, i32(0)), doWhile(line, op('i32.gt_s', lines.get, i32(0))));
    return f;
  });

/** `loadVector` of halves. */
export function loadHalves(f: FunctionBuilder, address: Code, stride: number, lanes: number): Code {
  if (stride === 0) return and(load('v128.load16_splat', address), i32x4(0xffff));
  if (lanes === 4 && stride === 1) return load('v128.load16x4_u', address);
  if (lanes === 4 && stride === -1) {
    const reversed = f.local('v128');
    return [
      reversed.set(load('v128.load16x4_u', plus(address, -3 * halfBytes))),
      shuffle(reversed.get, reversed.get, [3, 2, 1, 0]),
    ];
  }
  let vector: Code = i32x4(0);
  for (let lane = 0; lane < lanes; lane++)
    vector = loadHalfLane(plus(address, halfBytes * lane * stride), vector, lane);
  return vector;
}

/** `storeVectorLanes` of halves. */
export function storeHalves(address: Code, value: Code, lanes: number): Code {
  const packed = op('i16x8.narrow_i32x4_u', value, value);
  if (lanes === 4) return storeLane(64, address, packed, 0);
  if (lanes === 1) return storeLane(16, address, packed, 0);
  const pair = storeLane(32, address, packed, 0);
  return lanes === 2 ? pair : [pair, storeLane(16, address, packed, 2, 2 * halfBytes)];
}
