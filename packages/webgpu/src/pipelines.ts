/** Compute pipelines by their text, each compiled once per device, asynchronously and side by side. */
import type { Dispatch } from './wgsl/task';

/** A pipeline, there or on its way. */
export interface Pipeline {
  readonly layout: GPUBindGroupLayout;
  /** Undefined until compiled. */
  gpu?: GPUComputePipeline;
  /** Settles when compiled; rejects with an error that says what is wrong with the code. */
  readonly ready: Promise<void>;
}

/** The pipelines of one device. */
export class Pipelines {
  private readonly pipelines = new Map<string, Pipeline>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();

  constructor(private readonly device: GPUDevice) {}

  /** How many distinct pipelines there are. */
  get size(): number {
    return this.pipelines.size;
  }

  /** The pipeline of a dispatch; starts its compilation the first time. */
  get(dispatch: Dispatch): Pipeline {
    const known = this.pipelines.get(dispatch.code);
    if (known) return known;
    const layout = this.layout(dispatch.buffers.map(({ written }) => written));
    const pipeline: Pipeline = {
      layout,
      ready: this.compile(dispatch.code, layout).then((gpu) => {
        pipeline.gpu = gpu;
      }),
    };
    // Whoever runs the program hears of it; nobody else has to.
    pipeline.ready.catch(() => undefined);
    this.pipelines.set(dispatch.code, pipeline);
    return pipeline;
  }

  private async compile(code: string, layout: GPUBindGroupLayout): Promise<GPUComputePipeline> {
    const module = this.device.createShaderModule({ code });
    try {
      return await this.device.createComputePipelineAsync({
        layout: this.device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new Error(`webgpu: a kernel does not compile on this adapter: ${text}\n${code}`);
    }
  }

  /** Layout: the parameter block, then one storage buffer for each entry, writable or not. */
  private layout(written: readonly boolean[]): GPUBindGroupLayout {
    const key = written.map(Number).join('');
    const known = this.layouts.get(key);
    if (known) return known;
    const layout = this.device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: 4, buffer: { type: 'uniform' } },
        ...written.map((writable, i) => ({
          binding: i + 1,
          visibility: 4,
          buffer: { type: writable ? ('storage' as const) : ('read-only-storage' as const) },
        })),
      ],
    });
    this.layouts.set(key, layout);
    return layout;
  }
}
