/**
 * Random numbers from explicit keys: threefry2x32 (Salmon et al. 2011), counter based, written with integer primitives, so
 * that every device gives the same bits. The layout is that of JAX's partitionable threefry.
 */
import { type Shape, sizeOf } from '@clipin/kernel';
import { arange, type CreateOptions, full, tensor } from './create';
import { stack } from './functions';
import { checkShape } from './operations';
import type { Tensor } from './tensor';

/** A key: u32 `[2]`. Use each key once; make more with `splitKey`. */
export type Key = Tensor;

/** The key of a seed, a whole number from 0 to 2⁵³ − 1. */
export function randomKey(seed: number, options: CreateOptions = {}): Key {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new RangeError(`randomKey: seed ${seed}; wants a whole number of at least 0`);
  return tensor(Uint32Array.of(Math.floor(seed / 2 ** 32), seed >>> 0), [2], { ...options, dtype: 'u32' });
}

const rotations = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;

function checkKey(operation: string, key: Key): void {
  if (key.dtype !== 'u32' || key.rank !== 1 || key.size !== 2) {
    throw new TypeError(
      `${operation}: ${String(key)} is not a key; make one with randomKey(seed) or splitKey(key, n)`,
    );
  }
}

/** Both words of threefry2x32 for counters `(0, 0) … (0, n − 1)`: u32 `[n]` each. */
function threefry(key: Key, n: number): [Tensor, Tensor] {
  const word = (i: number) => key.slice([i, i + 1]).expand([n]);
  const [k0, k1] = [word(0), word(1)];
  const k2 = k0.xor(k1).xor(full([n], 0x1bd11bda, { dtype: 'u32', device: key.device }));
  const schedule = [k0, k1, k2] as const;
  let x0 = k0;
  let x1 = arange(n, { device: key.device, dtype: 'u32' }).add(k1);
  for (let round = 0; round < 5; round++) {
    for (const rotation of rotations[(round % 2) as 0 | 1]) {
      x0 = x0.add(x1);
      x1 = x1
        .shiftLeft(rotation)
        .or(x1.shiftRight(32 - rotation))
        .xor(x0);
    }
    x0 = x0.add(schedule[((round + 1) % 3) as 0 | 1 | 2]);
    x1 = x1.add(schedule[((round + 2) % 3) as 0 | 1 | 2]).add(round + 1);
  }
  return [x0, x1];
}

/** `n` new keys, independent of each other and of `key`. */
export function splitKey(key: Key, n = 2): Key[] {
  checkKey('splitKey', key);
  if (!Number.isInteger(n) || n < 0)
    throw new RangeError(`splitKey: ${n} keys; wants a whole number of at least 0`);
  const words = stack(threefry(key, n), 1);
  return Array.from({ length: n }, (_, i) => words.slice([i, i + 1]).reshape([2]));
}

/** Uniform 32-bit numbers, u32. */
export function randomBits(key: Key, shape: Shape): Tensor {
  checkKey('randomBits', key);
  const n = sizeOf(checkShape('randomBits', shape));
  const [x0, x1] = threefry(key, n);
  return x0.xor(x1).reshape(shape);
}

/** Uniform in `[0, 1)`, multiples of 2⁻²³. */
export function uniform(key: Key, shape: Shape): Tensor {
  // 23 random bits as the fraction of a number in [1, 2).
  return randomBits(key, shape).shiftRight(9).or(0x3f800000).bitcast('f32').sub(1);
}

/** Standard normal, by the transform of Box and Muller. */
export function normal(key: Key, shape: Shape): Tensor {
  const [first, second] = splitKey(key) as [Key, Key];
  const radius = uniform(first, shape).neg().add(1).log().mul(-2).sqrt();
  return radius.mul(
    uniform(second, shape)
      .mul(2 * Math.PI)
      .cos(),
  );
}

/** True with probability `p`, from 0 to 1. */
export function bernoulli(key: Key, p: number, shape: Shape): Tensor {
  if (!(p >= 0 && p <= 1)) throw new RangeError(`bernoulli: probability ${p}; wants a number from 0 to 1`);
  return uniform(key, shape).less(p);
}
