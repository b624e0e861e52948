/**
 * A device buffer that is given back when nobody can reach it any more: at once by `dispose`, else after the garbage
 * collector has found that its tensor is gone.
 */
import type { Device, DeviceBuffer } from '@clipin/kernel';

const abandoned = new FinalizationRegistry<{ device: Device; buffer: DeviceBuffer }>(({ device, buffer }) => {
  try {
    release(device, buffer);
  } catch {
    // The device was destroyed without `destroyDevice`; its memory is gone already, and nobody could catch an error here.
  }
});

function release(device: Device, buffer: DeviceBuffer): void {
  if (!destroyed.has(device)) device.free(buffer);
}

const destroyed = new WeakSet<Device>();

/** Tells that a device is gone, so that its buffers need not be freed one by one. */
export const markDestroyed = (device: Device): void => {
  destroyed.add(device);
};

/** Whether a device is gone. */
export const isDestroyed = (device: Device): boolean => destroyed.has(device);

/** The right to a buffer: one storage holds it at a time, and when none does any more the buffer is given back. */
class Lease {
  constructor(
    readonly device: Device,
    readonly buffer: DeviceBuffer,
  ) {
    abandoned.register(this, { device, buffer }, this);
  }

  free(): void {
    abandoned.unregister(this);
    release(this.device, this.buffer);
  }
}

/** The buffer of one tensor. */
export class Storage {
  readonly buffer: DeviceBuffer;
  #fate: 'live' | 'disposed' | 'donated' = 'live';
  /** Undefined where the storage is not live. */
  #lease: Lease | undefined;

  private constructor(lease: Lease) {
    this.buffer = lease.buffer;
    this.#lease = lease;
  }

  /** The storage of a buffer that nobody else holds. */
  static of(device: Device, buffer: DeviceBuffer): Storage {
    return new Storage(new Lease(device, buffer));
  }

  /** What became of the buffer. */
  get fate(): 'live' | 'disposed' | 'donated' {
    return this.#fate;
  }

  /** Frees the buffer; again is harmless. */
  dispose(): void {
    this.#lease?.free();
    this.#end('disposed');
  }

  /** Gives the buffer to another storage, to which a program has written. */
  donate(): Storage {
    if (!this.#lease) throw new Error(`a buffer that was ${this.#fate} cannot be donated`);
    // The lease goes along: registering one anew for each tensor of each step would cost more than the step's launches.
    const heir = new Storage(this.#lease);
    this.#end('donated');
    return heir;
  }

  #end(fate: 'disposed' | 'donated'): void {
    if (this.#lease) this.#fate = fate;
    this.#lease = undefined;
  }
}
