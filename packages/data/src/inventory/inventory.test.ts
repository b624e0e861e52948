import { describe, expect, test } from 'vitest';
import { HANDS, TRAINING_HANDS, UNSEEN_HAND } from '../art/hands';
import { itemPhrase } from '../scenes/captions';
import { handsFor, INVENTORY, itemOf, itemsVarying, variantsOf } from './inventory';

describe('the inventory', () => {
  test('ids, code points and phrases are unique', () => {
    for (const key of [
      (i: number) => INVENTORY[i]!.id,
      (i: number) => INVENTORY[i]!.code,
      (i: number) => itemPhrase(INVENTORY[i]!),
    ]) {
      expect(new Set(INVENTORY.map((_, i) => key(i))).size).toBe(INVENTORY.length);
    }
  });

  test('every item is drawn by the unseen hand and by at least three hands of training', () => {
    for (const item of INVENTORY) {
      expect(handsFor([item], [UNSEEN_HAND]), item.id).toEqual([UNSEEN_HAND]);
      expect(handsFor([item], TRAINING_HANDS).length, item.id).toBeGreaterThanOrEqual(3);
    }
    expect(TRAINING_HANDS).not.toContain(UNSEEN_HAND);
    expect(HANDS).toContain(UNSEEN_HAND);
  });

  test('what is held out is known in training by its noun and by its colour', () => {
    const heldOut = INVENTORY.filter((item) => item.heldOut);
    expect(heldOut.length).toBeGreaterThanOrEqual(4);
    for (const item of heldOut) {
      const seen = INVENTORY.filter((other) => !other.heldOut);
      expect(seen.some((other) => other.noun === item.noun)).toBe(true);
      expect(seen.some((other) => other.adjective === item.adjective)).toBe(true);
    }
  });

  test('members of a group share their variation and each has another member', () => {
    for (const variation of ['color', 'state', 'view', 'text', 'direction'] as const) {
      for (const item of itemsVarying(variation)) {
        expect(variantsOf(item).length, item.id).toBeGreaterThan(0);
        for (const other of variantsOf(item)) expect(other.variation).toBe(variation);
      }
    }
  });

  test('an unknown item is refused with names near it', () => {
    expect(() => itemOf('pink-heart')).toThrow(/no item "pink-heart"; near it are red-heart/);
  });
});
