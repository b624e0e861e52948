/** Which elementwise work goes into an operand of a product, which does not, and that values stay what they were. */
import { createReferenceDevice, type Device, type DeviceLimits, type Kernel } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import { createWasmDevice } from '@clipin/wasm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { concatenate, evaluate, jit, oneHot, setDefaultDevice, type Tensor, tensor, zeros } from '../index';
import { schedule } from './schedule';

const limits: DeviceLimits = { kernelBuffers: 8, bufferBytes: 2 ** 30, operandBlock: 16 };

const leaf = (...shape: number[]): Tensor => evaluate(zeros(shape).add(1));
const kernels = (...outputs: Tensor[]): Kernel[] => schedule(outputs, limits).map(({ kernel }) => kernel);
const kinds = (...outputs: Tensor[]): string[] =>
  kernels(...outputs).map((kernel) => {
    if (kernel.kind !== 'matmul') return kernel.kind;
    return ['matmul', ...(['a', 'b'] as const).filter((side) => 'program' in kernel[side])].join(' ');
  });

describe('what goes into an operand', () => {
  beforeAll(() => {
    setDefaultDevice(createReferenceDevice());
  });

  test('a scale, a mask, a cast, costly functions, on either side of a thin product', () => {
    const [x, w] = [leaf(80, 9), leaf(9, 4)];
    expect(kinds(x.mul(leaf(1)).matmul(w))).toEqual(['matmul a']);
    expect(kinds(x.mul(leaf(80, 9).less(1).cast('f32')).matmul(w))).toEqual(['matmul a']);
    expect(kinds(x.erf().exp().matmul(w))).toEqual(['matmul a']);
    expect(kinds(leaf(4, 9).matmul(x.exp().transpose()))).toEqual(['matmul b']);
  });

  test('one-hot rows, gathered rows, zeros around and joined columns', () => {
    const ids = evaluate(zeros([80]).cast('i32'));
    expect(kinds(oneHot(ids, 9).matmul(leaf(9, 4)))).toEqual(['matmul a']);
    expect(kinds(leaf(7, 9).gather(ids).matmul(leaf(9, 4)))).toEqual(['matmul a']);
    expect(
      kinds(
        leaf(80, 8)
          .pad([
            [0, 0],
            [1, 0],
          ])
          .matmul(leaf(9, 4)),
      ),
    ).toEqual(['matmul a']);
    expect(kinds(concatenate([leaf(80, 4), leaf(80, 5)], 1).matmul(leaf(9, 4)))).toEqual(['matmul a']);
  });

  test('through slices, flips and batches', () => {
    const x = leaf(6, 20, 9).exp();
    expect(kinds(x.flip(1).matmul(leaf(6, 9, 2)))).toEqual(['matmul a']);
    expect(kinds(x.slice([], [3, 20]).matmul(leaf(6, 9, 2)))).toEqual(['matmul a']);
    expect(kinds(x.matmul(leaf(9, 4)))).toEqual(['matmul a']);
  });
});

describe('what is stored before a product', () => {
  beforeAll(() => {
    setDefaultDevice(createReferenceDevice());
  });
  const stored = ['loop', 'matmul'];

  test('all of it, where the device says that it would store it anyway', () => {
    const steps = schedule([leaf(80, 9).exp().matmul(leaf(9, 4))], { ...limits, operandBlock: 0 });
    expect(steps).toHaveLength(2);
  });

  test('what would be computed again for each block of a result that is not thin', () => {
    expect(kinds(leaf(80, 9).exp().matmul(leaf(9, 17)))).toEqual(stored);
    expect(kinds(leaf(12, 9).exp().matmul(leaf(9, 4)))).toEqual(stored);
  });

  test('what is repeated along a batch', () => {
    expect(
      kinds(
        leaf(80, 9)
          .exp()
          .matmul(leaf(6, 9, 2)),
      ),
    ).toEqual(['loop', 'matmul']);
  });

  test('what two products read, or anything else', () => {
    const [x, w] = [leaf(80, 9).exp(), leaf(9, 4)];
    expect(kinds(x.matmul(w), x.matmul(leaf(9, 3)))).toEqual(['loop', 'matmul', 'matmul']);
    expect(kinds(x.matmul(w), x)).toEqual(stored);
    expect(kinds(x.matmul(w).add(x.slice([], [0, 4])))).toEqual(stored);
  });

  test('what lies across the sums', () => {
    expect(kinds(leaf(9, 80).exp().transpose().matmul(leaf(9, 4)))).toEqual(stored);
    expect(kinds(leaf(4, 9).matmul(leaf(9, 80).exp()))).toEqual(stored);
  });

  test('what would keep more memory busy than it saves', () => {
    const product = leaf(90, 3).matmul(leaf(3, 9));
    const other = leaf(90, 3).matmul(leaf(3, 9));
    const x = product.flip(0).mul(other.flip(0));
    expect(kinds(x.matmul(leaf(9, 4)))).toEqual(['matmul', 'matmul', 'loop', 'matmul']);
  });

  test('what needs more buffers than the device allows', () => {
    const parts = Array.from({ length: 6 }, () => leaf(80, 9));
    const x = parts.reduce((sum, part) => sum.add(part));
    expect(kinds(x.matmul(leaf(9, 4)))).toEqual(['matmul a']);
    expect(kinds(x.add(leaf(9)).matmul(leaf(9, 4)))).toEqual(stored);
  });
});

/** Elementwise work on a matrix, by name. */
const works: Record<string, (x: Tensor, rows: number, columns: number) => Tensor> = {
  scale: (x) => x.mul(3),
  mask: (x) => x.mul(x.less(1).cast('f32')),
  bias: (x, _, columns) => x.add(tensor(Array.from({ length: columns }, (_, i) => i % 5))),
  center: (x, rows) => x.sub(tensor(Array.from({ length: rows }, (_, i) => i % 3)).reshape([rows, 1])),
  pad: (x, rows, columns) =>
    x.slice([0, rows], [1, columns]).pad([
      [0, 0],
      [1, 0],
    ]),
  oneHot: (x, rows, columns) => oneHot(x.slice([0, rows], [0, 1]).reshape([rows]).cast('i32'), columns),
  gather: (x, rows) =>
    x.gather(tensor(Array.from({ length: rows }, (_, i) => (i * 7) % (rows + 1))).cast('i32')),
  flip: (x) => x.add(1).flip(0),
};

describe.each<[string, () => Promise<Device>]>([
  ['reference', async () => createReferenceDevice()],
  ['wasm', () => createWasmDevice({ threads: 2 })],
  ['wasm without BLAS', () => createWasmDevice({ threads: 2, blas: false })],
])('products of computed operands on %s', (_, create) => {
  let device: Device;
  beforeAll(async () => {
    device = await create();
  });
  afterAll(() => device.destroy());

  test('equal those of stored ones', async () => {
    const using = (operandBlock: number): Device =>
      Object.create(device, { limits: { value: { ...device.limits, operandBlock } } });
    const size = fc.constantFrom(1, 2, 3, 7, 8, 13, 24, 65);
    const cases = fc.record({
      long: fc.constantFrom(1, 5, 24, 65, 100),
      thin: size,
      k: size,
      work: fc.constantFrom(...Object.keys(works)),
      right: fc.boolean(),
      seed: fc.nat(100),
    });
    await checkProperty(
      fc.asyncProperty(cases, async ({ long, thin, k, work, right, seed }) => {
        const numbers = (rows: number, columns: number, from: number) =>
          tensor(Array.from({ length: rows * columns }, (_, i) => ((i * 31 + from) % 9) - 2)).reshape([
            rows,
            columns,
          ]);
        const product = jit(
          (x: Tensor, w: Tensor) => {
            const made = (works[work] as (typeof works)[string])(x, long, k);
            return right ? w.transpose().matmul(made.transpose()) : made.matmul(w);
          },
          { donate: [0] },
        );
        const results: number[][] = [];
        for (const operandBlock of [0, 64]) {
          setDefaultDevice(using(operandBlock));
          results.push(Array.from(await product(numbers(long, k, seed), numbers(k, thin, seed + 5)).data()));
        }
        expect(results[1]).toEqual(results[0]);
      }),
      { numRuns: 60 },
    );
  });
});
