/**
 * Reads the files that benchmarks come in: finds them below a directory, and turns JSON, JSON lines and CSV into checked
 * records. A file that is not there is an error that says what was looked for and what the layout is; a record that is
 * damaged is one skipped item, so that the others can still be counted.
 *
 * Not here: images, which are only looked for.
 */
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { z } from 'zod';
import { messageOf } from '../thrown';
import { type Skipped, SuiteError } from './suite';

/** What a suite says of itself in an error. */
export interface Described {
  readonly layout: string;
}

/**
 * The first of several places below a directory that is there.
 *
 * @param places - paths relative to `directory`, the benchmark's own one first
 * @param what - what they would be: "the questions", "the folder of images"
 * @throws SuiteError that names the places and the layout, where none is there
 */
export function locate(suite: Described, directory: string, places: readonly string[], what: string): string {
  const found = places.map((place) => join(directory, place)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new SuiteError(missing(suite, directory, places, what));
}

/** Says that something of a suite's layout is not below a directory. */
export function missing(
  suite: Described,
  directory: string,
  places: readonly string[],
  what: string,
): string {
  const state = !existsSync(directory)
    ? 'there is no such directory'
    : !statSync(directory).isDirectory()
      ? 'that is no directory'
      : `looked for ${places.join(', ')}`;
  return `${what} not found in ${directory}: ${state}. Expected: ${suite.layout}`;
}

const imageEndings = ['.jpg', '.jpeg', '.png', '.webp', '.JPG', '.JPEG', '.PNG'];

/**
 * The path of an image in a folder, or undefined where there is none. A name without an ending of images takes the first
 * that fits.
 */
export function findImage(folder: string, name: string): string | undefined {
  const path = join(folder, name);
  const named = imageEndings.includes(extname(name));
  const candidates = named ? [path] : [path, ...imageEndings.map((ending) => path + ending)];
  return candidates.find((candidate) => existsSync(candidate) && statSync(candidate).isFile());
}

/** The text of a file, without a byte order mark. */
const readText = async (path: string): Promise<string> =>
  (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');

/**
 * The content of a JSON file, of the shape of `schema`.
 *
 * @throws SuiteError that names the file, where it is no JSON (cut off, perhaps) or has another shape
 */
export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const text = await readText(path);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    const size = text.length.toLocaleString('en');
    throw new SuiteError(`${path} is no JSON (${size} characters; is it whole?): ${messageOf(error)}`, {
      cause: error,
    });
  }
  const result = schema.safeParse(content);
  if (!result.success) throw new SuiteError(`${path}: ${z.prettifyError(result.error)}`);
  return result.data;
}

/** A record of the expected shape, or what is wrong with it. `name` is what the list of skipped items calls it. */
export function check<T>(
  schema: z.ZodType<T>,
  record: unknown,
  name: string,
): { readonly record: T } | Skipped {
  const result = schema.safeParse(record);
  if (result.success) return { record: result.data };
  return { skipped: name, reason: z.prettifyError(result.error).replaceAll(/\s*\n\s*/g, ' ') };
}

/** The lines of a JSON lines file, of the shape of `schema`; empty lines are no records. */
export async function readJsonLines<T>(
  path: string,
  schema: z.ZodType<T>,
  name: (line: number) => string = (line) => `line ${line}`,
): Promise<readonly ({ readonly record: T } | Skipped)[]> {
  const lines = (await readText(path)).split(/\r?\n/);
  return lines.flatMap((line, i) => {
    if (line.trim() === '') return [];
    try {
      return [check(schema, JSON.parse(line), name(i + 1))];
    } catch (error) {
      return [{ skipped: name(i + 1), reason: `no JSON: ${messageOf(error)}` }];
    }
  });
}

/**
 * The rows of a CSV file whose first line names its columns, as records; spaces around names and values, quotes, CRLF and a
 * byte order mark do not matter.
 *
 * @throws SuiteError that names the file, where it is no CSV or a column is missing
 */
export async function readCsv(
  path: string,
  columns: readonly string[],
): Promise<readonly Readonly<Record<string, string>>[]> {
  let rows: string[][];
  try {
    const options = { bom: true, trim: true, skip_empty_lines: true, relax_column_count: true };
    rows = parse(await readFile(path), options);
  } catch (error) {
    throw new SuiteError(`${path} is no CSV: ${messageOf(error)}`, { cause: error });
  }
  const header = (rows[0] ?? []).map((name) => name.toLowerCase());
  const absent = columns.filter((column) => !header.includes(column.toLowerCase()));
  if (absent.length > 0) {
    const found = rows[0]?.join(', ') ?? 'nothing';
    throw new SuiteError(
      `${path}: its first line must name the columns ${columns.join(', ')}, but has ${found}`,
    );
  }
  return rows.slice(1).map((row) =>
    Object.fromEntries(
      columns.flatMap((column) => {
        const value = row[header.indexOf(column.toLowerCase())];
        return value === undefined ? [] : [[column, value]];
      }),
    ),
  );
}
