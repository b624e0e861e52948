/** What is known of an adapter's subgroups. WGSL promises neither their size nor which invocations form one: so we look. */
/// <reference types="@webgpu/types" />

/** Invocations of the workgroup that is looked at: as many as the largest one that shares a sum. */
const invocations = 256;

const code = (size: number) => `
enable subgroups;
@group(0) @binding(0) var<storage, read_write> strangers: atomic<u32>;
@compute @workgroup_size(${invocations})
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) place: u32, @builtin(subgroup_size) size: u32) {
  let first = subgroupBroadcastFirst(lane);
  if (size != ${size}u || place != lane % ${size}u || first != lane - place) { atomicAdd(&strangers, 1u); }
}`;

/**
 * Invocations in a subgroup, where each run of so many neighbours in a workgroup is one; else 0.
 *
 * @param info - the adapter's, which names the size where it is always the same
 */
export async function subgroupSize(
  device: GPUDevice,
  { subgroupMinSize: size = 0, subgroupMaxSize }: GPUAdapterInfo,
): Promise<number> {
  if (!device.features.has('subgroups') || size < 2 || size !== subgroupMaxSize) return 0;
  const counter = device.createBuffer({ size: 4, usage: 0x80 | 0x04 }); // STORAGE | COPY_SRC
  const answer = device.createBuffer({ size: 4, usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
  try {
    const pipeline = await device.createComputePipelineAsync({
      layout: 'auto',
      compute: { module: device.createShaderModule({ code: code(size) }), entryPoint: 'main' },
    });
    const layout = pipeline.getBindGroupLayout(0);
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [{ binding: 0, resource: { buffer: counter } }];
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(counter, 0, answer, 0, 4);
    device.queue.submit([encoder.finish()]);
    await answer.mapAsync(1);
    return new Uint32Array(answer.getMappedRange())[0] === 0 ? size : 0;
  } catch {
    return 0; // An adapter that does not run this is used without subgroups.
  } finally {
    counter.destroy();
    answer.destroy();
  }
}
