/** Finds an adapter and opens the device on it. */

import type { Device } from '@clipin/kernel';
import { findAdapter, tileStore } from '#gpu';
import type { AdapterKind } from './adapter';
import { openDevice } from './device';
import { productClock, tunedTiles } from './tuner';
import type { Profile } from './wgsl/profile';

/** Options of {@link createWebgpuDevice}. */
export interface WebgpuOptions {
  /**
   * `hardware`: a GPU; `software`: a driver that computes on the CPU; `any` (the default): hardware where there is some,
   * else software.
   */
  readonly adapter?: 'hardware' | 'software' | 'any';
  /**
   * Times the tiles of matrix products on a hardware adapter, which takes seconds, and in Node keeps the result in the
   * user's cache folder for the next time. Default: false, a rule chooses tiles.
   */
  readonly tune?: boolean;
}

const remedies: Readonly<Record<AdapterKind, string>> = {
  hardware: "install the GPU's Vulkan driver, or take { adapter: 'any' } or the wasm device",
  software:
    'install the npm package @sparticuz/chromium 147.0.0 (linux-x64), or Mesa 25 or newer with its lavapipe driver',
  any: "install the GPU's Vulkan driver, or for software the npm package @sparticuz/chromium 147.0.0 (linux-x64); the wasm device needs neither",
};

/**
 * A device on WebGPU: Dawn (npm package `webgpu`) in Node, `navigator.gpu` in a browser.
 *
 * @throws Error where there is no such adapter; it says what was tried and how to get one.
 */
export async function createWebgpuDevice({
  adapter: kind = 'any',
  tune = false,
}: WebgpuOptions = {}): Promise<Device> {
  if (!(kind in remedies)) {
    throw new TypeError(`webgpu: adapter is '${kind}'; 'hardware', 'software' and 'any' would fit`);
  }
  const { adapter, tried, owner } = await findAdapter(kind);
  if (adapter)
    return openDevice(adapter, owner, tune ? (usual, gpu) => tuned(adapter, usual, gpu) : undefined);
  throw new Error(
    `webgpu: no ${kind === 'any' ? '' : `${kind} `}adapter. Tried: ${tried.join('; ')}. To get one, ${remedies[kind]}.`,
  );
}

/** The profile with tiles as they were timed, with and without matrix units; register tiles have nothing to choose. */
async function tuned({ info }: GPUAdapter, usual: Profile, gpu: GPUDevice): Promise<Profile> {
  if (!usual.workgroupMemory) return usual;
  const name = [info.vendor, info.architecture, info.device, info.description].join(' ');
  const plain = { ...usual, matrixUnits: [] };
  const tiles = await tunedTiles(name, tileStore(), productClock(gpu, plain));
  const [unit] = usual.matrixUnits;
  if (!unit) return { ...usual, tiles };
  const { component, m, n, k } = unit;
  const clock = productClock(gpu, usual, component);
  const unitTiles = await tunedTiles(`${name} ${component} ${m}x${n}x${k}`, tileStore(), clock);
  return { ...usual, tiles, unitTiles };
}
