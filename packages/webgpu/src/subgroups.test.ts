/** The size of subgroups is taken from the adapter only where a kernel confirms it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findAdapter } from '#gpu';
import type { WebgpuDevice } from './device';
import { subgroupSize } from './subgroups';
import { softwareDevice } from './test-support';

let device: WebgpuDevice;
let info: GPUAdapterInfo;
beforeAll(async () => {
  device = await softwareDevice();
  const { adapter } = await findAdapter('software');
  if (!adapter) throw new Error('no software adapter');
  info = adapter.info;
});
afterAll(() => device.destroy());

const named = (subgroupMinSize: number, subgroupMaxSize = subgroupMinSize): GPUAdapterInfo => ({
  ...info,
  subgroupMinSize,
  subgroupMaxSize,
});

test('a size that is always the same, and true', async () => {
  const { subgroupMinSize = 0 } = info;
  expect(await subgroupSize(device.gpu, named(subgroupMinSize))).toBe(
    device.gpu.features.has('subgroups') ? subgroupMinSize : 0,
  );
});

test('none where sizes vary, or the kernel sees another', async () => {
  const { subgroupMinSize = 4 } = info;
  expect(await subgroupSize(device.gpu, named(subgroupMinSize, subgroupMinSize * 2))).toBe(0);
  expect(await subgroupSize(device.gpu, named(subgroupMinSize * 2))).toBe(0);
});
