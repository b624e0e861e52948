/** Draws scenes at random: which objects, where, how large, on which background. Says nothing of splits or pixels. */
import { INVENTORY, itemOf, itemsVarying } from '../inventory/inventory';
import type { Item, Variation } from '../inventory/item';
import type { Random } from '../random';
import {
  BACKGROUND_NAMES,
  type Background,
  isHidden,
  overlap,
  PLACE_NAMES,
  type Placed,
  type Scene,
  type Size,
} from './scene';

const VARIATIONS: readonly Variation[] = ['color', 'state', 'view', 'text', 'direction'];
/** Share of objects taken from the families, which carry the finer cues; the rest are plain things. */
const FAMILY_SHARE = 0.55;
/** Chance that an object which can stand on its head does. */
const UPSIDE_DOWN = 0.07;
/** Largest displacement from a place, as a share of the canvas (one pixel of 48). */
const SHIFT = 1 / 48;

/** Which items may be drawn: everything, or all but those kept for the test split. */
export interface Pool {
  plain: readonly Item[];
  varying: Readonly<Record<Variation, readonly Item[]>>;
}

/** The items a split may use. */
export function poolOf(withHeldOut: boolean): Pool {
  const allowed = (items: readonly Item[]) => items.filter((item) => withHeldOut || !item.heldOut);
  return {
    plain: allowed(INVENTORY.filter((item) => !item.variation)),
    varying: Object.fromEntries(VARIATIONS.map((v) => [v, allowed(itemsVarying(v))])) as Record<
      Variation,
      Item[]
    >,
  };
}

/** One item: a plain thing, or one of a family. */
export function drawItem(random: Random, pool: Pool): Item {
  return random.chance(FAMILY_SHARE)
    ? random.pick(pool.varying[random.pick(VARIATIONS)])
    : random.pick(pool.plain);
}

/** Draws a scene of one to four objects; every eighth holds several of one kind. */
export function drawScene(random: Random, pool: Pool): Scene {
  for (;;) {
    const scene = random.chance(0.13) ? drawSeveral(random, pool) : drawDifferent(random, pool);
    if (scene) return scene;
  }
}

function drawDifferent(random: Random, pool: Pool): Scene | undefined {
  const u = random.float();
  const count = u < 0.4 ? 1 : u < 0.84 ? 2 : u < 0.95 ? 3 : 4;
  return arrange(
    random,
    Array.from({ length: count }, () => drawItem(random, pool)),
    { upsideDown: UPSIDE_DOWN },
  );
}

function drawSeveral(random: Random, pool: Pool): Scene | undefined {
  const item = drawItem(random, pool);
  const copies = 2 + random.int(3);
  const others = copies < 4 && random.chance(0.3) ? [drawItem(random, pool)] : [];
  return arrange(random, [...Array<Item>(copies).fill(item), ...others]);
}

/** Choices for {@link arrange}. */
export interface Arrangement {
  background?: Background;
  /** Size of the first object. */
  size?: Size;
  /** Chance that an object stands on its head. */
  upsideDown?: number;
}

/**
 * Places items without overlap on a background where all can be seen.
 * Copies of one item get one size and one direction, so that they can be counted and named together.
 * @returns undefined if these items cannot stand together
 */
export function arrange(
  random: Random,
  items: readonly Item[],
  choices: Arrangement = {},
): Scene | undefined {
  if (!nameable(items)) return undefined;
  const background = choices.background ?? random.pick(BACKGROUND_NAMES);
  if (items.some((item) => isHidden(item, background))) return undefined;
  const objects: Placed[] = [];
  for (const item of items) {
    const twin = objects.find((object) => object.item === item.id);
    const copied = items.filter((other) => other === item).length > 1;
    const size =
      twin?.size ??
      (objects.length === 0 ? choices.size : undefined) ??
      drawSize(random, item, items.length, copied);
    const place = freePlace(random, size, objects);
    if (!place) return undefined;
    objects.push({
      item: item.id,
      place,
      size,
      mirrored: twin?.mirrored ?? (item.faces && random.chance(0.5)),
      upsideDown: twin?.upsideDown ?? (item.turns && random.chance(choices.upsideDown ?? 0)),
      shift: drawShift(random),
    });
  }
  return { background, objects };
}

/** A place where an object of that size touches no other, or undefined. */
export function freePlace(random: Random, size: Size, others: readonly Placed[]): Place | undefined {
  const free = PLACE_NAMES.filter((place) => others.every((other) => !overlap({ place, size }, other)));
  return free.length > 0 ? random.pick(free) : undefined;
}
type Place = Placed['place'];

/** A displacement of at most one 48th of the canvas each way. */
export function drawShift(random: Random): readonly [number, number] {
  return [(random.int(3) - 1) * SHIFT, (random.int(3) - 1) * SHIFT];
}

const FINE: readonly (Variation | undefined)[] = ['text', 'state', 'direction'];
/** A text, an open lid or the head of an arrow is a few pixels: such things are drawn large unless there are several. */
export const needsLarge = (item: Item): boolean => FINE.includes(item.variation);

function drawSize(random: Random, item: Item, total: number, copied: boolean): Size {
  if (copied) return total === 2 && random.chance(0.5) ? 'large' : 'small';
  if (needsLarge(item)) return 'large';
  return random.chance(total === 1 ? 0.65 : total === 2 ? 0.5 : 0.3) ? 'large' : 'small';
}

/** False if two different items would get the same name in a short caption. */
function nameable(items: readonly Item[]): boolean {
  const names = new Map(items.map((item) => [item.id, [item.adjective, item.noun, item.tail].join(' ')]));
  return new Set(names.values()).size === names.size;
}

/** The items of a scene, one for each object. */
export const itemsOf = (scene: Scene): Item[] => scene.objects.map((object) => itemOf(object.item));
