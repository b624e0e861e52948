/**
 * How texts are cleaned before they are cut into pieces: as OpenAI's CLIP and open_clip do, whose `basic_clean` is
 * `ftfy.fix_text`, twice `html.unescape`, and `strip`.
 *
 * Of ftfy 6 everything is here that is a rule for characters. Not here: its guesses that a text was decoded with the wrong
 * encoding ("sÃ©ance"), which are thousands of lines; such a text keeps its characters and so gets other ids than there.
 */
import { entityNames, entityOf, unescapeHtml, windows1252 } from './unescape';

/** White space as Python and its `regex` have it: with U+0085, without U+FEFF. */
export const SPACE = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

const SPACES = new RegExp(`[${SPACE}]+`, 'gu');

/** `whitespace_clean(basic_clean(text))`. */
export function cleanText(text: string): string {
  return collapseSpace(unescapeHtml(unescapeHtml(fixText(text))));
}

/** White space runs become one space, and none is left at the ends. */
const collapseSpace = (text: string): string => text.replace(SPACES, ' ').replace(/^ | $/gu, '');

const PUNCTUATION = /[!"#$%&'()*+,\-./:;<=>?@[\\\]^`{|}~]/gu;

/** The cleaning of SigLIP's texts, as big_vision and open_clip canonicalize: no punctuation of ASCII, lower case. */
export function canonicalize(text: string): string {
  return collapseSpace(cleanText(text).replaceAll('_', ' ').replace(PUNCTUATION, '').toLowerCase());
}

/** The rules of `ftfy.fix_text` that need no guess, in its order, until nothing changes; line by line, as there. */
export function fixText(text: string): string {
  // Most texts are plain ASCII without a reference: nothing of this touches them.
  if (/^[\t\n\x20-\x25\x27-\x7e]*$/.test(text)) return text;
  let references = true; // until a line has a tag
  return text
    .split(/(?<=\n)/u)
    .map((line) => {
      references &&= !line.includes('<');
      return fixLine(line, references);
    })
    .join('');
}

function fixLine(line: string, references: boolean): string {
  let [text, before] = [line, ''];
  while (text !== before) {
    before = text;
    if (references) text = text.replace(/&#?[0-9A-Za-z]{1,24};/g, ftfyEntity);
    text = text
      .replace(/[\x80-\x9f]/g, (control) => windows1252(control.charCodeAt(0)))
      .replace(LIGATURE, (character) => LIGATURES[character]!)
      .replace(/[\u3000\uff01-\uffef]/g, (wide) => wide.normalize('NFKC'))
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/\r\n?|[\u2028\u2029\x85]/g, '\n')
      .replace(/\p{Surrogate}/gu, '\ufffd')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes of terminals begin with one
      .replace(/\x1b\[[\d;]*[a-zA-Z]/g, '')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are removed
      .replace(/[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, '')
      .normalize('NFC');
  }
  return text;
}

const LIGATURES: Readonly<Record<string, string>> = {
  Ĳ: 'IJ',
  ĳ: 'ij',
  ŉ: 'ʼn',
  Ǆ: 'DŽ',
  ǅ: 'Dž',
  ǆ: 'dž',
  Ǉ: 'LJ',
  ǈ: 'Lj',
  ǉ: 'lj',
  Ǌ: 'NJ',
  ǋ: 'Nj',
  ǌ: 'nj',
  Ǳ: 'DZ',
  ǲ: 'Dz',
  ǳ: 'dz',
  ﬀ: 'ff',
  ﬁ: 'fi',
  ﬂ: 'fl',
  ﬃ: 'ffi',
  ﬄ: 'ffl',
  ﬅ: 'ſt',
  ﬆ: 'st',
};
const LIGATURE = new RegExp(`[${Object.keys(LIGATURES).join('')}]`, 'gu');

/** ftfy's own decoding: only whole references; names also in capitals ("&NTILDE;"), where HTML has none such. */
function ftfyEntity(reference: string): string {
  if (reference.startsWith('&#')) {
    const character = unescapeHtml(reference);
    return character.includes(';') ? reference : character;
  }
  const name = reference.slice(1);
  return entityOf(name) ?? shouted().get(name) ?? reference;
}

let shoutedNames: Map<string, string> | undefined;

function shouted(): Map<string, string> {
  if (shoutedNames) return shoutedNames;
  shoutedNames = new Map();
  for (const [name, character] of entityNames()) {
    const upper = `${name.toUpperCase()};`;
    if (name !== name.toLowerCase() || unescapeHtml(`&${upper}`) !== `&${upper}`) continue;
    shoutedNames.set(upper, character.toUpperCase());
  }
  return shoutedNames;
}
