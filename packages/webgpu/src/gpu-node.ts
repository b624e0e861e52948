/**
 * Finds an adapter in Node through Dawn (npm package `webgpu`): among the machine's own Vulkan, Metal or Direct3D
 * drivers, or, where software will do, with the SwiftShader of an npm package.
 */
import { type AdapterKind, type AdapterSearch, askFor } from './adapter';
import { unpackSwiftshader } from './swiftshader';
import { fileStore } from './tile-store';
import type { TileStore } from './tuner';
import { whyNoVulkan } from './vulkan-drivers';

type Dawn = typeof import('webgpu');
type Attempt = () => Promise<AdapterSearch | undefined>;

async function ask(
  dawn: Dawn,
  kind: AdapterKind,
  tried: string[],
  where: string,
): Promise<AdapterSearch | undefined> {
  // Dawn offers matrix units, which are an experiment, only to those who ask for unsafe things. It changes nothing else
  // for a device that does not ask for more features.
  const owner = dawn.create(['enable-dawn-features=allow_unsafe_apis']);
  const adapter = await askFor(owner, kind, tried, where);
  return adapter ? { adapter, tried, owner } : undefined;
}

/** Asks the machine's own drivers, unless it is plain that there are none: Dawn would fill the terminal with warnings. */
async function askMachine(
  dawn: Dawn,
  kind: AdapterKind,
  tried: string[],
): Promise<AdapterSearch | undefined> {
  const where = 'drivers of this machine';
  const missing = whyNoVulkan();
  if (missing === undefined) return ask(dawn, kind, tried, where);
  tried.push(`${where}: ${missing}`);
  return undefined;
}

/** Asks with SwiftShader as the only Vulkan driver; the choice holds for this question alone. */
async function askSwiftshader(
  dawn: Dawn,
  kind: AdapterKind,
  tried: string[],
): Promise<AdapterSearch | undefined> {
  const found = unpackSwiftshader();
  if ('missing' in found) {
    tried.push(found.missing);
    return undefined;
  }
  const before = process.env.VK_ICD_FILENAMES;
  process.env.VK_ICD_FILENAMES = found.driver;
  try {
    return await ask(dawn, kind, tried, 'SwiftShader of @sparticuz/chromium');
  } finally {
    if (before === undefined) delete process.env.VK_ICD_FILENAMES;
    else process.env.VK_ICD_FILENAMES = before;
  }
}

/** Asks Dawn for an adapter of this kind. */
export async function findAdapter(kind: AdapterKind): Promise<AdapterSearch> {
  const tried: string[] = [];
  let dawn: Dawn;
  try {
    dawn = await import('webgpu');
  } catch (error) {
    return { tried: [`npm package webgpu: ${error instanceof Error ? error.message : error}`] };
  }
  const own: Attempt = () => askMachine(dawn, kind, tried);
  const packaged: Attempt = () => askSwiftshader(dawn, kind, tried);
  // Software is asked for to have the same everywhere: the packaged driver goes first, unless another one is named.
  const named = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES;
  const attempts = {
    hardware: [own],
    any: [own, packaged],
    software: named ? [own, packaged] : [packaged, own],
  };
  for (const attempt of attempts[kind]) {
    const found = await attempt();
    if (found) return found;
  }
  return { tried };
}

/** Where tuned tables are kept. */
export const tileStore = (): TileStore => fileStore();
