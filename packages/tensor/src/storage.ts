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

/** The buffer of one tensor. */
export class Storage {
  #fate: 'live' | 'disposed' | 'donated' = 'live';

  constructor(
    readonly device: Device,
    readonly buffer: DeviceBuffer,
  ) {
    abandoned.register(this, { device, buffer }, this);
  }

  /** What became of the buffer. */
  get fate(): 'live' | 'disposed' | 'donated' {
    return this.#fate;
  }

  /** Frees the buffer; again is harmless. */
  dispose(): void {
    if (this.#fate !== 'live') return;
    this.#fate = 'disposed';
    abandoned.unregister(this);
    release(this.device, this.buffer);
  }

  /** Gives the buffer away without freeing it: to the program it was donated to. */
  donate(): DeviceBuffer {
    this.#fate = 'donated';
    abandoned.unregister(this);
    return this.buffer;
  }
}
