/**
 * The few facts of a picture file's header that decide how Pillow opens it and that a decoder's pixels no longer tell:
 * palettes, and colours under transparency. Reads no pixels.
 */

/** A PNG has alpha by its colour type; a transparent colour (tRNS) is no alpha, and Pillow leaves it aside. */
export function pngHasAlpha(bytes: Uint8Array): boolean {
  const colourType = bytes[25] ?? 0;
  return (colourType & 4) !== 0;
}

/** What a TIFF says of its first image. */
export interface TiffFacts {
  readonly palette: boolean;
  /** Its entries point to places in the file; else it was cut off, and a palette may be missing unnoticed. */
  readonly complete: boolean;
}

/** Bytes of a value, by the type of a TIFF's entry; 0 where there is no such type. */
const TIFF_SIZES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8];
const PHOTOMETRIC = 262;
const PALETTE = 3;

/** Reads the first directory of a TIFF or BigTIFF. */
export function tiffFacts(bytes: Uint8Array): TiffFacts {
  const view = viewOf(bytes);
  const little = bytes[0] === 0x49;
  if (bytes.length < 16) return { palette: false, complete: false };
  const big = view.getUint16(2, little) === 43; // BigTIFF's offsets and counts have 8 bytes
  const long = (at: number) => (big ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little));
  const word = big ? 8 : 4;
  const directory = long(big ? 8 : 4);
  const [heading, entry] = big ? [8, 20] : [2, 12];
  if (directory + heading > bytes.length) return { palette: false, complete: false };
  const count = big ? long(directory) : view.getUint16(directory, little);
  if (directory + heading + count * entry > bytes.length) return { palette: false, complete: false };
  const entries = Array.from({ length: count }, (_, i) => directory + heading + i * entry);
  return {
    palette: entries.some(
      (at) => view.getUint16(at, little) === PHOTOMETRIC && view.getUint16(at + 4 + word, little) === PALETTE,
    ),
    complete: entries.every((at) => {
      const size = (TIFF_SIZES[view.getUint16(at + 2, little)] ?? 0) * long(at + 4);
      return size <= word || long(at + 4 + word) + size <= bytes.length;
    }),
  };
}

/** What a GIF says of its first frame. */
export interface GifFrame {
  /** Where the frame lies on the canvas. */
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** The colour that Pillow shows where the frame is transparent and outside it. */
  readonly hidden: readonly [number, number, number];
  /** The palette is the grey ramp, so that Pillow takes the indices for grey levels. */
  readonly grey: boolean;
}

/** The first frame of a GIF; undefined if the file ends before it. */
export function gifFrame(bytes: Uint8Array): GifFrame | undefined {
  const view = viewOf(bytes);
  const tableBytes = (flags: number) => ((flags & 0x80) !== 0 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13;
  let palette = bytes.subarray(at, at + tableBytes(bytes[10] ?? 0));
  at += palette.length;
  let transparent: number | undefined;
  while (at + 10 <= bytes.length) {
    if (bytes[at] === 0x21) {
      if (bytes[at + 1] === 0xf9 && (bytes[at + 3]! & 1) !== 0) transparent = bytes[at + 6];
      at += 2;
      while ((bytes[at] ?? 0) !== 0) at += bytes[at]! + 1; // the extension's blocks
      at += 1;
    } else if (bytes[at] === 0x2c) {
      const [left, top, width, height] = [1, 3, 5, 7].map((offset) => view.getUint16(at + offset, true)) as [
        number,
        number,
        number,
        number,
      ];
      const local = bytes.subarray(at + 10, at + 10 + tableBytes(bytes[at + 9]!));
      if (local.length > 0) palette = local;
      const grey = palette.every((value, i) => value === Math.floor(i / 3));
      const index = transparent ?? 0;
      const hidden = [0, 1, 2].map((c) => (grey ? index : (palette[3 * index + c] ?? 0))) as [
        number,
        number,
        number,
      ];
      return { left, top, width, height, hidden, grey };
    } else return undefined;
  }
  return undefined;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
