/**
 * Collect before growing: the garbage collector sees small objects, not the device memory that they keep, and may let
 * gigabytes pile up. When live bytes have doubled since the last collection, one is asked for where the platform allows it,
 * and macrotasks pass so that finalizers run. A backstop for code outside of `jit`, whose memory is planned.
 */
import type { Device } from '@clipin/kernel';

/** Below this many live bytes nothing is collected. */
const atLeast = 256 * 2 ** 20;

/** Live bytes at which the next collection is due. */
const due = new WeakMap<Device, number>();

let collector: Promise<(() => void) | undefined> | undefined;

/** Node's collector; its flag can be set at run time, but only contexts made afterwards have the function. */
async function findCollector(): Promise<(() => void) | undefined> {
  if (typeof globalThis.gc === 'function') return globalThis.gc;
  if (globalThis.process?.versions?.node === undefined) return undefined;
  const [{ setFlagsFromString }, { runInNewContext }] = await Promise.all([
    import('node:v8'),
    import('node:vm'),
  ]);
  setFlagsFromString('--expose-gc');
  const found: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  return typeof found === 'function' ? () => found() : undefined;
}

/** Collects garbage if `device` holds twice what it held after the last collection, and at least `threshold` bytes. */
export async function collectBeforeGrowing(device: Device, threshold: number = atLeast): Promise<void> {
  if (device.memory.bytes < Math.max(threshold, due.get(device) ?? 0)) return;
  collector ??= findCollector().catch(() => undefined);
  (await collector)?.();
  // Finalizers are a task of their own. A timer that came due during the collection runs before it, the next one after it.
  for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setTimeout(resolve));
  due.set(device, 2 * device.memory.bytes);
}
