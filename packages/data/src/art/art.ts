/**
 * All sprites of the inventory, drawn once and kept in shared memory, so that a worker thread uses them without copying.
 */
import { handsFor, INVENTORY } from '../inventory/inventory';
import type { Item } from '../inventory/item';
import { checkHand, type Hand, openHand } from './hands';
import { rasterize } from './rasterize';

/** Sprites of some hands; plain data that can be sent to a worker. */
export interface Art {
  hands: readonly Hand[];
  /** Side of a sprite in pixels. */
  size: number;
  /** Premultiplied RGBA bytes, `[hand, item, size, size, 4]`; zero where a hand does not draw an item. */
  pixels: Uint8Array;
}

/** Options of {@link loadArt}. */
export interface ArtOptions {
  /** Side of a sprite in pixels; no larger than scenes need (a large object is half the canvas). Default: 64. */
  readonly size?: number;
}

/**
 * Draws the inventory by the given hands. Takes about half a second a hand.
 * @throws Error if a hand's package is not installed or has no drawing of an item
 */
export function loadArt(hands: readonly Hand[], { size = 64 }: ArtOptions = {}): Art {
  if (!Number.isInteger(size) || size < 8)
    throw new RangeError(`loadArt: size must be a whole number from 8 up, got ${size}`);
  const spriteBytes = size * size * 4;
  const pixels = new Uint8Array(new SharedArrayBuffer(hands.length * INVENTORY.length * spriteBytes));
  hands.forEach((hand, h) => {
    const drawings = openHand(checkHand(hand, 'loadArt'));
    INVENTORY.forEach((item, i) => {
      if (item.notBy.includes(hand)) return;
      const svg = drawings(item.code);
      if (!svg) throw new Error(`loadArt: the hand "${hand}" has no drawing of ${item.id} (${item.code})`);
      const sprite = rasterize(svg, size);
      pixels.set(
        item.flippedIn.includes(hand) ? mirrored(sprite, size) : sprite,
        (h * INVENTORY.length + i) * spriteBytes,
      );
    });
  });
  return { hands: [...hands], size, pixels };
}

const positions = new Map(INVENTORY.map((item, i) => [item.id, i]));

/**
 * The sprite of an item by a hand: premultiplied RGBA bytes, `[size, size, 4]`, a view into the art.
 * @throws RangeError if the art has no such hand, or the hand does not draw the item
 */
export function spriteOf(art: Art, hand: Hand, item: Item): Uint8Array {
  const h = art.hands.indexOf(hand);
  if (h < 0)
    throw new RangeError(`spriteOf: the art was loaded for ${art.hands.join(', ')}, not for "${hand}"`);
  if (handsFor([item], [hand]).length === 0)
    throw new RangeError(`spriteOf: the hand "${hand}" does not draw ${item.id}`);
  const spriteBytes = art.size * art.size * 4;
  const start = (h * INVENTORY.length + positions.get(item.id)!) * spriteBytes;
  return art.pixels.subarray(start, start + spriteBytes);
}

function mirrored(sprite: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(sprite.length);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const source = (y * size + x) * 4;
      out.set(sprite.subarray(source, source + 4), (y * size + size - 1 - x) * 4);
    }
  }
  return out;
}
