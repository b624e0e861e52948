/** Reading a stretch of a file, however long, from any place in it. */
import type { FileHandle } from 'node:fs/promises';

/** A single read is capped well below the 2 GiB limit of the operating system. */
const PIECE = 1 << 28;

/**
 * `length` bytes from `position` on.
 *
 * @param file - for the error
 * @throws Error naming the file if it ends before
 */
export async function readAt(
  handle: FileHandle,
  position: number,
  length: number,
  file: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length; ) {
    const piece = Math.min(PIECE, length - filled);
    const { bytesRead } = await handle.read(bytes, filled, piece, position + filled);
    if (bytesRead === 0) throw new Error(`${file}: ended while it was read`);
    filled += bytesRead;
  }
  return bytes;
}
