/** From a scene to pixels. Sprites are scaled once for each size, then only blended. */
import { type Art, spriteOf } from '../art/art';
import type { Hand } from '../art/hands';
import { resizeArea } from '../art/rasterize';
import { itemOf } from '../inventory/inventory';
import { BACKGROUNDS, centerOf, type Placed, type Scene, SIZES } from './scene';

/** Mean of red, green and blue that CLIP's pictures are normalised with (OpenAI CLIP, preprocessing). */
export const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073] as const;
/** Standard deviation that goes with {@link CLIP_MEAN}. */
export const CLIP_STD = [0.26862954, 0.26130258, 0.27577711] as const;

/** What is taken from channels between 0 and 1, and what they are then divided by: red, green and blue. */
export interface Normalization {
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** Draws scenes on a canvas of fixed size. */
export interface Renderer {
  /** Side of the canvas in pixels. */
  canvas: number;
  /**
   * Draws a scene by a hand.
   * @param into - where to write; made anew if not given
   * @param offset - first element to write
   * @returns red, green and blue, `[canvas, canvas, 3]`
   */
  render(scene: Scene, hand: Hand, into?: Float32Array, offset?: number): Float32Array;
}

/** Options of {@link createRenderer}. */
export interface RendererOptions {
  /** Side of the canvas in pixels; 48 by default. */
  canvas?: number;
  /** `clip` (the default) normalises with CLIP's mean and deviation, others by their own; `unit` gives values in `[0, 1]`. */
  scale?: 'clip' | 'unit' | Normalization;
}

interface Sprite {
  side: number;
  /** Premultiplied colour, already in the output's scale, and alpha: `[side, side, 4]`. */
  data: Float32Array;
}

function normalizationOf(scale: 'clip' | 'unit' | Normalization): Normalization {
  if (scale === 'clip') return { mean: CLIP_MEAN, std: CLIP_STD };
  return scale === 'unit' ? { mean: [0, 0, 0], std: [1, 1, 1] } : scale;
}

/** Makes a renderer over loaded art. */
export function createRenderer(art: Art, { canvas = 48, scale = 'clip' }: RendererOptions = {}): Renderer {
  if (!Number.isInteger(canvas) || canvas < 16) {
    throw new RangeError(`createRenderer: canvas must be a whole number from 16 up, got ${canvas}`);
  }
  const { mean, std } = normalizationOf(scale);
  const sprites = new Map<string, Sprite>();

  const spriteFor = (hand: Hand, object: Placed): Sprite => {
    const key = `${hand} ${object.item} ${object.size}`;
    let sprite = sprites.get(key);
    if (!sprite) {
      const side = Math.round(SIZES[object.size] * canvas);
      const pixels = spriteOf(art, hand, itemOf(object.item));
      const { data } = resizeArea({ width: art.size, height: art.size, data: pixels }, side, side);
      // Normalising is affine, so it may happen before blending: (c + (1-a) b - m) / s = (c - a m) / s + (1-a) (b - m) / s.
      for (let i = 0; i < data.length; i += 4) {
        const alpha = data[i + 3]! / 255;
        for (let c = 0; c < 3; c++) data[i + c] = (data[i + c]! / 255 - alpha * mean[c]!) / std[c]!;
        data[i + 3] = alpha;
      }
      sprite = { side, data };
      sprites.set(key, sprite);
    }
    return sprite;
  };

  const blend = (object: Placed, { side, data }: Sprite, out: Float32Array, offset: number): void => {
    const [x, y] = centerOf(object);
    const corner = (center: number, shift: number) =>
      Math.min(canvas - side, Math.max(0, Math.round((center + shift) * canvas - side / 2)));
    const left = corner(x, object.shift[0]);
    const top = corner(y, object.shift[1]);
    for (let row = 0; row < side; row++) {
      const sourceRow = object.upsideDown ? side - 1 - row : row;
      let target = offset + ((top + row) * canvas + left) * 3;
      let source = (sourceRow * side + (object.mirrored ? side - 1 : 0)) * 4;
      const step = object.mirrored ? -4 : 4;
      for (let column = 0; column < side; column++, target += 3, source += step) {
        const alpha = data[source + 3]!;
        if (alpha === 0) continue;
        for (let c = 0; c < 3; c++) out[target + c] = out[target + c]! * (1 - alpha) + data[source + c]!;
      }
    }
  };

  return {
    canvas,
    render(scene, hand, into = new Float32Array(canvas * canvas * 3), offset = 0) {
      const end = offset + canvas * canvas * 3;
      if (into.length < end)
        throw new RangeError(`render: a scene needs ${end} elements, the array has ${into.length}`);
      const color = BACKGROUNDS[scene.background].map((value, c) => (value / 255 - mean[c]!) / std[c]!);
      for (let i = offset; i < end; i += 3) {
        into[i] = color[0]!;
        into[i + 1] = color[1]!;
        into[i + 2] = color[2]!;
      }
      for (const object of scene.objects) blend(object, spriteFor(hand, object), into, offset);
      return into;
    },
  };
}
