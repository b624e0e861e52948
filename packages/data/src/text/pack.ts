/**
 * Texts one after another in common rows. Captions are of very different lengths, so that most of a padded batch is padding;
 * packed, little is. Who reads the rows keeps the texts apart by their numbers.
 */

/** Texts of ids in rows of one length: `[texts, length]`, row by row. */
export interface IdRows {
  readonly ids: Int32Array;
  readonly length: number;
}

/** Packed texts; all arrays are i32. */
export interface PackedRows {
  readonly rows: number;
  /** Tokens of a row. */
  readonly length: number;
  /** Most texts of a row. */
  readonly perRow: number;
  /** `[rows, length]`, 0 where nothing is. */
  readonly ids: Int32Array;
  /** `[rows, length]`: the place of each token in its text. */
  readonly positions: Int32Array;
  /** `[rows, length]`: the number of each token's text in its row, from 1 on; 0 where nothing is. */
  readonly texts: Int32Array;
  /** `[rows, perRow]`: where each text of a row ends; 0 where there is none. */
  readonly ends: Int32Array;
  /** `[texts]`: `row · perRow + number − 1` of each text, in the order given. */
  readonly slots: Int32Array;
}

/** Options of `packTexts`. */
export interface PackOptions {
  /** Tokens of a row; at least those of the longest text. */
  readonly length: number;
  /** Most texts of a row. Default: 8. */
  readonly perRow?: number;
  /** Rows are added up to a multiple of this, so that batches differ little in shape. Default: 8. */
  readonly rowsMultiple?: number;
}

interface Row {
  used: number;
  readonly texts: { readonly number: number; readonly ids: Int32Array }[];
}

/**
 * Packs texts, the longest first, each into the first row that has room. A text ends with the first of its largest ids, which
 * is CLIP's end token; what follows is left out.
 *
 * @throws RangeError when a text is longer than a row
 */
export function packTexts(
  groups: readonly IdRows[],
  { length, perRow = 8, rowsMultiple = 8 }: PackOptions,
): PackedRows {
  const texts = groups.flatMap(textsOf).map((ids, number) => ({ ids, number }));
  const rows: Row[] = [];
  for (const text of [...texts].sort((a, b) => b.ids.length - a.ids.length)) {
    if (text.ids.length > length) {
      throw new RangeError(
        `packTexts: a text has ${text.ids.length} tokens, rows have ${length}; cut it or give more`,
      );
    }
    const fits = ({ used, texts: others }: Row) => used + text.ids.length <= length && others.length < perRow;
    const row = rows.find(fits) ?? { used: 0, texts: [] };
    if (row.used === 0) rows.push(row);
    row.texts.push(text);
    row.used += text.ids.length;
  }
  const count = Math.ceil(rows.length / rowsMultiple) * rowsMultiple;
  const packed = {
    rows: count,
    length,
    perRow,
    ids: new Int32Array(count * length),
    positions: new Int32Array(count * length),
    texts: new Int32Array(count * length),
    ends: new Int32Array(count * perRow),
    slots: new Int32Array(texts.length),
  };
  rows.forEach((row, r) => {
    let at = r * length;
    row.texts.forEach(({ ids, number }, place) => {
      packed.ids.set(ids, at);
      packed.positions.set(
        ids.map((_, i) => i),
        at,
      );
      packed.texts.fill(place + 1, at, at + ids.length);
      packed.slots[number] = r * perRow + place;
      at += ids.length;
      packed.ends[r * perRow + place] = at - 1 - r * length;
    });
  });
  return packed;
}

/** The texts of padded rows, each up to its end token. */
function textsOf({ ids, length }: IdRows): Int32Array[] {
  return Array.from({ length: ids.length / length }, (_, row) => {
    const text = ids.subarray(row * length, (row + 1) * length);
    return text.subarray(0, text.indexOf(Math.max(...text)) + 1);
  });
}
