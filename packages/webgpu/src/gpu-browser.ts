/** Finds an adapter in a browser: `navigator.gpu`. */
import { type AdapterKind, type AdapterSearch, askFor } from './adapter';
import type { TileStore } from './tuner';

/** Asks the browser for an adapter of this kind. */
export async function findAdapter(kind: AdapterKind): Promise<AdapterSearch> {
  if (!globalThis.navigator?.gpu)
    return { tried: ['navigator.gpu: this browser has no WebGPU, or the page is not https'] };
  const tried: string[] = [];
  const adapter = await askFor(navigator.gpu, kind, tried, 'navigator.gpu');
  return adapter ? { adapter, tried } : { tried };
}

/** Where tuned tables are kept: nowhere, each device of a page is tuned anew. */
export const tileStore = (): TileStore => ({ read: () => undefined, write: () => undefined });
