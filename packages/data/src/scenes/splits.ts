/**
 * Which scenes belong to training, validation and test. Three walls, each tested:
 * - by combination: a set of different items (or, for a single item, the exact description) belongs to one split,
 *   whatever the seed, so that no scene of an evaluation, nor either side of an edit, was ever trained on;
 * - by object: items marked `heldOut` (colours of things that are known in other colours) appear in test scenes only;
 * - by artist: training draws with TRAINING_HANDS, the unseen hand is for evaluation (see batches).
 */
import { hashText, type Random } from '../random';
import { drawScene, type Pool, poolOf } from './draw';
import type { Scene } from './scene';

/** The three splits; 70, 15 and 15 percent of the combinations. */
export const SPLITS = ['train', 'validation', 'test'] as const;
/** Name of a split. */
export type Split = (typeof SPLITS)[number];

/** Checks a split's name; the error lists those there are. */
export function checkSplit(split: string, operation: string): Split {
  const known = SPLITS.find((name) => name === split);
  if (!known)
    throw new RangeError(`${operation}: no split is called "${split}"; there are ${SPLITS.join(', ')}`);
  return known;
}

/** What decides the split of a scene: its items, or the whole description where there is one item only. */
export function combinationOf(scene: Scene): string {
  const items = [...new Set(scene.objects.map((object) => object.item))].sort();
  if (items.length > 1) return items.join('+');
  const places = scene.objects
    .map((object) => `${object.place} ${object.size} ${object.mirrored} ${object.upsideDown}`)
    .sort();
  return `${items[0]} on ${scene.background}: ${places.join(', ')}`;
}

/** The split that a scene belongs to. */
export function splitOf(scene: Scene): Split {
  const share = (hashText(combinationOf(scene)) >>> 0) / 2 ** 32;
  return share < 0.7 ? 'train' : share < 0.85 ? 'validation' : 'test';
}

const pools: Record<Split, Pool> = { train: poolOf(false), validation: poolOf(false), test: poolOf(true) };

/** The items that scenes of a split may hold. */
export const poolFor = (split: Split): Pool => pools[split];

/** Draws a scene of the split. */
export function drawSceneOf(random: Random, split: Split): Scene {
  for (;;) {
    const scene = drawScene(random, pools[split]);
    if (splitOf(scene) === split) return scene;
  }
}
