/** The devices that tests run on: the float64 reference, wasm, and webgpu on the software adapter. */
import { createReferenceDevice, type Device } from '@clipin/kernel';
import { createWasmDevice } from '@clipin/wasm';
import { createWebgpuDevice } from '@clipin/webgpu';

/** Starts a device by its name. */
export const devices: Readonly<Record<string, () => Promise<Device>>> = {
  reference: async () => createReferenceDevice(),
  wasm: () => createWasmDevice({ threads: 2 }),
  webgpu: () => createWebgpuDevice({ adapter: 'software' }),
};
