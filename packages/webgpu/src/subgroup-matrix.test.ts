/**
 * Products on matrix units: with the units emulated on the software adapter, against the float64 reference; their text, as it
 * is, for all units that adapters are known to list, through Dawn's validation; the units themselves where the adapter has some.
 */
import type { Launch } from '@clipin/kernel';
import { createReferenceDevice } from '@clipin/kernel';
import { checkCase, checkProperty, matmulCases } from '@clipin/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { create } from 'webgpu';
import { findAdapter } from '#gpu';
import { openDevice, type WebgpuDevice } from './device';
import { confirmedUnits, listedUnits, matrixFeature } from './subgroup-matrix';
import { matmulLaunch } from './test-kernels';
import { differenceFromReference, noise, softwareDevice } from './test-support';
import { emulateMatrices } from './wgsl/emulated-matrices.test-helpers';
import { generate } from './wgsl/generate';
import { lower } from './wgsl/lower';
import { type MatrixUnit, type Profile, profiles, type Tile } from './wgsl/profile';

const unit = (
  component: MatrixUnit['component'],
  [m, n, k]: readonly [number, number, number],
  lanes: number,
): MatrixUnit => ({ component, m, n, k, lanes });

/** NVIDIA's, its other one, Intel's, AMD's, Apple's. */
const known = [
  unit('f16', [16, 16, 16], 32),
  unit('f16', [16, 8, 16], 32),
  unit('f16', [8, 16, 16], 32),
  unit('f16', [16, 16, 16], 64),
  unit('f32', [8, 8, 8], 32),
] as const;

const tileOf = (tile: Tile): Partial<Profile> => ({ tiles: [{ most: Number.POSITIVE_INFINITY, tile }] });

const half = (launch: Launch): Launch => ({
  ...launch,
  inputTypes: launch.inputTypes.map((dtype, i) => (i < 2 ? 'f16' : dtype)),
});

/** The software adapter under the schedules for hardware, with a unit that is emulated. */
async function emulated(of: MatrixUnit, change: Partial<Profile> = {}): Promise<WebgpuDevice> {
  const { adapter, tried, owner } = await findAdapter('software');
  if (!adapter) throw new Error(`no software adapter: ${tried.join('; ')}`);
  return openDevice(adapter, owner, ({ f16 }, gpu) => {
    const createShaderModule = gpu.createShaderModule.bind(gpu);
    gpu.createShaderModule = ({ code }) => createShaderModule({ code: emulateMatrices(code, of.lanes) });
    return { ...profiles.hardware, workgroupBytes: 65536, f16, matrixUnits: [of], ...change };
  });
}

const compare = async (
  device: WebgpuDevice,
  sizes: { batch?: number[]; m: number; n: number; k: number },
  transposed: { left?: boolean; right?: boolean } = {},
  change: (launch: Launch) => Launch = (launch) => launch,
) => {
  const { batch = [], m, n, k } = sizes;
  const count = batch.reduce((product, size) => product * size, 1);
  const tables = [noise(count * m * k), noise(count * k * n, 2), noise(count * m * n), noise(n, 3)];
  const launch = change(matmulLaunch(sizes, { ...transposed, bias: true }));
  // As for other products: f32 sums of numbers up to 1.
  expect(await differenceFromReference(device, [launch], tables)).toBeLessThan((k + 1) * 2 ** -24);
};

describe.each([
  [8, 8, 8],
  [16, 16, 16],
  [8, 16, 16],
  [16, 8, 8],
] as const)('fragments of %i × %i, %i steps', (...sizes) => {
  const of = unit('f32', sizes, 16);
  let usual: WebgpuDevice;
  beforeAll(async () => {
    usual = await emulated(of, tileOf(32));
  });
  afterAll(() => usual.destroy());

  test('any layout, dtype and epilogue', async () => {
    const reference = createReferenceDevice();
    await checkProperty(
      fc.asyncProperty(matmulCases(), (example) => checkCase(usual, reference, example)),
      { numRuns: 10 },
    );
  });

  test('any size', async () => {
    const size = fc.integer({ min: 1, max: 70 });
    const shape = fc.record({ m: size, n: size, k: size, batch: fc.constantFrom<number[]>([], [2]) });
    const layout = fc.record({ left: fc.boolean(), right: fc.boolean() });
    await checkProperty(
      fc.asyncProperty(shape, layout, (each, transposed) => compare(usual, each, transposed)),
      { numRuns: 10 },
    );
  });

  test('pieces of k', () => compare(usual, { m: 20, n: 12, k: 530 }, { left: true }));

  test.each([64, 128] as const)('tiles of %i, cut short', async (tile) => {
    const device = await emulated(of, tileOf(tile));
    await compare(device, { m: tile + 5, n: tile + 12, k: 22 }, { right: true });
    await compare(device, { m: tile, n: tile, k: 24 }, { left: true });
    device.destroy();
  });
});

describe('the text for units that adapters list', () => {
  let gpu: GPUDevice;
  const owner = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  beforeAll(async () => {
    const adapter = await owner.requestAdapter();
    const requiredFeatures = ['subgroups', 'shader-f16', matrixFeature] as GPUFeatureName[];
    if (!adapter) throw new Error('no null adapter');
    const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup } = adapter.limits;
    const requiredLimits = { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup };
    gpu = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  });
  afterAll(() => gpu.destroy());

  /** The null adapter's own limits are the least that there may be: they rule out the larger tiles. */
  const least = () => ({
    workgroupBytes: gpu.limits.maxComputeWorkgroupStorageSize,
    workgroupSize: gpu.limits.maxComputeInvocationsPerWorkgroup,
  });
  const most = { workgroupBytes: 32768, workgroupSize: 1024 };

  const textOf = (
    of: MatrixUnit,
    change: Partial<Profile>,
    transposed: { left?: boolean; right?: boolean },
  ) => {
    const profile = { ...profiles.hardware, f16: true, matrixUnits: [of], ...change };
    const launch = matmulLaunch({ m: 512, n: 512, k: 64 }, { ...transposed, bias: true });
    const { tasks } = lower(of.component === 'f16' ? half(launch) : launch, profile);
    return tasks.flatMap((task) => generate(task, profile)?.code ?? []).join('\n');
  };

  test.each(known)('$component $m × $n × $k of $lanes', async (of) => {
    for (const tile of [32, 64, 128] as const) {
      for (const transposed of [{}, { left: true, right: true }]) {
        const code = textOf(of, { ...most, ...tileOf(tile) }, transposed);
        expect(code).toContain('subgroupMatrixMultiplyAccumulate');
        const { messages } = await gpu.createShaderModule({ code }).getCompilationInfo();
        expect(messages.map(({ message }) => message)).toEqual([]);
        const module = gpu.createShaderModule({
          code: textOf(of, { ...least(), ...tileOf(tile) }, transposed),
        });
        await gpu.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
      }
    }
  });
});
