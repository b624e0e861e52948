/**
 * How each kind of edit is drawn: a source scene that allows it, the target scene, the words of the instruction.
 * A function gives undefined where the draw does not work out; the caller draws again.
 */
import { itemOf, variantsOf } from '../inventory/inventory';
import type { Item, Variation } from '../inventory/item';
import type { Random } from '../random';
import {
  type Arrangement,
  arrange,
  drawItem,
  freePlace,
  itemsOf,
  needsLarge,
  type Pool,
} from '../scenes/draw';
import { BACKGROUND_NAMES, isHidden, overlap, type Placed, type Scene } from '../scenes/scene';
import type { Draft, EditKind } from './edit';

type Drawer = (random: Random, pool: Pool) => Draft | undefined;

/** The drawer of each kind. */
export const DRAWERS: Readonly<Record<EditKind, Drawer>> = {
  mirror: changeFirst(
    (item) => item.faces,
    'facing',
    (object, random) => {
      const mirrored = !object.mirrored;
      const way = mirrored ? 'right' : 'left';
      const the = nameOf(object);
      return [
        { ...object, mirrored },
        random.pick([`make the ${the} face ${way}`, `turn the ${the} to the ${way}`]),
      ];
    },
  ),
  'upside-down': changeFirst(
    (item) => item.turns,
    'upright',
    (object, random) => {
      const upsideDown = !object.upsideDown;
      const the = nameOf(object);
      const words = upsideDown
        ? [`turn the ${the} upside-down`, `flip the ${the}`]
        : [`set the ${the} upright`, `flip the ${the}`];
      return [{ ...object, upsideDown }, random.pick(words)];
    },
    0.4,
  ),
  resize: changeFirst(
    (item) => !needsLarge(item),
    'size',
    (object, random) => {
      const size = object.size === 'small' ? 'large' : 'small';
      const the = nameOf(object);
      const words =
        size === 'large'
          ? [`make the ${the} larger`, `make the ${the} large`]
          : [`make the ${the} smaller`, `make the ${the} small`];
      return [{ ...object, size }, random.pick(words)];
    },
  ),
  move: drawMove,
  arrow: changeVariant('direction', (_, after, random) =>
    random.pick([`make the arrow point ${wayOf(after)}`, `turn the arrow to point ${wayOf(after)}`]),
  ),
  recolor: changeVariant('color', (before, after, random) =>
    random.pick([
      `make the ${before.noun} ${after.adjective}`,
      `change the color of the ${before.noun} to ${after.adjective}`,
    ]),
  ),
  state: changeVariant('state', (before, after, random) =>
    random.pick([
      `make the ${before.noun} ${after.adjective}`,
      `change the ${before.adjective} ${before.noun} to ${after.adjective}`,
    ]),
  ),
  sign: changeVariant('text', (before, after, random) => {
    const text = after.tail!.replace(/^(saying|at) /, '');
    return before.noun === 'clock'
      ? random.pick([`set the clock to ${text}`, `change the clock to ${text}`])
      : random.pick([`make the sign say ${text}`, `change the sign to ${text}`]);
  }),
  viewpoint: changeVariant('view', (before, after, random) =>
    random.pick([
      `show the ${before.noun} from the ${after.view}`,
      `look at the ${before.noun} from the ${after.view}`,
    ]),
  ),
  shape: drawShape,
  replace: drawReplace,
  background: drawBackground,
  swap: drawSwap,
  add: drawAdd,
  remove: (random, pool) => {
    const added = drawAdd(random, pool);
    if (!added) return undefined;
    const gone = nameOf(added.target.objects.at(-1)!);
    const instruction = random.pick([`remove the ${gone}`, `take away the ${gone}`]);
    return { source: added.target, target: added.source, instruction, mention: added.mention };
  },
  count: drawCount,
};

/** The words an instruction calls an object by. */
function nameOf(object: Placed): string {
  return fullName(itemOf(object.item));
}

const fullName = (item: Item): string => [item.adjective, item.noun, item.tail].filter(Boolean).join(' ');
const wayOf = (item: Item): string => item.tail!.replace('pointing ', '');

const itemsWith = (pool: Pool, fits: (item: Item) => boolean): Item[] =>
  [...pool.plain, ...Object.values(pool.varying).flat()].filter(fits);

/** A scene whose first object fits, with none, one or two others. */
function sceneWith(
  random: Random,
  pool: Pool,
  candidates: readonly Item[],
  arrangement: Arrangement = {},
): Scene | undefined {
  const u = random.float();
  const others = Array.from({ length: u < 0.5 ? 0 : u < 0.92 ? 1 : 2 }, () => drawItem(random, pool));
  const items = [random.pick(candidates), ...others];
  return new Set(items).size === items.length ? arrange(random, items, arrangement) : undefined;
}

/** The scene with its first object exchanged, unless that touches another or cannot be seen. */
function withFirst(scene: Scene, first: Placed): Scene | undefined {
  const others = scene.objects.slice(1);
  if (others.some((other) => overlap(first, other)) || isHidden(itemOf(first.item), scene.background))
    return undefined;
  return { ...scene, objects: [first, ...others] };
}

/** An edit that changes one property of the first object and mentions that property of it. */
function changeFirst(
  fits: (item: Item) => boolean,
  aspect: 'facing' | 'upright' | 'size',
  change: (object: Placed, random: Random) => [Placed, string],
  upsideDown = 0,
): Drawer {
  return (random, pool) => {
    const source = sceneWith(random, pool, itemsWith(pool, fits), { upsideDown });
    if (!source) return undefined;
    const [first, instruction] = change(source.objects[0]!, random);
    const target = withFirst(source, first);
    return target && { source, target, instruction, mention: { [aspect]: true, of: [0] } };
  };
}

/** An edit that exchanges the first object for another member of its group. */
function changeVariant(
  variation: Variation,
  words: (before: Item, after: Item, random: Random) => string,
): Drawer {
  return (random, pool) => {
    const source = sceneWith(random, pool, pool.varying[variation]);
    if (!source) return undefined;
    const object = source.objects[0]!;
    const before = itemOf(object.item);
    const choices = variantsOf(before).filter((other) => pool.varying[variation].includes(other));
    if (choices.length === 0) return undefined;
    const after = random.pick(choices);
    if (source.objects.some((other) => other.item === after.id)) return undefined;
    const target = withFirst(source, { ...object, item: after.id, mirrored: object.mirrored && after.faces });
    return (
      target && {
        source,
        target,
        instruction: words(before, after, random),
        mention: variation === 'view' ? { view: true, of: [0] } : {},
      }
    );
  };
}

function drawMove(random: Random, pool: Pool): Draft | undefined {
  const source = sceneWith(
    random,
    pool,
    itemsWith(pool, () => true),
  );
  if (!source) return undefined;
  const [first, ...others] = source.objects;
  const place = freePlace(random, first!.size, others);
  if (!place || place === first!.place) return undefined;
  const where = place === 'center' ? 'the center' : `the ${place}`;
  const instruction = random.pick([
    `move the ${nameOf(first!)} to ${where}`,
    `put the ${nameOf(first!)} at ${where}`,
  ]);
  const target = { ...source, objects: [{ ...first!, place }, ...others] };
  return { source, target, instruction, mention: { place: true, of: [0] } };
}

/** Another shape in the same colour. */
function drawShape(random: Random, pool: Pool): Draft | undefined {
  const shapes = pool.varying.color.filter((item) =>
    ['heart', 'circle', 'square', 'diamond'].includes(item.noun),
  );
  const alike = (before: Item) => shapes.filter((other) => other.color === before.color && other !== before);
  return exchange(random, pool, shapes, alike, { size: 'large' });
}

function drawReplace(random: Random, pool: Pool): Draft | undefined {
  const after = drawItem(random, pool);
  return exchange(random, pool, [drawItem(random, pool)], (before) =>
    sameKind(before, after) ? [] : [after],
  );
}

/** True if replacing one by the other would be an edit of another kind: of colour, state, shape and so on. */
const sameKind = (a: Item, b: Item): boolean =>
  a.noun === b.noun || (a.variation === 'color' && b.variation === 'color' && a.color === b.color);

function exchange(
  random: Random,
  pool: Pool,
  candidates: readonly Item[],
  choicesFor: (before: Item) => Item[],
  arrangement: Arrangement = {},
): Draft | undefined {
  const source = sceneWith(random, pool, candidates, arrangement);
  if (!source) return undefined;
  const [object, ...others] = source.objects;
  const choices = choicesFor(itemOf(object!.item));
  if (choices.length === 0) return undefined;
  const after = random.pick(choices);
  if (needsLarge(after) && object!.size === 'small') return undefined;
  if (others.some((other) => itemOf(other.item).noun === after.noun)) return undefined;
  const target = withFirst(source, { ...object!, item: after.id, mirrored: after.faces && object!.mirrored });
  const [old, now] = [nameOf(object!), fullName(after)];
  const instruction = random.pick([
    `replace the ${old} with ${indefinite(now)}`,
    `change the ${old} into ${indefinite(now)}`,
  ]);
  return target && { source, target, instruction, mention: {} };
}

function drawBackground(random: Random, pool: Pool): Draft | undefined {
  const source = sceneWith(
    random,
    pool,
    itemsWith(pool, () => true),
  );
  if (!source) return undefined;
  const background = random.pick(BACKGROUND_NAMES);
  if (background === source.background || itemsOf(source).some((item) => isHidden(item, background)))
    return undefined;
  const instruction = random.pick([
    `make the background ${background}`,
    `change the background to ${background}`,
  ]);
  return { source, target: { ...source, background }, instruction, mention: { background: true } };
}

function drawSwap(random: Random, pool: Pool): Draft | undefined {
  const source = arrange(random, [drawItem(random, pool), drawItem(random, pool)]);
  if (!source) return undefined;
  const [a, b] = source.objects as [Placed, Placed];
  const [newA, newB] = [
    { ...a, place: b.place },
    { ...b, place: a.place },
  ];
  if (a.item === b.item || overlap(newA, newB)) return undefined;
  const instruction = random.pick([
    `swap the ${nameOf(a)} and the ${nameOf(b)}`,
    `let the ${nameOf(a)} and the ${nameOf(b)} change places`,
  ]);
  return { source, target: { ...source, objects: [newA, newB] }, instruction, mention: { relation: true } };
}

/** Adds a last object; the caption of the smaller scene says that there is nothing else. */
function drawAdd(random: Random, pool: Pool): Draft | undefined {
  const items = Array.from({ length: random.chance(0.7) ? 2 : 3 }, () => drawItem(random, pool));
  const target = arrange(random, items);
  if (!target || new Set(items.map((item) => item.noun)).size < items.length) return undefined;
  const added = target.objects.at(-1)!;
  const where = added.place === 'center' ? 'in the center' : `at the ${added.place}`;
  const instruction = random.pick([
    `add ${indefinite(nameOf(added))} ${where}`,
    `put ${indefinite(nameOf(added))} ${where}`,
  ]);
  return {
    source: { ...target, objects: target.objects.slice(0, -1) },
    target,
    instruction,
    mention: { only: true },
  };
}

function drawCount(random: Random, pool: Pool): Draft | undefined {
  const item = random.pick(itemsWith(pool, (candidate) => !needsLarge(candidate)));
  const [fewer, more] = random.pick([
    [1, 2],
    [1, 3],
    [1, 4],
    [2, 3],
    [2, 4],
    [3, 4],
  ] as const);
  const full = arrange(random, Array<Item>(more).fill(item), { size: 'small' });
  if (!full) return undefined;
  const part = { ...full, objects: full.objects.slice(0, fewer) };
  const [source, target] = random.chance(0.5) ? [part, full] : [full, part];
  const number = ['no', 'one', 'two', 'three', 'four'][target.objects.length]!;
  const name =
    target.objects.length === 1
      ? fullName(item)
      : [item.adjective, item.plural, item.tail].filter(Boolean).join(' ');
  const instruction = random.pick([`make it ${number} ${name}`, `change the number to ${number}`]);
  return { source, target, instruction, mention: {} };
}

const indefinite = (name: string): string => `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`;
