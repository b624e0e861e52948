/** The schedules that small random kernels do not reach: large tiles, pieces, workgroups for one sum, many workgroups. */
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { WebgpuDevice } from './device';
import { addLaunch, load, matmulLaunch, reduceLaunch, softmaxLaunch } from './test-kernels';
import { differenceFromReference, noise, runOn, softwareDevice } from './test-support';

// f32 sums of n products of numbers up to 1 are off by less than n · 2⁻²⁴, relative to 1 + |sum| by much less.
const tolerance = (terms: number): number => terms * 2 ** -24;

const matmul = async (
  device: WebgpuDevice,
  sizes: { batch?: number[]; m: number; n: number; k: number },
  transposed: { left?: boolean; right?: boolean } = {},
) => {
  const { batch = [], m, n, k } = sizes;
  const count = batch.reduce((product, size) => product * size, 1);
  const tables = [noise(count * m * k), noise(count * k * n, 2), noise(count * m * n), noise(n, 3)];
  const error = await differenceFromReference(
    device,
    [matmulLaunch(sizes, { ...transposed, bias: true })],
    tables,
  );
  expect(error).toBeLessThan(tolerance(k + 1));
};

describe('matrix products in workgroup tiles', () => {
  let eager: WebgpuDevice;
  let usual: WebgpuDevice;
  beforeAll(async () => {
    // With one workgroup enough, the tile's size follows from that of the matrix alone.
    eager = await softwareDevice('hardware', { workgroups: 1 });
    usual = await softwareDevice('hardware');
  });
  afterAll(() => {
    eager.destroy();
    usual.destroy();
  });

  test('tiles of 128, whole and cut short, steps of k cut short', async () => {
    await matmul(eager, { m: 132, n: 136, k: 20 });
    await matmul(eager, { m: 129, n: 67, k: 19 });
  });

  test('tiles of 64, both operands transposed, batches', async () => {
    await matmul(eager, { batch: [2], m: 64, n: 40, k: 36 }, { left: true, right: true });
  });

  test('few tiles and a long k: summed in pieces', async () => {
    await matmul(usual, { m: 12, n: 8, k: 1100 });
    await matmul(usual, { batch: [2], m: 5, n: 7, k: 513 }, { left: true });
  });
});

describe('matrix products in register tiles', () => {
  let device: WebgpuDevice;
  beforeAll(async () => {
    device = await softwareDevice('software');
  });
  afterAll(() => device.destroy());

  test('of any size and layout, the right operand copied or not', async () => {
    const size = fc.integer({ min: 1, max: 80 });
    const sizes = fc.record({ m: size, n: size, k: size, batch: fc.constantFrom<number[]>([], [3]) });
    const layout = fc.record({ left: fc.boolean(), right: fc.boolean() });
    await checkProperty(
      fc.asyncProperty(sizes, layout, (shape, transposed) => matmul(device, shape, transposed)),
      { numRuns: 25 },
    );
  });
});

describe.each(['software', 'hardware'] as const)('sums under %s schedules', (profile) => {
  let device: WebgpuDevice;
  beforeAll(async () => {
    device = await softwareDevice(profile);
  });
  afterAll(() => device.destroy());

  const check = async (
    launch: ReturnType<typeof reduceLaunch>,
    inputs: number,
    outputs: number,
    terms: number,
  ) => {
    const error = await differenceFromReference(device, [launch], [noise(inputs), noise(outputs)]);
    expect(error).toBeLessThan(tolerance(terms));
  };

  test('of everything', () => check(reduceLaunch([], [20000], [1]), 20000, 1, 20000));
  test('of a number that no piece divides', () => check(reduceLaunch([], [9973], [1]), 9973, 1, 9973));
  test('of long columns', () => check(reduceLaunch([12], [3001], [1, 12]), 36012, 12, 3001));
  test('of rows', () => check(reduceLaunch([7], [260], [260, 1]), 1820, 7, 260));
  test('over two axes with one between', () =>
    check(reduceLaunch([6], [40, 36], [36, 216, 1]), 8640, 6, 1440));
  test.each([
    [70, 12],
    [9, 67],
    [5, 260],
    [3, 2052],
  ])('softmax of %i rows of %i', async (rows, length) => {
    const table = [noise(rows * length), noise(rows * length, 2), noise(rows, 3)];
    const error = await differenceFromReference(device, [softmaxLaunch(rows, length)], table);
    expect(error).toBeLessThan(tolerance(length + 32));
  });
  test('many folds of one row', async () => {
    const folds = Array.from({ length: 12 }, (_, i) => ({ op: i % 2 ? 'max' : 'sum', of: 0 }) as const);
    const results = folds.map((_, fold) => ({ op: 'reduced', dtype: 'f32', fold }) as const);
    const sums = folds.slice(1).map((_, i) => {
      const args = [i === 0 ? 1 : folds.length + i, i + 2];
      return { op: 'add', dtype: 'f32', args } as const;
    });
    const program = [load(0, [2500, 1]), ...results, ...sums];
    const kernel = { kind: 'row', axes: [3], row: [2500], program, folds, stores: [] } as const;
    const launch = {
      kernel: { ...kernel, rowStores: [program.length - 1] },
      ...({ inputs: [0], inputTypes: ['f32'], outputs: [1], outputTypes: ['f32'] } as const),
    };
    const error = await differenceFromReference(device, [launch], [noise(7500), noise(3)]);
    expect(error).toBeLessThan(tolerance(2500));
  });
  test('maxima in pieces', () => check(reduceLaunch([], [5001], [1], 'max'), 5001, 1, 1));
});

describe('elements', () => {
  let device: WebgpuDevice;
  beforeAll(async () => {
    device = await softwareDevice();
  });
  afterAll(() => device.destroy());

  test('rows of five beside four lanes, aligned or not, in place', async () => {
    const table = [noise(40), noise(41, 2), noise(40)];
    const launches = [
      addLaunch([8, 5], [5, 1], [5, 1], [0, 1, 2], 1),
      addLaunch([8, 5], [1, 8], [5, 1]),
      addLaunch([40], [1], [1], [0, 1, 0]),
    ];
    for (const launch of launches) {
      expect(await differenceFromReference(device, [launch], table)).toBeLessThan(2 ** -23);
    }
  });

  test('more workgroups than one dimension of a dispatch has', { timeout: 60_000 }, async () => {
    const length = 65536 * 64 * 4 + 5;
    const index = { offset: 0, strides: [1] };
    const launch = {
      kernel: { kind: 'loop', axes: [length], program: [{ op: 'index', dtype: 'i32', index }], stores: [0] },
      inputs: [],
      inputTypes: [],
      outputs: [0],
      outputTypes: ['i32'],
    } as const;
    const [result] = await runOn(device, [launch], [new Int32Array(length)]);
    for (const at of [0, 1, 65535 * 256 - 1, 65535 * 256, length - 1]) expect(result?.[at]).toBe(at);
  });

  test('indices beyond 32 bits are refused', () => {
    expect(() => device.load([addLaunch([4, 4], [2 ** 32, 1])])).toThrow(/4294967296 is out of the range/);
  });
});
