/**
 * Problems and results on their way between processes: a tree is written as JSON, in which each array of numbers is a place
 * in a binary file beside it. All libraries, in whatever language, so start from the same bits.
 */
import { readFile, writeFile } from 'node:fs/promises';

/** An array of numbers in the file: 4 bytes an element. */
interface Place {
  readonly dtype: 'f32' | 'i32';
  readonly length: number;
  /** In elements. */
  readonly offset: number;
}

const isArray = (value: unknown): value is Float32Array | Int32Array =>
  value instanceof Float32Array || value instanceof Int32Array;
const isPlace = (value: unknown): value is Place =>
  typeof value === 'object' && value !== null && 'dtype' in value && 'offset' in value;

/** Writes the arrays of a tree to a file; the tree with their places instead. */
export async function send(tree: unknown, file: string): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let offset = 0;
  const replace = (value: unknown): unknown => {
    if (isArray(value)) {
      const place: Place = {
        dtype: value instanceof Float32Array ? 'f32' : 'i32',
        length: value.length,
        offset,
      };
      parts.push(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
      offset += value.length;
      return place;
    }
    return walk(value, replace);
  };
  const described = replace(tree);
  await writeFile(file, parts);
  return described;
}

/** The tree that was sent. */
export async function receive(described: unknown, file: string): Promise<unknown> {
  const bytes = await readFile(file);
  const replace = (value: unknown): unknown => {
    if (!isPlace(value)) return walk(value, replace);
    const own = bytes.buffer.slice(
      bytes.byteOffset + 4 * value.offset,
      bytes.byteOffset + 4 * (value.offset + value.length),
    );
    return value.dtype === 'f32' ? new Float32Array(own) : new Int32Array(own);
  };
  return replace(described);
}

function walk(value: unknown, replace: (value: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(replace);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replace(item)]));
}
