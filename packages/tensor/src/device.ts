/** The choice of device: a GPU where there is one, else WebAssembly; or what `CLIPIN_DEVICE` or the caller names. */
import { createReferenceDevice, type Device } from '@clipin/kernel';
import { createWasmDevice } from '@clipin/wasm';
import { createWebgpuDevice } from '@clipin/webgpu';
import { markDestroyed } from './storage';

/** Names of the devices that `init` can start. `reference` is the float64 interpreter: exact and very slow. */
export type DeviceName = 'webgpu' | 'wasm' | 'reference';

/** Options of `init`. */
export interface InitOptions {
  /** Default: the environment variable `CLIPIN_DEVICE`, else a hardware GPU if there is one, else `wasm`. */
  readonly device?: DeviceName;
  /** Threads of the wasm device. Default: one for each core. */
  readonly threads?: number;
  /**
   * Whether the wasm device may use a BLAS that is installed on this machine. Default: yes, unless the environment variable
   * `CLIPIN_BLAS` is `off`.
   */
  readonly blas?: boolean;
}

const deviceNames: readonly DeviceName[] = ['webgpu', 'wasm', 'reference'];
let current: Device | undefined;

const isDeviceName = (name: string): name is DeviceName => deviceNames.some((known) => known === name);

function requested(options: InitOptions): DeviceName | undefined {
  const name = options.device ?? globalThis.process?.env.CLIPIN_DEVICE;
  if (!name) return undefined;
  if (!isDeviceName(name))
    throw new Error(
      `${options.device === undefined ? 'CLIPIN_DEVICE: ' : ''}device "${name}" is unknown; choose one of ${deviceNames.join(', ')}`,
    );
  return name;
}

function blasOfEnvironment(): boolean {
  const value = globalThis.process?.env.CLIPIN_BLAS;
  if (!value || value === 'off') return value !== 'off';
  throw new Error(
    `CLIPIN_BLAS: "${value}" is unknown; "off" switches a system BLAS off, unset it to use one`,
  );
}

/**
 * Starts a device and makes it the default of this process.
 *
 * @returns the device; its `description` says what was found
 * @throws Error naming what was tried when the device that was asked for is not to be had
 */
export const init = async (options: InitOptions = {}): Promise<Device> =>
  setDefaultDevice(await startDevice(options));

/** Starts a device as {@link init} does, and leaves the default as it is: a second one, for what the first has no room for. */
export async function startDevice(options: InitOptions = {}): Promise<Device> {
  const name = requested(options);
  const ofWasm = {
    ...(options.threads !== undefined && { threads: options.threads }),
    blas: options.blas ?? blasOfEnvironment(),
  };
  if (name === 'reference') return createReferenceDevice();
  if (name === 'wasm') return await createWasmDevice(ofWasm);
  if (name === 'webgpu') return await createWebgpuDevice({ adapter: 'any' });
  try {
    return await createWebgpuDevice({ adapter: 'hardware' });
  } catch {
    return await createWasmDevice(ofWasm); // no hardware adapter: the documented default
  }
}

/** Makes a device the one on which new tensors are made. */
export function setDefaultDevice(device: Device): Device {
  current = device;
  return device;
}

/** The device on which new tensors are made. @throws Error before `init`. */
export function defaultDevice(): Device {
  if (!current) throw new Error('there is no device yet; call `await init()` before making tensors');
  return current;
}

/** Stops a device: threads end, its tensors are gone. */
export function destroyDevice(device: Device): void {
  markDestroyed(device);
  device.destroy();
  if (current === device) current = undefined;
}
