/**
 * The hands (artists) whose emoji the world is drawn with, and where each keeps its drawings.
 * The drawings stay in their npm packages; nothing of them is copied into this one.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Hands that training scenes are drawn by. */
export const TRAINING_HANDS = ['openmoji', 'twemoji', 'fluent', 'emojione'] as const;
/** The hand that no training picture is drawn by: it is for tests only. */
export const UNSEEN_HAND = 'noto';
/** All hands. `emojione` is older than some emoji and lacks them; the others have the whole inventory. */
export const HANDS = [...TRAINING_HANDS, UNSEEN_HAND] as const;
/** The name of an artist's set. */
export type Hand = (typeof HANDS)[number];

/** Npm package, licence and credit of each hand. Whoever shows the pictures must give the credit. */
export const CREDITS: Readonly<Record<Hand, { package: string; licence: string; by: string }>> = {
  openmoji: { package: 'openmoji', licence: 'CC-BY-SA-4.0', by: 'OpenMoji, HfG Schwäbisch Gmünd' },
  twemoji: {
    package: '@iconify-json/twemoji',
    licence: 'CC-BY-4.0',
    by: 'Twemoji, Twitter and contributors',
  },
  fluent: { package: '@iconify-json/fluent-emoji-flat', licence: 'MIT', by: 'Fluent Emoji, Microsoft' },
  emojione: { package: '@iconify-json/emojione', licence: 'CC-BY-4.0', by: 'EmojiOne 2, JoyPixels' },
  noto: { package: '@iconify-json/noto', licence: 'Apache-2.0', by: 'Noto Emoji, Google' },
};

/** Gives the SVG text of an emoji, or undefined where the hand has not drawn it. */
export type Drawings = (code: string) => string | undefined;

const require = createRequire(import.meta.url);

/** Checks a hand's name; the error lists those there are. */
export function checkHand(hand: string, operation: string): Hand {
  const known = HANDS.find((name) => name === hand);
  if (!known)
    throw new RangeError(`${operation}: no hand is called "${hand}"; there are ${HANDS.join(', ')}`);
  return known;
}

/**
 * Opens the drawings of a hand.
 * @throws Error with the package to install if it is not there
 */
export function openHand(hand: Hand): Drawings {
  return hand === 'openmoji' ? openOpenmoji() : openIconify(hand);
}

/** Version of the package behind a hand, so that a cache knows when it is stale. */
export function handVersion(hand: Hand): string {
  return readJson<{ version: string }>(hand, 'package.json').version;
}

function openOpenmoji(): Drawings {
  const folder = join(dirname(resolve('openmoji', 'package.json')), 'color', 'svg');
  return (code) => {
    const file = spellings(code)
      .map((name) => join(folder, `${name.toUpperCase()}.svg`))
      .find(existsSync);
    return file && readFileSync(file, 'utf8');
  };
}

interface IconSet {
  width?: number;
  height?: number;
  icons: Record<string, { body: string; width?: number; height?: number }>;
  aliases?: Record<string, { parent: string }>;
}

function openIconify(hand: Exclude<Hand, 'openmoji'>): Drawings {
  const set = readJson<IconSet>(hand, 'icons.json');
  // EmojiOne's package has no table of code points; its icons carry the same names as Twemoji's.
  const names = readJson<Record<string, string>>(hand === 'emojione' ? 'twemoji' : hand, 'chars.json');
  return (code) => {
    const name = spellings(code)
      .map((spelling) => names[spelling])
      .find((found) => found !== undefined);
    if (name === undefined) return undefined;
    const icon = set.icons[name] ?? set.icons[set.aliases?.[name]?.parent ?? ''];
    if (!icon) return undefined;
    const width = icon.width ?? set.width ?? 16;
    const height = icon.height ?? set.height ?? 16;
    return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 ${width} ${height}">${icon.body}</svg>`;
  };
}

/** The sets differ in whether they write the variation selector FE0F. */
function spellings(code: string): string[] {
  return [code, `${code}-fe0f`, code.replace('-20e3', '-fe0f-20e3')];
}

function readJson<T>(hand: Hand, file: string): T {
  return JSON.parse(readFileSync(resolve(hand, file), 'utf8')) as T;
}

function resolve(hand: Hand, file: string): string {
  const name = CREDITS[hand].package;
  try {
    return require.resolve(`${name}/${file}`);
  } catch (cause) {
    throw new Error(
      `emoji art: the hand "${hand}" needs the npm package ${name}; install it: npm install ${name}`,
      { cause },
    );
  }
}
