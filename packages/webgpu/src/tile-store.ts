/** Keeps tuned tables in the user's cache folder, a file for each adapter. Node only. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { TileStore } from './tuner';

function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  return join(XDG_CACHE_HOME || LOCALAPPDATA || join(homedir(), '.cache'), 'clip-in');
}

/** A store in a folder, by default the user's cache. A table that cannot be read or kept is no error: it is timed again. */
export function fileStore(folder = cacheFolder()): TileStore {
  const fileOf = (adapter: string) => join(folder, `tiles-${encodeURIComponent(adapter).slice(0, 200)}.json`);
  return {
    read(adapter) {
      try {
        return readFileSync(fileOf(adapter), 'utf8');
      } catch {
        return undefined;
      }
    },
    write(adapter, table) {
      const draft = `${fileOf(adapter)}.${process.pid}`;
      try {
        mkdirSync(folder, { recursive: true });
        writeFileSync(draft, table);
        renameSync(draft, fileOf(adapter));
      } catch {
        // A folder that is read-only.
      }
    },
  };
}
