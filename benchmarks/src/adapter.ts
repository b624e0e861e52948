/** Which adapter the libraries on WebGPU get: a GPU of this machine, else the software driver that is named or comes with npm. */
import { dirname } from 'node:path';
import { createWebgpuDevice } from '@clipin/webgpu';
import { unpackSwiftshader } from '../../packages/webgpu/src/swiftshader';

/** An adapter by the environment that leads to it. */
export interface Adapter {
  /** `SwiftShader driver 5.0.0 (software)`. */
  readonly name: string;
  readonly software: boolean;
  /** For the processes of all libraries alike. */
  readonly env: Readonly<Record<string, string>>;
}

/** Finds the adapter, as `init` does. @throws Error with what was tried */
export async function findAdapter(): Promise<Adapter> {
  const device = await createWebgpuDevice({ adapter: 'any' });
  device.destroy();
  const name = device.description.replace(/^webgpu, /, '');
  const software = name.endsWith('(software)');
  return { name, software, env: software ? softwareEnvironment() : {} };
}

function softwareEnvironment(): Record<string, string> {
  const packaged = unpackSwiftshader();
  if ('missing' in packaged) return {};
  const named = process.env.VK_ICD_FILENAMES ?? process.env.VK_DRIVER_FILES;
  // The package has a Vulkan loader too, which onnxruntime finds nowhere else on a machine that has none.
  const paths = [dirname(packaged.driver), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':');
  return { LD_LIBRARY_PATH: paths, ...(named === undefined && { VK_ICD_FILENAMES: packaged.driver }) };
}
