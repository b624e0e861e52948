/**
 * Rotary position embedding (Su et al. 2021, eq. 34) with interleaved pairs, as LLaMA, TULIP and CLIP-IN use it: elements
 * `2j` and `2j + 1` of a head turn together by `position · base^(−2j/dim)`.
 */
import { type Device, type Tensor, tensor } from '@clipin/tensor';
import { checkInput } from './check';

/** Options of rotary positions. */
export interface RotaryOptions {
  /** Wavelengths go from 2π to nearly 2π · base positions. Default: 10000. */
  readonly base?: number;
  /** Position of the first token. Default: 0. */
  readonly offset?: number;
}

/** How far a rotary tower is stretched. */
export interface NtkOptions {
  /** Width of a head. */
  readonly dim: number;
  /** Context length that the tower was trained for. */
  readonly from: number;
  /** Context length that it is to have. */
  readonly to: number;
  /** How strongly it is stretched. Default: 8, as in TULIP. */
  readonly factor?: number;
  /** The base before. Default: 10000. */
  readonly base?: number;
}

/**
 * The base of rotary positions for a longer context, by "dynamic NTK" scaling as in TULIP's second stage:
 * `base · (factor · to/from − (factor − 1))^(dim/(dim − 2))`.
 *
 * @throws RangeError when the factor does not become positive, as with `to` much smaller than `from`
 */
export function ntkBase({ dim, from, to, factor = 8, base = 10000 }: NtkOptions): number {
  const stretch = (factor * to) / from - (factor - 1);
  if (!(stretch > 0) || dim <= 2)
    throw new RangeError(
      `ntkBase: from ${from} to ${to} tokens by ${factor} with heads ${dim} wide has no base`,
    );
  return base * stretch ** (dim / (dim - 2));
}

/** Cosines and signed sines, `[tokens, 1, dim]`, or `[batch, tokens, 1, dim]`. One table serves all layers. */
export interface RotaryTables {
  readonly cos: Tensor;
  /** −sin for even, +sin for odd elements. */
  readonly sin: Tensor;
}

/**
 * The tables of `rotate`, computed on the host in float64.
 *
 * @throws RangeError when `dim`, the width of a head, is odd
 */
export function rotaryTables(
  tokens: number,
  dim: number,
  device: Device,
  { base = 10000, offset = 0 }: RotaryOptions = {},
): RotaryTables {
  if (dim % 2 !== 0)
    throw new RangeError(`rotaryTables: heads are ${dim} wide; wants an even width, for pairs`);
  const cos = new Float64Array(tokens * dim);
  const sin = new Float64Array(tokens * dim);
  for (let token = 0; token < tokens; token++) {
    for (let i = 0; i < dim; i++) {
      const angle = (token + offset) * base ** (-(i - (i % 2)) / dim);
      cos[token * dim + i] = Math.cos(angle);
      sin[token * dim + i] = i % 2 === 0 ? -Math.sin(angle) : Math.sin(angle);
    }
  }
  const shape = [tokens, 1, dim];
  const options = { dtype: 'f32', device } as const;
  return { cos: tensor(cos, shape, options), sin: tensor(sin, shape, options) };
}

/** Turns queries or keys `[batch, tokens, heads, dim]`: `x · cos + swapPairs(x) · sin`, one kernel. */
export function rotate(x: Tensor, { cos, sin }: RotaryTables): Tensor {
  const [tokens, , dim] = cos.shape.slice(-3) as [number, number, number];
  checkInput('rotate', x, ['batch', tokens, 'heads', dim]);
  const swapped = x
    .reshape([...x.shape.slice(0, 3), dim / 2, 2])
    .flip(-1)
    .reshape(x.shape);
  return x.mul(cos).add(swapped.mul(sin));
}

/** The tables of tokens at other places of the table, i32 or u32 `[batch, tokens]`: `[batch, tokens, 1, dim]`. Default: unchanged. */
export function tablesAt({ cos, sin }: RotaryTables, places?: Tensor): RotaryTables {
  if (!places) return { cos, sin };
  const batchDims = cos.rank - 3; // tables that each row has for itself
  return { cos: cos.gather(places, { batchDims }), sin: sin.gather(places, { batchDims }) };
}

/** Rotary positions of queries or keys `[batch, tokens, heads, dim]` in one call: `rotate` with tables of its own. */
export function rotaryEmbedding(x: Tensor, options: RotaryOptions = {}): Tensor {
  checkInput('rotaryEmbedding', x, ['batch', 'tokens', 'heads', 'dim']);
  const [, tokens, , dim] = x.shape as readonly [number, number, number, number];
  return rotate(x, rotaryTables(tokens, dim, x.device, options));
}
