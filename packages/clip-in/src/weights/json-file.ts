/** Files of settings, checked by a schema. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { codeOf, messageOf } from '../thrown';

/**
 * A file of JSON; undefined if there is none.
 *
 * @throws Error naming the file if it is not JSON
 */
export async function readJson(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  return parseJson(text, file);
}

/**
 * What a text of JSON says.
 *
 * @throws Error naming the file if it is none
 */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new Error(`${file}: is not JSON (${messageOf(cause)})`, { cause });
  }
}

/**
 * What a schema makes of a file's content.
 *
 * @param what - what it should have been, for the error
 * @throws Error naming the file and everything in it that does not fit
 */
export function parseAs<T>(schema: z.ZodType<T>, json: unknown, file: string, what: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new Error(`${file}: is not ${what}:\n${z.prettifyError(result.error)}`);
}
