import { beforeAll, describe, expect, test } from 'vitest';
import { handsFor, INVENTORY } from '../inventory/inventory';
import { BACKGROUND_NAMES, BACKGROUNDS, isHidden } from '../scenes/scene';
import { type Art, loadArt, spriteOf } from './art';
import { HANDS, type Hand } from './hands';
import { resizeArea } from './rasterize';

let art: Art;
beforeAll(() => {
  art = loadArt(HANDS);
});

const drawn = () =>
  INVENTORY.flatMap((item) => handsFor([item]).map((hand): [typeof item, Hand] => [item, hand]));

/** Mean difference of a sprite to itself with its pixels moved, over the area that either covers; 1 is black to white. */
function asymmetry(sprite: Uint8Array, moved: (x: number, y: number) => number): number {
  let [difference, area] = [0, 0];
  for (let y = 0; y < art.size; y++) {
    for (let x = 0; x < art.size; x++) {
      const [i, j] = [(y * art.size + x) * 4, moved(x, y) * 4];
      area += Math.max(sprite[i + 3]!, sprite[j + 3]!) / 255;
      for (let c = 0; c < 4; c++) difference += Math.abs(sprite[i + c]! - sprite[j + c]!) / (4 * 255);
    }
  }
  return difference / area;
}

describe('the drawings', () => {
  test('every sprite fills its square in one direction and is premultiplied', () => {
    for (const [item, hand] of drawn()) {
      const sprite = spriteOf(art, hand, item);
      let brightest = 0;
      const rows = new Set<number>();
      const columns = new Set<number>();
      for (let i = 0; i < sprite.length; i += 4) {
        brightest = Math.max(
          brightest,
          sprite[i]! - sprite[i + 3]!,
          sprite[i + 1]! - sprite[i + 3]!,
          sprite[i + 2]! - sprite[i + 3]!,
        );
        if (sprite[i + 3]! > 8) {
          rows.add(Math.floor(i / 4 / art.size));
          columns.add((i / 4) % art.size);
        }
      }
      expect(brightest, `${item.id} by ${hand}: colour beyond alpha`).toBeLessThanOrEqual(1);
      expect(Math.max(rows.size, columns.size), `${item.id} by ${hand}`).toBeGreaterThanOrEqual(
        0.9 * art.size,
      );
    }
  });

  test('what can be mirrored or turned looks different when it is', () => {
    const last = art.size - 1;
    for (const [item, hand] of drawn()) {
      const sprite = spriteOf(art, hand, item);
      const name = `${item.id} by ${hand}`;
      if (item.faces)
        expect(
          asymmetry(sprite, (x, y) => y * art.size + last - x),
          name,
        ).toBeGreaterThan(0.09);
      if (item.turns)
        expect(
          asymmetry(sprite, (x, y) => (last - y) * art.size + x),
          name,
        ).toBeGreaterThan(0.09);
    }
  });

  test('every item stands out from every background that it may stand on', () => {
    for (const [item, hand] of drawn()) {
      const sprite = spriteOf(art, hand, item);
      for (const background of BACKGROUND_NAMES.filter((name) => !isHidden(item, name))) {
        let [area, visible] = [0, 0];
        for (let i = 0; i < sprite.length; i += 12) {
          const alpha = sprite[i + 3]! / 255;
          if (alpha < 0.3) continue;
          area++;
          const distance = Math.hypot(
            ...BACKGROUNDS[background].map((value, c) => sprite[i + c]! - value * alpha),
          );
          if (distance > 45) visible++;
        }
        expect(visible / area, `${item.id} by ${hand} on ${background}`).toBeGreaterThan(0.25);
      }
    }
  });

  test('hands that draw a thing looking right are turned round: they then agree with the others', () => {
    const flipped = INVENTORY.flatMap((item) =>
      item.flippedIn.map((hand): [typeof item, Hand] => [item, hand]),
    );
    expect(flipped.length).toBeGreaterThan(0);
    for (const [item, hand] of flipped) {
      const own = spriteOf(art, hand, item);
      let [agree, disagree] = [0, 0];
      for (const other of handsFor([item]).filter((name) => !item.flippedIn.includes(name))) {
        const theirs = spriteOf(art, other, item);
        for (let y = 0; y < art.size; y++) {
          for (let x = 0; x < art.size; x++) {
            const here = theirs[(y * art.size + x) * 4 + 3]!;
            agree += Math.abs(here - own[(y * art.size + x) * 4 + 3]!);
            disagree += Math.abs(here - own[(y * art.size + art.size - 1 - x) * 4 + 3]!);
          }
        }
      }
      expect(agree, `${item.id} by ${hand}`).toBeLessThan(disagree);
    }
  });
});

describe('bad input', () => {
  test('unknown hands, bad sizes and absent drawings are refused by name', () => {
    expect(() => loadArt(['picasso' as Hand])).toThrow(/no hand is called "picasso"; there are openmoji/);
    expect(() => loadArt([], { size: 2.5 })).toThrow(/size must be a whole number from 8 up, got 2.5/);
    const robot = INVENTORY.find((item) => item.id === 'robot')!;
    expect(() => spriteOf(art, 'emojione', robot)).toThrow(/"emojione" does not draw robot/);
    expect(() => spriteOf({ ...art, hands: ['noto'] }, 'twemoji', robot)).toThrow(
      /loaded for noto, not for "twemoji"/,
    );
  });
});

test('resizing by area keeps the mean and a constant', () => {
  const data = Float32Array.from({ length: 12 * 8 * 4 }, (_, i) => (i * 37) % 101);
  const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const { data: small } = resizeArea({ width: 12, height: 8, data }, 5, 3);
  expect(mean(small)).toBeCloseTo(mean(data), 3);
  const { data: flat } = resizeArea(
    { width: 7, height: 7, data: new Float32Array(7 * 7 * 4).fill(3) },
    10,
    4,
  );
  expect(Math.max(...Array.from(flat, (value) => Math.abs(value - 3)))).toBeLessThan(1e-5);
});
