/**
 * What the host pays for a kernel of a replayed step on WebGPU, with Dawn's null backend, which computes nothing: a training
 * step of normalized perceptrons under `jit` (attention's derivative needs more bindings than the null adapter has), beside a bare loop of setPipeline, setBindGroup and dispatch with as many dispatches.
 */
/// <reference types="@webgpu/types" />
import { valueAndGrad } from '@clipin/autograd';
import { initEach, layerNorm, mlp } from '@clipin/nn';
import {
  evaluate,
  jit,
  mapTree,
  normal,
  randomKey,
  setDefaultDevice,
  splitKey,
  type Tensor,
} from '@clipin/tensor';
import { create, globals } from 'webgpu';
import { openDevice } from '../../../packages/webgpu/src/device';
import { print } from './apart';

/** Microseconds a kernel: the median of rounds, and quartiles. */
export interface HostCost {
  readonly kernels: number;
  readonly replayed: readonly [median: number, low: number, high: number];
  readonly bare: readonly [median: number, low: number, high: number];
}

const rounds = 100;
/** Long enough that one flush at the end hardly counts, short enough that the device takes all at once. */
const stepsEach = 4;

Object.assign(globalThis, globals);
const gpu = create(['backend=null']);
/** A new one for each device: an adapter opens one. */
async function nullAdapter(): Promise<GPUAdapter> {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("Dawn's null backend gave no adapter");
  return adapter;
}

const device = await openDevice(await nullAdapter(), gpu);
let kernels = 0;
const { load } = device;
device.load = (launches) => {
  kernels = Math.max(kernels, launches.length);
  return load.call(device, launches);
};
setDefaultDevice(device);

const [width, depth, batch] = [64, 12, 32];
const parts = { norm: layerNorm(width), mlp: mlp({ inputs: width, hidden: 4 * width, outputs: width }) };
let params = evaluate(splitKey(randomKey(0), depth).map((key) => initEach(key, parts)));
const x = evaluate(normal(randomKey(1), [batch, width]));
const model = (p: typeof params, xs: Tensor) =>
  p.reduce((y, own) => y.add(parts.mlp.apply(own.mlp, parts.norm.apply(own.norm, y))), xs);
const step = jit(
  (p: typeof params, xs: Tensor) => {
    const loss = (own: typeof params) => model(own, xs).square().mean();
    const [value, gradients] = valueAndGrad(loss)(p);
    return { value, params: mapTree((w, g) => w.sub((g as Tensor).mul(0.01)), p, gradients) };
  },
  { donate: [0] },
);
let last: Tensor | undefined;
function replay(): void {
  const result = step(params, x);
  params = result.params;
  last?.dispose();
  last = result.value;
}

const bareDevice = await (await nullAdapter()).requestDevice();
const bare = bareLoop(bareDevice);
replay();
await last!.item(); // compiled
const samples = { replayed: [] as number[], bare: [] as number[] };
for (let round = -3; round < rounds; round++) {
  const ours = await timed(
    () => {
      for (let i = 0; i < stepsEach; i++) replay();
    },
    () => last!.item(),
  );
  const theirs = await timed(
    () => bare(stepsEach * kernels),
    () => bareDevice.queue.onSubmittedWorkDone(),
  );
  if (round < 0) continue; // warms up
  samples.replayed.push(ours / stepsEach / kernels);
  samples.bare.push(theirs / stepsEach / kernels);
}
const result: HostCost = {
  kernels,
  replayed: summary(samples.replayed),
  bare: summary(samples.bare),
};
print(result);

/** Microseconds of the host until all is handed over; what comes after is waited for and not counted. */
async function timed(work: () => void, settle: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  work();
  const took = performance.now() - start;
  await settle();
  return 1000 * took;
}

/** So many dispatches of two pipelines in turns, 64 a pass and submission, each bind group made before. */
function bareLoop(on: GPUDevice): (count: number) => void {
  const code =
    '@group(0) @binding(0) var<storage, read_write> a: array<f32>; @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { a[id.x] += 1; }';
  const module = on.createShaderModule({ code });
  const pipelines = [0, 1].map(() =>
    on.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } }),
  );
  const groups = pipelines.map((pipeline) => {
    const buffer = on.createBuffer({ size: 4096, usage: 0x80 }); // GPUBufferUsage.STORAGE
    return on.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer } }],
    });
  });
  return (count) => {
    for (let done = 0; done < count; ) {
      const encoder = on.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const end = Math.min(count, done + 64); done < end; done++) {
        pass.setPipeline(pipelines[done % 2]!);
        pass.setBindGroup(0, groups[done % 2]!);
        pass.dispatchWorkgroups(1);
      }
      pass.end();
      on.queue.submit([encoder.finish()]);
    }
  };
}

function summary(values: number[]): [number, number, number] {
  const sorted = values.sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] as number;
  return [at(0.5), at(0.25), at(0.75)];
}
