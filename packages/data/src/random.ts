/**
 * Random draws addressed by (seed, stream, index): any item of the data set can be made without the ones before it.
 * The generator itself is pure-rand's xoroshiro128+; this file only turns an address into its 128-bit state.
 */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';

/** A stateful source of draws that starts from one address. */
export interface Random {
  /** A whole number in `[0, n)`. */
  int(n: number): number;
  /** A number in `[0, 1)`. */
  float(): number;
  /** True with probability `p`. */
  chance(p: number): boolean;
  /** One element, uniformly. */
  pick<T>(from: readonly T[]): T;
}

/** 32-bit FNV-1a of a string: stable over runs and machines. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/** The finalizer of MurmurHash3: each input bit reaches each output bit. */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * The draws at one address.
 * @param seed - whole number; different seeds give unrelated data sets
 * @param stream - what the draws are for, such as `"train/scene"`
 * @param index - whole number, 0 or more
 */
export function randomAt(seed: number, stream: string, index: number): Random {
  const [low, high, name] = [index | 0, Math.floor(index / 2 ** 32), hashText(stream)];
  // Two chains that take the parts in different order; every word of the state depends on every part, because the
  // generator's first draws are sums of single words.
  const a = [name, low, high].reduce((hash, part) => mix(hash ^ part), mix(seed ^ 0x9e3779b9));
  const b = [seed, high, name].reduce((hash, part) => mix(hash + part), mix(low ^ 0x7f4a7c15));
  const generator = xoroshiro128plusFromState([a, b, mix(b ^ 0x3c6ef372), mix(a ^ 0x1b873593) | 1]);
  const int = (n: number) => uniformInt(generator, 0, n - 1);
  const float = () => uniformFloat64(generator);
  return {
    int,
    float,
    chance: (p) => float() < p,
    pick: (from) => {
      const chosen = from[int(from.length)];
      if (chosen === undefined) throw new RangeError('pick: the list is empty; give at least one element');
      return chosen;
    },
  };
}
