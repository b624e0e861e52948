/** The whole inventory and look-ups in it. */
import { HANDS, type Hand } from '../art/hands';
import { FAMILIES } from './families';
import type { Item, Variation } from './item';
import { OBJECTS } from './objects';

/** Every item of the world, in a fixed order. */
export const INVENTORY: readonly Item[] = [...OBJECTS, ...FAMILIES];

const byId = new Map(INVENTORY.map((item) => [item.id, item]));
const byGroup = groups();

function groups(): Map<string, Item[]> {
  const found = new Map<string, Item[]>();
  for (const item of INVENTORY) {
    if (item.group) found.set(item.group, [...(found.get(item.group) ?? []), item]);
  }
  return found;
}

/** The item of that id; the error names ids that are near. */
export function itemOf(id: string): Item {
  const found = byId.get(id);
  if (found) return found;
  const near = INVENTORY.filter((item) => id.split('-').some((word) => item.id.includes(word))).map(
    (item) => item.id,
  );
  throw new RangeError(
    `itemOf: there is no item "${id}"${near.length ? `; near it are ${near.slice(0, 5).join(', ')}` : ''}`,
  );
}

/** The other members of an item's group, such as the same heart in other colours; none if it varies in nothing. */
export function variantsOf(item: Item): Item[] {
  return (byGroup.get(item.group ?? '') ?? []).filter((other) => other !== item);
}

/** All items that vary in that respect. */
export function itemsVarying(variation: Variation): Item[] {
  return INVENTORY.filter((item) => item.variation === variation);
}

/** Hands, of those given, that draw all these items. */
export function handsFor(items: Iterable<Item>, hands: readonly Hand[] = HANDS): Hand[] {
  const all = [...items];
  return hands.filter((hand) => all.every((item) => !item.notBy.includes(hand)));
}
