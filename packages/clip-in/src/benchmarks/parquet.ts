/**
 * Rows of parquet files, one row group in memory at a time, as `hyparquet` decodes them: strings as strings, other bytes
 * (images, in the way of Hugging Face: a group of `bytes` and `path`) as `Uint8Array`.
 */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { messageOf } from '../thrown';
import { SuiteError } from './suite';

/** The parquet files in the first of several folders below a directory that has some, in the order of their names. */
export async function findParquet(directory: string, folders: readonly string[]): Promise<readonly string[]> {
  for (const folder of folders.map((name) => join(directory, name)).filter(existsSync)) {
    const files = (await readdir(folder)).filter((name) => name.endsWith('.parquet')).sort();
    if (files.length > 0) return files.map((name) => join(folder, name));
  }
  return [];
}

/**
 * The rows of a parquet file, in order.
 *
 * @param columns - those to read; others are left on disk
 * @throws SuiteError that names the file, where it is no parquet file, is cut off, or lacks a column
 */
export async function* readParquet(
  path: string,
  columns: readonly string[],
): AsyncGenerator<Readonly<Record<string, unknown>>> {
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const groups = metadata.row_groups.map(({ num_rows }) => Number(num_rows));
    let rowStart = 0;
    for (const rows of groups) {
      const rowEnd = rowStart + rows;
      yield* await parquetReadObjects({
        file,
        metadata,
        columns: [...columns],
        rowStart,
        rowEnd,
        utf8: false,
      });
      rowStart = rowEnd;
    }
  } catch (error) {
    const reason = messageOf(error);
    throw new SuiteError(`${path} cannot be read as parquet (is it whole?): ${reason}`, { cause: error });
  }
}
