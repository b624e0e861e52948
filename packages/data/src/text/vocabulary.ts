/** The words of the whole world, so that a vocabulary cut to them is the same for every seed and split. */
import { INVENTORY } from '../inventory/inventory';
import { COLORS } from '../inventory/item';
import { BACKGROUND_NAMES, PLACE_NAMES } from '../scenes/scene';

/** Words of the captions and instructions that are no item's name; a test draws thousands of texts to see that none is missing. */
const GRAMMAR = [
  'a an and the in of on at to from just one two three four picture plain background center it is are there only object nothing',
  'else everything stands shows small large smaller larger upright upside-down facing left right front side above below , .',
  'make turn flip set face change color number show look say point replace with into move put swap let places add remove take away',
];

/** Texts that together hold every word and piece that any caption or instruction of the world can hold. */
export function vocabularyTexts(): string[] {
  const names = INVENTORY.map((item) =>
    [item.adjective, item.noun, item.plural, item.tail].filter(Boolean).join(' '),
  );
  // Punctuation may close a word: "red." is "red" and ".".
  return [...GRAMMAR, COLORS.join(' '), BACKGROUND_NAMES.join(' '), PLACE_NAMES.join(' '), ...names];
}
