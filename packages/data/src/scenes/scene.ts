/** What a scene is: plain data, from which pixels and captions are made. */
import type { Item } from '../inventory/item';

/** The nine places, from the top left to the bottom right; column and row are -1, 0 or 1. */
export const PLACES = {
  'top left': [-1, -1],
  top: [0, -1],
  'top right': [1, -1],
  left: [-1, 0],
  center: [0, 0],
  right: [1, 0],
  'bottom left': [-1, 1],
  bottom: [0, 1],
  'bottom right': [1, 1],
} as const satisfies Record<string, readonly [number, number]>;
/** Name of a place in a scene. */
export type Place = keyof typeof PLACES;
/** All places in reading order. */
export const PLACE_NAMES = Object.keys(PLACES) as Place[];

/** Side of an object's square box as a share of the canvas. */
export const SIZES = { small: 0.28, large: 0.5 } as const;
/** Name of a size. */
export type Size = keyof typeof SIZES;

/** The plain backgrounds: red, green and blue in `[0, 255]`. */
export const BACKGROUNDS = {
  white: [250, 250, 250],
  gray: [112, 116, 124],
  red: [184, 26, 40],
  yellow: [255, 226, 64],
  green: [26, 116, 62],
  blue: [36, 66, 178],
  purple: [98, 40, 140],
  pink: [255, 128, 196],
} as const;
/** Name of a background. */
export type Background = keyof typeof BACKGROUNDS;
/** All backgrounds. */
export const BACKGROUND_NAMES = Object.keys(BACKGROUNDS) as Background[];

/** One object in a scene. */
export interface Placed {
  /** Id of the item. */
  item: string;
  place: Place;
  size: Size;
  /** True if it looks right; only items that face a side are ever mirrored. */
  mirrored: boolean;
  /** True if it stands on its head. */
  upsideDown: boolean;
  /** Small displacement from the place, right and down, as shares of the canvas. */
  shift: readonly [number, number];
}

/** One to four objects on a background. */
export interface Scene {
  background: Background;
  objects: readonly Placed[];
}

/** Centre of an object as shares of the canvas, without its shift: `[x, y]` with y downwards. */
export function centerOf(object: Pick<Placed, 'place' | 'size'>): [number, number] {
  const [column, row] = PLACES[object.place];
  const reach = 0.5 - SIZES[object.size] / 2 - (object.size === 'small' ? 0.02 : 0);
  return [0.5 + column * reach, 0.5 + row * reach];
}

/** True if the boxes of two objects overlap. */
export function overlap(a: Pick<Placed, 'place' | 'size'>, b: Pick<Placed, 'place' | 'size'>): boolean {
  const [ax, ay] = centerOf(a);
  const [bx, by] = centerOf(b);
  const apart = (SIZES[a.size] + SIZES[b.size]) / 2 - 1e-6;
  return Math.abs(ax - bx) < apart && Math.abs(ay - by) < apart;
}

/** True if the item would hardly be seen on that background. */
export function isHidden(item: Item, background: Background): boolean {
  return item.color === background || HARD_TO_SEE[item.id]?.includes(background) === true;
}

/** Found by measuring every sprite of every hand on every background; the test beside this file measures again. */
const HARD_TO_SEE: Readonly<Record<string, readonly Background[]>> = {
  fish: ['gray'],
  goat: ['white'],
  rooster: ['white'],
  swan: ['white'],
  spider: ['gray'],
  key: ['yellow'],
  dress: ['blue'],
  bomb: ['purple'],
  cloud: ['white'],
  ghost: ['white'],
  anchor: ['blue'],
  'closed-book': ['red'],
  'closed-lock': ['yellow', 'white'],
  'open-lock': ['yellow', 'white'],
  'ringing-bell': ['yellow'],
  'silent-bell': ['yellow'],
  'angry-face': ['yellow'],
  'dark-moon': ['gray'],
  'cat-front': ['yellow'],
  'cat-side': ['yellow'],
  'sign-saying-wc': ['blue'],
  'clock-at-twelve': ['white', 'gray'],
  'clock-at-three': ['white', 'gray'],
  'clock-at-nine': ['white', 'gray'],
};
