/**
 * What the adapter can do at most: multiply-adds on registers alone, and a copy too large for its caches. The largest of many
 * rounds, each long enough that its start does not count.
 */
/// <reference types="@webgpu/types" />
import { createWebgpuDevice } from '@clipin/webgpu';
import { WebgpuDevice } from '../../../packages/webgpu/src/device';
import { print } from './apart';

/** GFLOP/s, and GB/s read and written. */
export interface Peak {
  readonly flops: number;
  readonly bytes: number;
  /** The matrix units that products use: `f16 16×16×16`. What they can do is not measured. */
  readonly units: readonly string[];
}

const [storage, copySource] = [0x80, 0x4]; // GPUBufferUsage
const workgroup = 64;
const longEnough = 0.05;
const rounds = 12;
/** Sums of four lanes an invocation: enough to hide the latency of a multiply-add, few enough for registers. */
const sums = 8;

const multiplyAdd = `
@group(0) @binding(0) var<storage, read_write> result: array<vec4f>;
override iterations: u32;
@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = vec4f(1 + f32(id.x) * 1e-9);
  let y = vec4f(f32(id.x) * 1e-9);
  ${each((i) => `var s${i} = vec4f(${i});`)}
  for (var n = 0u; n < iterations; n++) {
    ${each((i) => `s${i} = fma(s${i}, x, y);`)}
  }
  result[id.x] = ${Array.from({ length: sums }, (_, i) => `s${i}`).join(' + ')};
}`;
const copy = `
@group(0) @binding(0) var<storage, read_write> target: array<vec4f>;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = id.y * groups.x * ${workgroup} + id.x;
  if (at < arrayLength(&target)) { target[at] = source[at]; }
}`.replaceAll('target', 'copied');

function each(line: (i: number) => string): string {
  return Array.from({ length: sums }, (_, i) => line(i)).join(' ');
}

const device = await createWebgpuDevice({ adapter: 'any' });
if (!(device instanceof WebgpuDevice)) throw new Error('peak: not the device of @clipin/webgpu');
const { gpu } = device;
const software = device.description.endsWith('(software)');
const units = device.profile.matrixUnits.map(({ component, m, n, k }) => `${component} ${m}×${n}×${k}`);
print({ flops: await flops(), bytes: await bytes(), units } satisfies Peak);

async function flops(): Promise<number> {
  const invocations = software ? 2 ** 12 : 2 ** 20;
  const result = gpu.createBuffer({ size: 16 * invocations, usage: storage });
  let best = 0;
  for (let iterations = 64, round = 0; round < rounds; ) {
    const run = program(multiplyAdd, [result], { iterations });
    const seconds = await timed(() => run(invocations / workgroup, 1));
    if (seconds < longEnough) iterations *= 2;
    else round++;
    best = Math.max(best, (2 * 4 * sums * iterations * invocations) / seconds / 1e9);
  }
  return best;
}

async function bytes(): Promise<number> {
  const size = Math.min(2 ** (software ? 26 : 28), device.limits.bufferBytes);
  const usage = storage | copySource;
  const buffers = [gpu.createBuffer({ size, usage }), gpu.createBuffer({ size, usage })];
  const groups = Math.ceil(size / 16 / workgroup);
  const run = program(copy, buffers);
  let best = 0;
  for (let times = 1, round = 0; round < rounds; ) {
    const seconds = await timed(() => {
      for (let i = 0; i < times; i++) run(Math.min(groups, 32768), Math.ceil(groups / 32768));
    });
    if (seconds < longEnough) times *= 2;
    else round++;
    best = Math.max(best, (2 * size * times) / seconds / 1e9);
  }
  return best;
}

function program(code: string, buffers: readonly GPUBuffer[], constants: Record<string, number> = {}) {
  const module = gpu.createShaderModule({ code });
  const pipeline = gpu.createComputePipeline({
    layout: 'auto',
    compute: { module, entryPoint: 'main', constants },
  });
  const group = gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  return (x: number, y: number) => {
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y);
    pass.end();
    gpu.queue.submit([encoder.finish()]);
  };
}

/** Seconds until the work is done; once before, so that the compiler's time is not in it. */
async function timed(run: () => void): Promise<number> {
  run();
  await gpu.queue.onSubmittedWorkDone();
  const start = performance.now();
  run();
  await gpu.queue.onSubmittedWorkDone();
  return (performance.now() - start) / 1000;
}
