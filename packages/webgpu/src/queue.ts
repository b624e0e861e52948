/**
 * The order of work on a device. Dispatches gather in one compute pass; what has to wait for a pipeline, and everything
 * behind it, waits in line. Knows nothing of kernels.
 */

/** Work that can be done once its pipelines are compiled. */
interface Waiting {
  readonly ready: readonly Promise<void>[];
  readonly work: () => void;
}

/** Most dispatches in a command buffer: enough to spread the cost of submitting, few enough to start early. */
const batch = 64;

/** Work in order, in batches. */
export class CommandQueue {
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  /** The pipeline that the open pass has set. */
  private pipeline: GPUComputePipeline | undefined;
  private dispatches = 0;
  private flushing = false;
  private readonly line: Waiting[] = [];

  /**
   * @param device - whose queue
   * @param fail - told of errors of work that nobody waits for
   */
  constructor(
    private readonly device: GPUDevice,
    private readonly fail: (error: unknown) => void,
  ) {}

  /** Whether work stands in line, so that what is queued now happens later. */
  get isWaiting(): boolean {
    return this.line.length > 0;
  }

  /** Does `work` after everything before it and after `ready`: at once where nothing is in the way. */
  enqueue(ready: readonly Promise<void>[], work: () => void): void {
    if (!ready.length && !this.line.length) return work();
    this.line.push({ ready, work });
    if (this.line.length === 1) void this.drain();
  }

  private async drain(): Promise<void> {
    for (let next = this.line[0]; next; next = this.line[0]) {
      try {
        await Promise.all(next.ready);
        next.work();
      } catch (error) {
        this.fail(error);
      }
      this.line.shift();
    }
  }

  /** Writes a dispatch to the open pass, and submits when there are many. */
  dispatch(pipeline: GPUComputePipeline, group: GPUBindGroup, x: number, y: number): void {
    const pass = this.pass ?? this.open();
    if (pipeline !== this.pipeline) {
      pass.setPipeline(pipeline);
      this.pipeline = pipeline;
    }
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x, y);
    if (++this.dispatches >= batch) this.flush();
  }

  private open(): GPUComputePassEncoder {
    this.encoder = this.device.createCommandEncoder();
    this.pass = this.encoder.beginComputePass();
    if (!this.flushing) {
      // What a turn of the event loop leaves behind starts when the turn ends.
      this.flushing = true;
      queueMicrotask(this.flushTurn);
    }
    return this.pass;
  }

  private readonly flushTurn = (): void => {
    this.flushing = false;
    this.flush();
  };

  /** Submits what is open. */
  flush(): void {
    if (!this.encoder || !this.pass) return;
    this.pass.end();
    const commands = this.encoder.finish();
    this.encoder = undefined;
    this.pass = undefined;
    this.pipeline = undefined;
    this.dispatches = 0;
    this.device.queue.submit([commands]);
  }
}
