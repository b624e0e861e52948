/** Where an image comes from, and how one is spoken of that cannot be used. */
import { readFile } from 'node:fs/promises';

/** A picture file: its path, or its bytes with a name for messages. */
export type ImageFile = string | { readonly name: string; readonly bytes: Uint8Array };

/** `[x, y, width, height]` in pixels; what of it lies outside the picture is black, as Pillow's crop has it. */
export type Box = readonly [x: number, y: number, width: number, height: number];

/** A picture file, or a box of it that is cut out first. */
export type ImageSource = ImageFile | { readonly source: ImageFile; readonly box: Box };

/** A picture that cannot be decoded or used; the message names it and says why. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
  constructor(
    /** Path or name of the picture. */
    readonly image: string,
    /** What is wrong with it. */
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`${image}: ${reason}`, options);
  }
}

/** The file of a source, and the box that is to be cut out of it, if any. */
export function partsOf(source: ImageSource): { file: ImageFile; box?: Box } {
  return typeof source === 'object' && 'source' in source
    ? { file: source.source, box: source.box }
    : { file: source };
}

/** How a source is called: path or name, and the box. */
export function nameOf(source: ImageSource): string {
  const { file, box } = partsOf(source);
  const name = typeof file === 'string' ? file : file.name;
  return box ? `${name} [${box.join(', ')}]` : name;
}

/**
 * The bytes of a source's file.
 * @throws ImageError if it cannot be read or is empty
 */
export async function readSource(source: ImageSource): Promise<Uint8Array> {
  const { file } = partsOf(source);
  const bytes = typeof file === 'string' ? await readBytes(file) : file.bytes;
  if (bytes.length === 0) throw new ImageError(nameOf(source), 'the file is empty, expected a picture');
  return bytes;
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const reason = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code ?? cause})`;
    throw new ImageError(path, reason, { cause });
  }
}
