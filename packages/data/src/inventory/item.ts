/** What the world knows of one emoji: how it is called, and in which ways it can be varied. */
import type { Hand } from '../art/hands';

/** Colour words of the captions. */
export const COLORS = [
  'red',
  'orange',
  'yellow',
  'green',
  'blue',
  'purple',
  'pink',
  'brown',
  'black',
  'white',
  'gray',
] as const;
/** A colour word. */
export type Color = (typeof COLORS)[number];

/** In what respect the members of a group differ from each other. */
export type Variation = 'color' | 'state' | 'view' | 'text' | 'direction';

/** One thing that can stand in a scene. */
export interface Item {
  /** Unique short name, such as `red-apple`. */
  id: string;
  /** Code point in hexadecimal, lower case; `0037-20e3` for a key cap. */
  code: string;
  /** The noun without adjective, and its plural. */
  noun: string;
  plural: string;
  /** Said before the noun: a colour or a state. */
  adjective?: string;
  /** Said after the noun: what is written on it, where it points. */
  tail?: string;
  /** From where it is seen, for things that are drawn from two sides. */
  view?: 'front' | 'side';
  /** Its main colour, given only where every hand agrees on it. */
  color?: Color;
  /** Items of one group differ in exactly the group's variation. */
  group?: string;
  variation?: Variation;
  /** True if every hand draws it looking left (once the hands in `flippedIn` are turned round). */
  faces: boolean;
  /** Hands that draw it looking right; their sprites are mirrored when they are loaded. */
  flippedIn: readonly Hand[];
  /** True if it can be turned upside down: it then looks different, and nothing else is meant by it. */
  turns: boolean;
  /** Hands whose drawing is something else, or is not there. */
  notBy: readonly Hand[];
  /** True for items that appear in test scenes only. */
  heldOut: boolean;
}

/** What a table row may say beyond name and code. */
export type ItemNotes = Partial<Omit<Item, 'id' | 'code' | 'noun'>>;

/** Makes an item from a row of a table; plural and id follow from the words unless they are given. */
export function item(noun: string, code: string, notes: ItemNotes = {}): Item {
  const words = [notes.adjective, noun, notes.view, notes.tail].filter((word) => word !== undefined);
  return {
    id: words.join(' ').replaceAll(' ', '-'),
    code,
    noun,
    plural: `${noun}s`,
    faces: false,
    flippedIn: [],
    turns: false,
    notBy: [],
    heldOut: false,
    ...notes,
  };
}
