/**
 * The matrix units of an adapter: what it lists, as far as it is of use, and only if products with it compile and are
 * right. WebGPU has no such feature yet: this is Dawn's and Chromium's experiment.
 */
/// <reference types="@webgpu/types" />
import { encodeF16 } from '@clipin/kernel';
import { Pipelines } from './pipelines';
import type { Block } from './pool';
import { product } from './product';
import { CompiledProgram } from './program';
import { CommandQueue } from './queue';
import type { MatrixUnit, Profile } from './wgsl/profile';

/** The feature's name, which `GPUFeatureName` does not have yet. */
export const matrixFeature = 'chromium-experimental-subgroup-matrix';

/** An entry of `GPUAdapterInfo.subgroupMatrixConfigs`. */
export interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

declare global {
  interface GPUAdapterInfo {
    readonly subgroupMatrixConfigs?: readonly MatrixConfig[];
  }
}

/** The units that multiply floats and sum in f32, of each component the one that the adapter lists first. */
export function listedUnits({
  subgroupMatrixConfigs = [],
  subgroupMaxSize = 0,
}: Pick<GPUAdapterInfo, 'subgroupMatrixConfigs' | 'subgroupMaxSize'>): MatrixUnit[] {
  return (['f16', 'f32'] as const).flatMap((component) => {
    const config = subgroupMatrixConfigs.find(
      ({ componentType, resultComponentType }) =>
        componentType === component && resultComponentType === 'f32',
    );
    return config ? [{ component, m: config.M, n: config.N, k: config.K, lanes: subgroupMaxSize }] : [];
  });
}

/** The listed units that are right, found out by a few small products. */
export async function confirmedUnits(
  device: GPUDevice,
  info: GPUAdapterInfo,
  usual: Profile,
): Promise<readonly MatrixUnit[]> {
  const features: ReadonlySet<string> = device.features;
  if (!features.has(matrixFeature) || !features.has('subgroups')) return [];
  const confirmed: MatrixUnit[] = [];
  for (const unit of listedUnits(info)) {
    if (unit.component === 'f16' && !usual.f16) continue;
    if (await isRight(device, { ...usual, matrixUnits: [unit] })) confirmed.push(unit);
  }
  return confirmed;
}

/** Tiles of the smallest kind and the largest, cut short, and both ways that operands lie. */
const probes = [
  { m: 70, n: 50, k: 43, tile: 32, transposed: true },
  { m: 140, n: 132, k: 76, tile: 128, transposed: false },
] as const;

/** Whether products under this profile, which has one matrix unit, are what the processor computes. */
export async function isRight(device: GPUDevice, profile: Profile): Promise<boolean> {
  device.pushErrorScope('validation');
  try {
    for (const { tile, ...probe } of probes) {
      const unitTiles = [{ most: Number.POSITIVE_INFINITY, tile }];
      if (!(await agrees(device, { ...profile, unitTiles, workgroups: 1 }, probe))) return false;
    }
    return true;
  } catch {
    return false; // An adapter that does not compile or run this is used without its units.
  } finally {
    await device.popErrorScope().catch(() => undefined);
  }
}

interface Probe {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposed: boolean;
}

async function agrees(device: GPUDevice, profile: Profile, probe: Probe): Promise<boolean> {
  const { m, n, k, transposed } = probe;
  const dtype = profile.matrixUnits[0]?.component ?? 'f32';
  // Halves whose products and sums f32 holds exactly in any order; or numbers of which f32 holds all digits and less would not.
  const number =
    dtype === 'f16' ? (i: number) => (((i * 37) % 257) - 128) / 64 : (i: number) => Math.sin(i + 1);
  const values = (length: number, from: number) =>
    Float32Array.from({ length }, (_, i) => number(i * 3 + from));
  const [a, b, bias] = [values(m * k, 0), values(k * n, 11), values(n, 5)] as const;
  const got = await runProduct(device, profile, product(probe, { dtype, transposed, bias: true }), [
    dtype === 'f16' ? encodeF16(a) : a,
    dtype === 'f16' ? encodeF16(b) : b,
    new Float32Array(m * n),
    bias,
  ]);
  const tolerance = dtype === 'f16' ? 0 : k * 2 ** -21;
  for (let row = 0; row < m; row++) {
    for (let column = 0; column < n; column++) {
      let sum = 0;
      for (let i = 0; i < k; i++) {
        const left = a[transposed ? i * m + row : row * k + i] as number;
        const right = b[transposed ? column * k + i : i * n + column] as number;
        sum += left * right;
      }
      const error = Math.abs(sum + (bias[column] as number) - (got[row * n + column] as number));
      if (!(error <= tolerance)) return false; // NaN, too
    }
  }
  return true;
}

/** Runs one product and gives what it leaves in buffer 2. */
async function runProduct(
  device: GPUDevice,
  profile: Profile,
  launch: ReturnType<typeof product>,
  tables: readonly (Float32Array | Uint16Array)[],
): Promise<Float32Array> {
  const program = new CompiledProgram(device, new Pipelines(device), profile, [launch]);
  const made: GPUBuffer[] = program.params ? [program.params] : [];
  const create = (bytes: number, usage: number, data?: Float32Array | Uint16Array): GPUBuffer => {
    const size = Math.ceil(bytes / 16) * 16;
    const buffer = device.createBuffer({ size, usage, mappedAtCreation: data !== undefined });
    made.push(buffer);
    if (data) {
      new Uint8Array(buffer.getMappedRange()).set(
        new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      );
      buffer.unmap();
    }
    return buffer;
  };
  try {
    await Promise.all(program.notReady);
    const storage = 0x80 | 0x04; // STORAGE | COPY_SRC
    const buffers = tables.map((data) => create(data.byteLength, storage, data));
    const gpus = [
      ...program.numbers.map((number) => buffers[number] as GPUBuffer),
      ...program.scratchBytes.map((bytes) => create(bytes, storage)),
    ];
    const queue = new CommandQueue(device, () => undefined);
    program.record(
      queue,
      gpus.map((gpu, id): Block => ({ gpu, id, bytes: gpu.size })),
    );
    queue.flush();
    const result = buffers[2] as GPUBuffer;
    const answer = create(result.size, 0x01 | 0x08); // MAP_READ | COPY_DST
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(result, 0, answer, 0, result.size);
    device.queue.submit([encoder.finish()]);
    await answer.mapAsync(1);
    return new Float32Array(answer.getMappedRange().slice(0));
  } finally {
    for (const buffer of made) buffer.destroy();
  }
}
