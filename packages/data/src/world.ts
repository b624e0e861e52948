/** The data set: any scene or edit of any split by its number, and the sets for evaluation. No pixels, no token ids. */
import { HANDS, type Hand } from './art/hands';
import { drawEdit } from './edits/draw-edit';
import { EDIT_KIND_NAMES, type Edit, type EditKind } from './edits/edit';
import { handsFor } from './inventory/inventory';
import { randomAt } from './random';
import { longCaption, shortCaption, WORDINGS } from './scenes/captions';
import { itemsOf } from './scenes/draw';
import { drawMention } from './scenes/mention';
import type { Scene } from './scenes/scene';
import { checkSplit, drawSceneOf, type Split } from './scenes/splits';

/** A scene with its two captions. */
export interface Triplet {
  scene: Scene;
  short: string;
  long: string;
}

/** The triplet of that number: a function of (seed, split, index) alone. */
export function tripletAt(seed: number, split: Split, index: number): Triplet {
  const random = randomAt(
    checkIndex(seed, 'seed'),
    `${checkSplit(split, 'tripletAt')}/scene`,
    checkIndex(index, 'index'),
  );
  const scene = drawSceneOf(random, split);
  const short = shortCaption(scene, drawMention(random, scene), random.int(WORDINGS));
  return { scene, short, long: longCaption(scene, random.int(WORDINGS)) };
}

/**
 * The edit of that number: a function of (seed, split, index) alone.
 * @param kinds - kinds to draw from, equally; all by default
 */
export function editAt(
  seed: number,
  split: Split,
  index: number,
  kinds: readonly EditKind[] = EDIT_KIND_NAMES,
): Edit {
  const random = randomAt(
    checkIndex(seed, 'seed'),
    `${checkSplit(split, 'editAt')}/edit`,
    checkIndex(index, 'index'),
  );
  const unknown = kinds.find((kind) => !EDIT_KIND_NAMES.includes(kind));
  if (unknown !== undefined || kinds.length === 0) {
    throw new RangeError(
      `editAt: no kind of edit is called "${unknown}"; there are ${EDIT_KIND_NAMES.join(', ')}`,
    );
  }
  return drawEdit(random, random.pick(kinds), split);
}

/** Hands, of those given, that draw everything in these scenes. */
export function handsForScenes(scenes: readonly Scene[], hands: readonly Hand[] = HANDS): Hand[] {
  return handsFor(scenes.flatMap(itemsOf), hands);
}

function checkIndex(value: number, name: string): number {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${name} must be a whole number from 0 up, got ${value}`);
  return value;
}
