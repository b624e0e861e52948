/** What an instruction edit is, and which visual pattern each kind of edit tests. */
import type { Mention } from '../scenes/captions';
import type { Scene } from '../scenes/scene';

/** MMVP's nine visual patterns, in the order of the benchmark. */
export const PATTERNS = [
  'Orientation and Direction',
  'Presence of Specific Features',
  'State and Condition',
  'Quantity and Count',
  'Positional and Relational Context',
  'Color and Appearance',
  'Structural and Physical Characteristics',
  'Texts',
  'Viewpoint and Perspective',
] as const;
/** One of MMVP's nine visual patterns. */
export type Pattern = (typeof PATTERNS)[number];

/** The kinds of edit, each with the pattern that it tests. */
export const EDIT_KINDS = {
  mirror: 'Orientation and Direction',
  'upside-down': 'Orientation and Direction',
  arrow: 'Orientation and Direction',
  replace: 'Presence of Specific Features',
  add: 'Presence of Specific Features',
  remove: 'Presence of Specific Features',
  state: 'State and Condition',
  count: 'Quantity and Count',
  move: 'Positional and Relational Context',
  swap: 'Positional and Relational Context',
  recolor: 'Color and Appearance',
  background: 'Color and Appearance',
  resize: 'Structural and Physical Characteristics',
  shape: 'Structural and Physical Characteristics',
  sign: 'Texts',
  viewpoint: 'Viewpoint and Perspective',
} as const satisfies Record<string, Pattern>;
/** Name of a kind of edit. */
export type EditKind = keyof typeof EDIT_KINDS;
/** All kinds of edit. */
export const EDIT_KIND_NAMES = Object.keys(EDIT_KINDS) as EditKind[];

/** Two scenes that differ in one thing, the instruction that leads from one to the other, and a caption for each. */
export interface Edit {
  kind: EditKind;
  pattern: Pattern;
  instruction: string;
  source: Scene;
  target: Scene;
  sourceCaption: string;
  targetCaption: string;
}

/** An edit before its captions are written. */
export interface Draft {
  source: Scene;
  target: Scene;
  instruction: string;
  /** What both captions must mention so that each is true of its own scene only. */
  mention: Mention;
}
