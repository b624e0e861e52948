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
import { offered } from './adapter';
import { openDevice, type WebgpuDevice } from './device';
import { isRight, listedUnits, matrixFeature } from './subgroup-matrix';
import { matmulLaunch } from './test-kernels';
import { differenceFromReference, noise } from './test-support';
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

const tileOf = (tile: Tile): Partial<Profile> => ({ unitTiles: [{ most: Number.POSITIVE_INFINITY, tile }] });

const half = (launch: Launch): Launch => ({
  ...launch,
  inputTypes: launch.inputTypes.map((dtype, i) => (i < 2 ? 'f16' : dtype)),
});

/** The software adapter under the schedules for hardware, with a unit that is emulated. */
async function emulated(
  of: MatrixUnit,
  change: Partial<Profile> = {},
  spoil: (code: string) => string = (code) => code,
): Promise<WebgpuDevice> {
  const { adapter, tried, owner } = await findAdapter('software');
  if (!adapter) throw new Error(`no software adapter: ${tried.join('; ')}`);
  return openDevice(adapter, owner, ({ f16 }, gpu) => {
    const createShaderModule = gpu.createShaderModule.bind(gpu);
    gpu.createShaderModule = ({ code }) =>
      createShaderModule({ code: spoil(emulateMatrices(code, of.lanes)) });
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
  let device: WebgpuDevice;
  beforeAll(async () => {
    device = await emulated(unit('f32', sizes, 8), tileOf(32));
  });
  afterAll(() => device.destroy());

  test('any layout, dtype and epilogue', async () => {
    const reference = createReferenceDevice();
    await checkProperty(
      fc.asyncProperty(matmulCases(), (example) => checkCase(device, reference, example)),
      { numRuns: 4 },
    );
  });
});

test('batches, both operands by columns; pieces of k', async () => {
  const device = await emulated(unit('f32', [16, 8, 8], 8), tileOf(32));
  await compare(device, { batch: [2], m: 36, n: 16, k: 20 }, { left: true, right: true });
  await compare(device, { m: 20, n: 12, k: 530 }, { left: true });
  device.destroy();
});

test.each([
  [64, [16, 8, 8]],
  [128, [8, 16, 16]],
] as const)('a tile of %i, cut short', async (tile, sizes) => {
  const device = await emulated(unit('f32', sizes, 8), tileOf(tile));
  await compare(device, { m: tile - 23, n: tile - 28, k: 18 }, { right: true });
  device.destroy();
});

describe('the text for units that adapters list', () => {
  let gpu: GPUDevice;
  const owner = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  beforeAll(async () => {
    const adapter = await owner.requestAdapter();
    if (!adapter) throw new Error('no null adapter');
    const requiredFeatures = offered(adapter, ['subgroups', 'shader-f16', matrixFeature]);
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

test('of what an adapter lists, the first of each component that sums in f32', () => {
  const config = (componentType: string, resultComponentType: string, size: number) =>
    ({ componentType, resultComponentType, M: size, N: size, K: size }) as const;
  const info = (...subgroupMatrixConfigs: ReturnType<typeof config>[]) => ({
    subgroupMatrixConfigs,
    subgroupMaxSize: 32,
  });
  const nvidia = [
    config('f16', 'f16', 16),
    config('f16', 'f32', 16),
    config('f16', 'f32', 8),
    config('i8', 'i32', 16),
  ];
  expect(listedUnits(info(...nvidia))).toEqual([unit('f16', [16, 16, 16], 32)]);
  expect(listedUnits(info(config('f32', 'f32', 8), config('f16', 'f16', 8)))).toEqual([
    unit('f32', [8, 8, 8], 32),
  ]);
  expect(listedUnits(info())).toEqual([]);
});

test('a probe tells units that are right from those that are not, or do not compile', async () => {
  const of = unit('f32', [16, 8, 8], 8);
  const profile = { ...profiles.hardware, workgroupBytes: 8192, matrixUnits: [of] };
  // As units do that round f32 operands to fewer digits.
  const rounded = (code: string) =>
    code.replace(
      'let x = left_at(a, row, step);',
      'let x = bitcast<f32>(bitcast<u32>(left_at(a, row, step)) & 0xffffe000u);',
    );
  const broken = (code: string) => code.replace('multiply_add(lane, each', 'multiply_sub(lane, each');
  const spoilt = [undefined, rounded, broken];
  const answers = [];
  for (const spoil of spoilt) {
    const device = await emulated(of, {}, spoil);
    answers.push(await isRight(device.gpu, profile));
    device.destroy();
  }
  expect(answers).toEqual([true, false, false]);
});
