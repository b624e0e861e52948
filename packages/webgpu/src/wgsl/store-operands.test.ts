/** Products of operands that are programs, beside what else takes scratch memory. */
import type { Instruction, Launch, Producer } from '@clipin/kernel';
import { expect, test } from 'vitest';
import { differenceFromReference, softwareDevice } from '../test-support';

/** A matrix of this input, doubled. */
const doubled = (input: number, columns: number): Producer => {
  const index = { offset: 0, strides: [columns, 1] };
  const program: Instruction[] = [
    { op: 'load', dtype: 'f32', input, index, guards: [] },
    { op: 'add', dtype: 'f32', args: [0, 0] },
  ];
  return { program };
};

test.each(['software', 'hardware'] as const)(
  'operands that are programs and results in halves do not share scratch memory (%s, no f16 in WGSL)',
  async (profile) => {
    const [m, n, k] = [37, 41, 23];
    const launch: Launch = {
      kernel: {
        ...{ kind: 'matmul', batch: [], m, n, k, a: doubled(0, k), b: doubled(1, n) },
        program: [
          { op: 'reduced', dtype: 'f32' },
          { op: 'cast', dtype: 'f16', args: [0] },
        ],
        stores: [1],
      },
      ...{ inputs: [0, 1], inputTypes: ['f32', 'f32'], outputs: [2], outputTypes: ['f16'] },
    };
    // Sums that a half holds exactly.
    const values = (length: number) => Float32Array.from({ length }, (_, i) => ((i * 7) % 5) - 2);
    const device = await softwareDevice(profile, { f16: false });
    const tables = [values(m * k), values(k * n), new Float32Array(m * n)];
    expect(await differenceFromReference(device, [launch], tables)).toBe(0);
    device.destroy();
  },
);
