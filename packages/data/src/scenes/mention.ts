/** Which details the short caption of an ordinary scene mentions: drawn at random, a few words in all. */
import type { Random } from '../random';
import type { Mention } from './captions';
import { itemsOf } from './draw';
import type { Scene } from './scene';

/** Draws what a short caption says of a scene beyond names. */
export function drawMention(random: Random, scene: Scene): Mention {
  const items = itemsOf(scene);
  const few = items.length <= 2;
  const distinct = new Set(items).size;
  return {
    background: random.chance(few ? 0.25 : 0),
    only: few && random.chance(0.08),
    relation: distinct === 2 && items.length === 2 && random.chance(0.7),
    place: items.length === 1 && random.chance(0.35),
    size: few && random.chance(0.2),
    facing: items.some((item) => item.faces) && random.chance(few ? 0.45 : 0.1),
    view: items.some((item) => item.view) && random.chance(few ? 0.45 : 0.1),
    upright: few && items.some((item) => item.turns) && random.chance(0.06),
  };
}
