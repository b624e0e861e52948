/**
 * The order of work on a device. Dispatches gather in one compute pass; what has to wait for a pipeline, or for the GPU
 * to catch up, and everything behind it, waits in line. Knows nothing of kernels.
 */

/** Work that can be done once its pipelines are compiled. */
interface Waiting {
  readonly ready: readonly Promise<void>[];
  readonly work: () => void;
  /** Whether it makes dispatches, for which the GPU must have room. */
  readonly dispatches: boolean;
}

/** Most dispatches in a command buffer: enough to spread the cost of submitting, few enough to start early. */
const batch = 64;

/**
 * Dispatches that the GPU has been given and not finished, from which on it gets no more: a step or two of training. A loop that
 * reads no result would else fill the driver's memory with command buffers.
 */
export const mostInFlight = 1024;

/** Work in order, in batches. */
export class CommandQueue {
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  /** The pipeline that the open pass has set. */
  private pipeline: GPUComputePipeline | undefined;
  private dispatches = 0;
  /** Dispatches recorded or submitted, and not known to be finished. */
  private inFlight = 0;
  /** Called when some are finished. */
  private finished: (() => void) | undefined;
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

  /** Whether the GPU has enough to do for now. */
  get isFull(): boolean {
    return this.inFlight >= mostInFlight;
  }

  /** Does `work`, which makes no dispatches, after everything before it: at once where nothing is in the way. */
  enqueue(work: () => void): void {
    if (!this.line.length) return work();
    this.stand({ ready: [], work, dispatches: false });
  }

  /** Does `work`, which makes dispatches, after everything before it, after `ready`, and when the GPU has room. */
  enqueueDispatches(ready: readonly Promise<void>[], work: () => void): void {
    this.stand({ ready, work, dispatches: true });
  }

  private stand(waiting: Waiting): void {
    this.line.push(waiting);
    if (this.line.length === 1) void this.drain();
  }

  /** Resolves when the GPU has room for more dispatches. */
  private async room(): Promise<void> {
    while (this.isFull) {
      await new Promise<void>((resolve) => {
        this.finished = resolve;
      });
    }
  }

  private async drain(): Promise<void> {
    for (let next = this.line[0]; next; next = this.line[0]) {
      try {
        await Promise.all(next.ready);
        if (next.dispatches) await this.room();
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
    this.inFlight++;
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
    const count = this.dispatches;
    this.dispatches = 0;
    this.device.queue.submit([commands]);
    const done = () => {
      this.inFlight -= count;
      this.finished?.();
    };
    // Of a lost device nothing is in flight either.
    this.device.queue.onSubmittedWorkDone().then(done, done);
  }
}
