/** For tests: software devices of both profiles, and launches compared with the float64 reference device. */

import { createReferenceDevice, type Device, type Launch, type TypedArray } from '@clipin/kernel';
import { findAdapter } from '#gpu';
import { openDevice, type WebgpuDevice } from './device';
import { type Profile, profiles } from './wgsl/profile';

/** A device on the software adapter under one of the two profiles. */
export async function softwareDevice(
  profile: Profile['name'] = 'software',
  change: Partial<Profile> = {},
): Promise<WebgpuDevice> {
  const { adapter, tried, owner } = await findAdapter('software');
  if (!adapter) throw new Error(`no software adapter: ${tried.join('; ')}`);
  return openDevice(adapter, owner, ({ subgroup, f16 }) => ({
    ...profiles[profile],
    subgroup,
    f16,
    ...change,
  }));
}

/** Runs launches on `tables` (host data by buffer number) and reads every buffer back. */
export async function runOn(
  device: Device,
  launches: readonly Launch[],
  tables: readonly TypedArray[],
): Promise<TypedArray[]> {
  const types = new Map(
    launches.flatMap(({ inputs, inputTypes, outputs, outputTypes }) => [
      ...inputs.map((number, i) => [number, inputTypes[i] ?? 'f32'] as const),
      ...outputs.map((number, i) => [number, outputTypes[i] ?? 'f32'] as const),
    ]),
  );
  const buffers = tables.map((data, number) => {
    const buffer = device.allocate(types.get(number) ?? 'f32', data.length);
    device.write(buffer, data);
    return buffer;
  });
  const program = device.load(launches);
  program.run(buffers);
  const results = await Promise.all(buffers.map((buffer) => device.read(buffer)));
  program.free();
  for (const buffer of buffers) device.free(buffer);
  return results;
}

/** The largest difference from the reference device, relative to `1 + |expected|`; NaN and infinities must agree. */
export async function differenceFromReference(
  device: Device,
  launches: readonly Launch[],
  tables: readonly TypedArray[],
): Promise<number> {
  const expected = await runOn(createReferenceDevice(), launches, tables);
  const got = await runOn(device, launches, tables);
  let worst = 0;
  expected.forEach((values, table) => {
    values.forEach((value, i) => {
      const other = (got[table] as TypedArray)[i] as number;
      const same = Object.is(value, other) || value === other;
      const error = same ? 0 : Math.abs(value - other) / (1 + Math.abs(value));
      worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
    });
  });
  return worst;
}

/** `length` numbers between −1 and 1, the same every time. */
export function noise(length: number, seed = 1): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
