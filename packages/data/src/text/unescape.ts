/** HTML's character references, decoded as Python's `html.unescape` does: also without a semicolon, and in part. */
import { characterEntities } from 'character-entities';
import { characterEntitiesLegacy } from 'character-entities-legacy';

const NAMED = new Map(Object.entries(characterEntities));
/** Names that need no semicolon. */
const LEGACY = new Set(characterEntitiesLegacy);

const REFERENCE = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/gu;

/** Decodes the references of a text, once. */
export function unescapeHtml(text: string): string {
  return text.includes('&') ? text.replace(REFERENCE, (_, reference: string) => decoded(reference)) : text;
}

/** What a name with its semicolon, or an old name without, stands for. */
export function entityOf(name: string): string | undefined {
  if (name.endsWith(';')) return NAMED.get(name.slice(0, -1));
  return LEGACY.has(name) ? NAMED.get(name) : undefined;
}

/** Every name that is closed by a semicolon, without it. */
export const entityNames = (): Iterable<[string, string]> => NAMED;

function decoded(reference: string): string {
  if (reference.startsWith('#')) return ofNumber(numberOf(reference));
  const whole = entityOf(reference);
  if (whole !== undefined) return whole;
  // The longest old name that it begins with; the rest stays as it is. No name has one letter.
  for (let length = reference.length - 1; length > 1; length--) {
    const part = entityOf(reference.slice(0, length));
    if (part !== undefined) return part + reference.slice(length);
  }
  return `&${reference}`;
}

function numberOf(reference: string): number {
  const digits = reference.slice(1).replace(';', '');
  return /^x/i.test(digits) ? Number.parseInt(digits.slice(1), 16) : Number.parseInt(digits, 10);
}

/** HTML takes 0x80 to 0x9f for Windows-1252, and leaves out what is no character. */
function ofNumber(code: number): string {
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return '\ufffd';
  if (code >= 0x80 && code <= 0x9f) return windows1252(code);
  const control = code < 0x20 && !'\t\n\f\r'.includes(String.fromCharCode(code));
  const none = control || code === 0x7f || (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
  return none ? '' : String.fromCodePoint(code);
}

/** 0x80 to 0x9f; a table, since Node 20's decoder of this name gives control characters. */
const WINDOWS_1252 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ';

/** The character that a byte from 0x80 to 0x9f is in Windows-1252; the five that are none stay control characters. */
export const windows1252 = (byte: number): string => WINDOWS_1252[byte - 0x80]!;
