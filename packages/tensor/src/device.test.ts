/** What `init` passes on to the wasm device. */
import { createWasmDevice } from '@clipin/wasm';
import { afterEach, expect, test, vi } from 'vitest';
import { destroyDevice, type InitOptions, init } from './device';

afterEach(() => vi.unstubAllEnvs());

async function described(options: InitOptions): Promise<string> {
  const device = await init({ device: 'wasm', threads: 1, ...options });
  destroyDevice(device);
  return device.description;
}

test('a BLAS that is installed is used, unless the option or the environment switches it off', async () => {
  vi.stubEnv('CLIPIN_BLAS', undefined);
  const [found, without] = await Promise.all([
    createWasmDevice({ threads: 1 }),
    createWasmDevice({ threads: 1, blas: false }),
  ]);
  expect(without.description).toMatch(/^wasm, 1 thread, (relaxed )?SIMD$/);
  expect(await described({})).toBe(found.description);
  expect(await described({ blas: false })).toBe(without.description);
  vi.stubEnv('CLIPIN_BLAS', 'off');
  expect(await described({})).toBe(without.description);
  expect(await described({ blas: true })).toBe(found.description);
  for (const device of [found, without]) device.destroy();
});

test('another word in the environment is an error', async () => {
  vi.stubEnv('CLIPIN_BLAS', 'no');
  await expect(init({ device: 'wasm' })).rejects.toThrow(
    'CLIPIN_BLAS: "no" is unknown; "off" switches a system BLAS off, unset it to use one',
  );
});
