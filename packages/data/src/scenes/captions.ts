/**
 * The grammar of the captions: a short one that mentions what it is told to, a long one that mentions everything.
 * Both are functions of a scene; a wording number picks among paraphrases.
 */
import { itemOf } from '../inventory/inventory';
import type { Item } from '../inventory/item';
import { centerOf, type Place, type Placed, type Scene } from './scene';

/** What a short caption says beyond the names of the objects. */
export interface Mention {
  background?: boolean;
  /** How the first of two objects stands to the second. */
  relation?: boolean;
  /** That there is nothing else. */
  only?: boolean;
  place?: boolean;
  size?: boolean;
  /** To which side an object looks. */
  facing?: boolean;
  /** From which side an object is seen. */
  view?: boolean;
  /** That an object stands upright (what is upside down is always said). */
  upright?: boolean;
  /** Objects that place, size, facing, view and upright are said of; all if not given. */
  of?: readonly number[];
}

/** How many paraphrases there are; a wording is a whole number from 0 below it. */
export const WORDINGS = 24;

const NUMBERS = ['no', 'one', 'two', 'three', 'four'] as const;

/** Objects that are named together: one, or several of the same item. */
interface Group {
  item: Item;
  objects: readonly Placed[];
  indices: readonly number[];
}

/** A caption of a few words. */
export function shortCaption(scene: Scene, mention: Mention = {}, wording = 0): string {
  const groups = groupsOf(scene);
  const phrase = (group: Group) => shortPhrase(group, mention);
  const [first, second] = groups;
  const related =
    mention.relation && groups.length === 2 && first!.objects.length === 1 && second!.objects.length === 1;
  const body = related ? relationPhrase(first!, second!, phrase, wording) : list(groups.map(phrase));
  const background = mention.background ? ` on ${backgroundPhrase(scene, wording)}` : '';
  return `${opening(mention, wording)}${body}${background}`;
}

/** A caption of several sentences that names each object, its place, size and colour, and the background. */
export function longCaption(scene: Scene, wording = 0): string {
  const groups = groupsOf(scene);
  const background = [
    `The background is plain ${scene.background}.`,
    `Everything stands on a plain ${scene.background} background.`,
  ][wording % 2]!;
  const told = longSentences(groups, wording >> 1);
  return ((wording >> 2) % 2 === 0 ? [...told, background] : [background, ...told]).join(' ');
}

/** What an item is called when it stands for its class: colour, state or view included. */
export function itemPhrase(item: Item): string {
  const object = {
    item: item.id,
    place: 'center',
    size: 'large',
    mirrored: false,
    upsideDown: false,
    shift: [0, 0],
  } as const;
  const details = { size: false, upright: false, view: true, facing: false, color: false };
  return nounPhrase({ item, objects: [object], indices: [0] }, details);
}

function groupsOf(scene: Scene): Group[] {
  const groups = new Map<string, { item: Item; objects: Placed[]; indices: number[] }>();
  scene.objects.forEach((object, index) => {
    const key = `${object.item} ${object.mirrored} ${object.upsideDown}`;
    const group = groups.get(key) ?? { item: itemOf(object.item), objects: [], indices: [] };
    group.objects.push(object);
    group.indices.push(index);
    groups.set(key, group);
  });
  return [...groups.values()];
}

function opening(mention: Mention, wording: number): string {
  if (mention.only) return 'just ';
  return wording % 6 === 5 ? 'a picture of ' : '';
}

function backgroundPhrase(scene: Scene, wording: number): string {
  return (wording >> 3) % 2 === 0 ? `a ${scene.background} background` : scene.background;
}

function shortPhrase(group: Group, mention: Mention): string {
  const told = mention.of === undefined || group.indices.some((index) => mention.of?.includes(index));
  const { item, objects } = group;
  const name = nounPhrase(group, {
    size: Boolean(told && mention.size),
    upright: Boolean(told && mention.upright && item.turns),
    view: Boolean(told && mention.view),
    facing: Boolean(told && mention.facing && item.faces),
    color: false,
  });
  return told && mention.place && objects.length === 1 ? `${name} ${placePhrase(objects[0]!.place)}` : name;
}

function longSentences(groups: readonly Group[], wording: number): string[] {
  const name = (group: Group) =>
    nounPhrase(group, { size: true, upright: false, view: true, facing: true, color: true });
  const places = (group: Group) => list(group.objects.map((object) => placePhrase(object.place)));
  if (groups.length > 2) {
    // One list instead of a sentence each, to keep crowded scenes short.
    const all = groups.map((group) => `${name(group)} ${places(group)}`).join(', ');
    return [wording % 2 === 0 ? `The picture shows ${all}.` : `There is ${all}.`];
  }
  const sentences = groups.map((group, i) => {
    if (group.objects.length > 1) return `There are ${name(group)}, ${places(group)}.`;
    return (wording + i) % 2 === 0
      ? `There is ${name(group)} ${places(group)}.`
      : `${capital(name(group))} is ${places(group)}.`;
  });
  return groups.length > 1 ? sentences : [...sentences, aloneSentence(groups[0]!)];
}

function aloneSentence({ objects }: Group): string {
  return objects.length === 1
    ? 'It is the only object in the picture.'
    : 'There is nothing else in the picture.';
}

interface Details {
  size: boolean;
  upright: boolean;
  view: boolean;
  facing: boolean;
  color: boolean;
}

/** Number or article, size, posture, colour or state, noun, what is on it, view, direction. */
function nounPhrase({ item, objects }: Group, details: Details): string {
  const { size, upsideDown, mirrored } = objects[0]!;
  const several = objects.length > 1;
  const words = [
    details.size && size,
    upsideDown ? 'upside-down' : details.upright && 'upright',
    details.color && item.color !== item.adjective && item.color !== item.noun && item.color,
    item.adjective,
    several ? item.plural : item.noun,
    item.tail,
    details.view && item.view && `from the ${item.view}`,
    details.facing && item.faces && `facing ${mirrored ? 'right' : 'left'}`,
  ].filter((word): word is string => Boolean(word));
  const article = /^[aeiou]/.test(words[0]!) ? 'an' : 'a';
  return `${several ? NUMBERS[objects.length] : article} ${words.join(' ')}`;
}

function placePhrase(place: Place): string {
  return place === 'center' ? 'in the center' : `at the ${place}`;
}

/** How one object stands to another; either axis is true where both differ, and either object may come first. */
function relationPhrase(a: Group, b: Group, phrase: (group: Group) => string, wording: number): string {
  const [ax, ay] = centerOf(a.objects[0]!);
  const [bx, by] = centerOf(b.objects[0]!);
  const dx = ax - bx;
  const dy = ay - by;
  const sideways = Math.abs(dx) < 0.2 ? false : Math.abs(dy) < 0.2 ? true : (wording >> 1) % 2 === 0;
  const [from, to, sign] = (wording >> 2) % 2 === 0 ? [a, b, 1] : [b, a, -1];
  const relation = sideways
    ? dx * sign < 0
      ? 'to the left of'
      : 'to the right of'
    : dy * sign < 0
      ? 'above'
      : 'below';
  return `${phrase(from)} ${relation} ${phrase(to)}`;
}

function list(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
