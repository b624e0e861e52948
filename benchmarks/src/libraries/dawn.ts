/**
 * Dawn in Node as a page would find it, for peers that know only browsers: `navigator.gpu` and the names of WebGPU. Not for
 * clip-in, which asks Dawn itself.
 */
import { create, globals } from 'webgpu';

/** Puts `navigator.gpu` in place. @returns the adapter's name */
export async function asInBrowser(): Promise<string> {
  Object.assign(globalThis, globals);
  const gpu = create([]);
  const navigator = { gpu, userAgent: 'Node', hardwareConcurrency: 1 };
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true });
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error('Dawn found no adapter');
  return `webgpu, ${adapter.info.description || adapter.info.device}`;
}
