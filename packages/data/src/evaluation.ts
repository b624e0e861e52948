/** Fixed sets for measuring a model: edit pairs, galleries for retrieval, single emoji to classify. */
import { checkHand, type Hand } from './art/hands';
import { EDIT_KIND_NAMES, type Edit, type EditKind } from './edits/edit';
import { handsFor, INVENTORY } from './inventory/inventory';
import type { Item } from './inventory/item';
import { itemPhrase } from './scenes/captions';
import type { Renderer } from './scenes/render';
import { BACKGROUND_NAMES, isHidden, type Scene } from './scenes/scene';
import type { Split } from './scenes/splits';
import { editAt, handsForScenes, type Triplet, tripletAt } from './world';

/** Which examples an evaluation draws. */
export interface EvaluationOptions {
  /** The hand that will draw them; examples that it cannot draw are left out. */
  hand: Hand;
  /** `test` by default. */
  split?: Split;
  /** 0 by default. */
  seed?: number;
}

/** As many edits of each kind, kind after kind. */
export function testPairs(
  options: EvaluationOptions & { perKind: number; kinds?: readonly EditKind[] },
): Edit[] {
  const { hand, split = 'test', seed = 0, perKind, kinds = EDIT_KIND_NAMES } = options;
  checkHand(hand, 'testPairs');
  checkCount(perKind, 'testPairs: perKind');
  return kinds.flatMap((kind) =>
    collect(
      perKind,
      (index) => editAt(seed, split, index, [kind]),
      (edit) => handsForScenes([edit.source, edit.target], [hand]).length > 0,
    ),
  );
}

/** Scenes for retrieval; all their short captions differ from each other, and all their long ones. */
export function gallery(options: EvaluationOptions & { size: number }): Triplet[] {
  const { hand, split = 'test', seed = 0, size } = options;
  checkHand(hand, 'gallery');
  checkCount(size, 'gallery: size');
  const captions = new Set<string>();
  return collect(
    size,
    (index) => tripletAt(seed, split, index),
    ({ scene, short, long }) => {
      if (captions.has(short) || captions.has(long) || handsForScenes([scene], [hand]).length === 0)
        return false;
      captions.add(short).add(long);
      return true;
    },
  );
}

/** Pictures of single emoji, and the texts among which a model is to choose. */
export interface ClassificationSet {
  /** One for each class. */
  items: readonly Item[];
  /** The text of each class, such as "a picture of a red apple". */
  prompts: readonly string[];
  /** One large emoji in the centre of a plain background, one for each class. */
  scenes: readonly Scene[];
}

/** Every item that the hand draws, each alone; the class of a scene is its position. */
export function classificationSet({ hand }: { hand: Hand }): ClassificationSet {
  const items = handsOnly(checkHand(hand, 'classificationSet'));
  const scenes = items.map((item, i): Scene => {
    const visible = BACKGROUND_NAMES.filter((background) => !isHidden(item, background));
    const object = {
      item: item.id,
      place: 'center',
      size: 'large',
      mirrored: false,
      upsideDown: false,
      shift: [0, 0],
    } as const;
    return { background: visible[i % visible.length]!, objects: [object] };
  });
  return { items, prompts: items.map((item) => `a picture of ${itemPhrase(item)}`), scenes };
}

/** Draws scenes by a hand: `[scenes, canvas, canvas, 3]`. */
export function renderScenes(renderer: Renderer, scenes: readonly Scene[], hand: Hand): Float32Array {
  const pixels = renderer.canvas * renderer.canvas * 3;
  const images = new Float32Array(scenes.length * pixels);
  scenes.forEach((scene, i) => {
    renderer.render(scene, hand, images, i * pixels);
  });
  return images;
}

const handsOnly = (hand: Hand): Item[] => INVENTORY.filter((item) => handsFor([item], [hand]).length > 0);

function collect<T>(count: number, draw: (index: number) => T, accept: (drawn: T) => boolean): T[] {
  const found: T[] = [];
  for (let index = 0; found.length < count; index++) {
    if (index > 1000 + count * 100) {
      throw new RangeError(
        `evaluation: only ${found.length} of ${count} different examples could be found; ask for fewer`,
      );
    }
    const drawn = draw(index);
    if (accept(drawn)) found.push(drawn);
  }
  return found;
}

function checkCount(value: number, name: string): void {
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`${name} must be a whole number from 1 up, got ${value}`);
}
