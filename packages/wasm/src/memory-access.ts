/** Loads and stores of up to four lanes at any stride, and the masks that truth values become. */
import { type DType, dtypes } from '@clipin/kernel';
import { type Code, i32x4, load, loadLane, op, plus, shuffle, storeLane, storeVector } from './code';
import { halfBytes, loadHalves, storeHalves } from './half';
import type { FunctionBuilder } from './module';

/** Bytes of an element in memory; those of scratch memory, which has no dtype, are 4. */
export const bytesOf = (dtype: DType | undefined): number => (dtype === undefined ? 4 : dtypes[dtype].bytes);

/**
 * A vector of `lanes` elements of some bytes whose neighbours lie `stride` elements apart, lane 0 at `address`; lanes beyond
 * are zero or repeat the first.
 */
export function loadVector(
  f: FunctionBuilder,
  address: Code,
  stride: number,
  lanes: number,
  bytes = 4,
): Code {
  if (bytes === halfBytes) return loadHalves(f, address, stride, lanes);
  if (stride === 0) return load('v128.load32_splat', address);
  if (lanes === 1) return load('v128.load32_zero', address);
  if (stride === 1 && lanes === 4) return load('v128.load', address);
  if (stride === -1 && lanes === 4) {
    const reversed = f.local('v128');
    return [
      reversed.set(load('v128.load', plus(address, -12))),
      shuffle(reversed.get, reversed.get, [3, 2, 1, 0]),
    ];
  }
  if (stride === 1) {
    const pair = load('v128.load64_zero', address);
    return lanes === 2 ? pair : loadLane(plus(address, 8), pair, 2);
  }
  let vector: Code = load('v128.load32_zero', address);
  for (let lane = 1; lane < lanes; lane++) vector = loadLane(plus(address, 4 * lane * stride), vector, lane);
  return vector;
}

/** Stores the first `lanes` lanes side by side. `value` is evaluated more than once for 3 lanes: pass a local. */
export function storeVectorLanes(address: Code, value: Code, lanes: number, bytes = 4): Code {
  if (bytes === halfBytes) return storeHalves(address, value, lanes);
  if (lanes === 4) return storeVector(address, value);
  if (lanes === 1) return storeLane(32, address, value, 0);
  const pair = storeLane(64, address, value, 0);
  return lanes === 2 ? pair : [pair, storeLane(32, address, value, 2, 8)];
}

/** Turns what memory holds into what registers hold. */
export const fromMemory = (dtype: DType, value: Code): Code =>
  dtype === 'bool' ? op('i32x4.ne', value, i32x4(0)) : value;

/** Turns what registers hold into what memory holds. */
export const toMemory = (dtype: DType, value: Code): Code =>
  dtype === 'bool' ? op('v128.and', value, i32x4(1)) : value;
