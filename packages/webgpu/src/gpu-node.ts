/**
 * Finds an adapter in Node through Dawn (npm package `webgpu`): first among the machine's own Vulkan, Metal or Direct3D
 * drivers, then, where software will do, with the SwiftShader of an npm package.
 */
import { type AdapterKind, type AdapterSearch, askFor } from './adapter';
import { useSwiftshader } from './swiftshader';

/** Asks Dawn for an adapter of this kind. */
export async function findAdapter(kind: AdapterKind): Promise<AdapterSearch> {
  const tried: string[] = [];
  let dawn: typeof import('webgpu');
  try {
    dawn = await import('webgpu');
  } catch (error) {
    return { tried: [`npm package webgpu: ${error instanceof Error ? error.message : error}`] };
  }
  const ask = async (where: string): Promise<AdapterSearch | undefined> => {
    const owner = dawn.create([]);
    const adapter = await askFor(owner, kind, tried, where);
    return adapter ? { adapter, tried, owner } : undefined;
  };
  const own = await ask('drivers of this machine');
  if (own || kind === 'hardware') return own ?? { tried };
  const { ready, report } = useSwiftshader();
  if (!ready) tried.push(report);
  return (ready && (await ask(report))) || { tried };
}
