/**
 * Halves in shaders: storage that is read as f32 and written from f32 that a half can hold, which `round_half` makes. With
 * WGSL's f16 a buffer is an array of that; without, of 32-bit words with two halves each, and then only whole groups of
 * four are written, since nothing writes half a word (`unpacked-halves.ts` sees to it).
 */

/** What writes a shader, as far as it is needed here. */
interface Writer {
  /** Makes a helper function available and gives its name. */
  helper(name: string): string;
  /** Adds `let` of a fresh name and gives the name. */
  let(prefix: string, expression: string): string;
}

/** The element type of a buffer of halves; of one that is packed, of four at once. */
export const halfElement = (native: boolean, packed: boolean): string =>
  native ? (packed ? 'vec4<f16>' : 'f16') : packed ? 'vec2<u32>' : 'u32';

/** Element `index` of an unpacked buffer as f32. */
export const loadHalf = (shader: Writer, native: boolean, buffer: string, index: string): string =>
  native
    ? `f32(${buffer}[${index}])`
    : `${shader.helper('half_of_1')}(${buffer}[(${index}) >> 1u], u32(${index}))`;

/** Four elements from `index` on, a multiple of four, of a packed buffer. */
export function loadFourHalves(shader: Writer, native: boolean, buffer: string, index: string): string {
  const loaded = `${buffer}[${index} >> 2u]`;
  return native ? `vec4<f32>(${loaded})` : `${shader.helper('halves_of_4')}(${loaded})`;
}

/** What an unpacked buffer holds of one f32 that is a half. The bits are moved, so no conversion has a say. */
export function encodeHalf(shader: Writer, native: boolean, value: string): string {
  if (!native) throw new Error('webgpu: without f16 in WGSL, halves are written in groups of four');
  return `bitcast<vec2<f16>>(${shader.helper('half_bits_1')}(${value})).x`;
}

/** What a packed buffer holds of four. */
export function encodeFourHalves(shader: Writer, native: boolean, value: string): string {
  const bits = shader.let('h', `${shader.helper('half_bits_4')}(${value})`);
  const words = `(${bits}.xz | (${bits}.yw << vec2<u32>(16u)))`;
  return native ? `bitcast<vec4<f16>>(${words})` : words;
}
