/** Products that BLAS computes: which ones, and that they are right, on any number of threads, wherever in memory. */
import {
  decodeF16,
  encodeF16,
  type Instruction,
  type Kernel,
  type Launch,
  type MatmulKernel,
} from '@clipin/kernel';
import { checkProperty, deviceConformance } from '@clipin/testing';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { blasMatrix, blasPlan, cblas } from './blas';
import { load, noise, runCase } from './compare.test-helpers';
import { compileLaunch } from './compile';
import { createWasmDevice } from './index';
import { Allocator } from './memory';
import { ModuleBuilder } from './module';
import { simplifyMatmul } from './nest';
import { findBlas } from './system-blas';

const reduced: Instruction = { op: 'reduced', dtype: 'f32' };
const sum = (...args: number[]): Instruction => ({ op: 'add', dtype: 'f32', args });

interface View {
  readonly offset: number;
  readonly strides: readonly number[];
}

const product = (
  batch: readonly number[],
  [m, n, k]: readonly [number, number, number],
  a: View,
  b: View,
  program: readonly Instruction[] = [reduced],
  stores = [program.length - 1],
): MatmulKernel => ({
  kind: 'matmul',
  batch,
  m,
  n,
  k,
  a: { input: 0, index: a },
  b: { input: 1, index: b },
  program,
  stores,
});

describe('how BLAS describes a matrix of 3 rows and 5 columns', () => {
  test.each([
    ['row after row', 5, 1, { transpose: cblas.plain, leading: 5 }],
    ['rows with gaps', 9, 1, { transpose: cblas.plain, leading: 9 }],
    ['column after column', 1, 3, { transpose: cblas.transposed, leading: 3 }],
    ['columns with gaps', 1, 4, { transpose: cblas.transposed, leading: 4 }],
    ['every other element', 10, 2, undefined],
    ['rows that run backwards', -5, 1, undefined],
    ['rows that overlap', 1, 1, undefined],
    ['one row for all', 0, 1, undefined],
    ['one column for all', 1, 0, undefined],
  ])('%s', (_, row, column, expected) => {
    expect(blasMatrix(3, 5, row, column)).toEqual(expected);
  });

  test('a stride that is never taken may be anything', () => {
    expect(blasMatrix(1, 5, -7, 1)).toEqual({ transpose: cblas.plain, leading: 5 });
    expect(blasMatrix(3, 1, 2, -7)).toEqual({ transpose: cblas.plain, leading: 2 });
    expect(blasMatrix(1, 5, 0, 3)).toEqual({ transpose: cblas.transposed, leading: 3 });
  });
});

describe('which products BLAS gets', () => {
  const plan = (
    m: number,
    n: number,
    k: number,
    batch: number[] = [],
    { shared = false, blocks = 4 } = {},
  ) => {
    const a = { offset: 0, strides: [...batch.map(() => m * k), k, 1] };
    const b = { offset: 0, strides: [...batch.map(() => (shared ? 0 : k * n)), n, 1] };
    return blasPlan(simplifyMatmul(product(batch, [m, n, k], a, b), ['f32', 'f32']), blocks);
  };

  test('not small ones, vectors, or few results of long sums', () => {
    expect(plan(32, 32, 32)).toBeUndefined();
    expect(plan(1, 1000, 1000)).toBeUndefined();
    expect(plan(8, 8, 5000)).toBeUndefined();
    expect(plan(100, 100, 0)).toBeUndefined();
    expect(plan(32, 32, 32, [9])).toBeUndefined();
    expect(plan(40, 40, 40)).toBeDefined();
    expect(plan(1000, 1, 1000)).toBeDefined();
    expect(plan(32, 32, 32, [9], { shared: true })).toBeDefined(); // one product of 288 rows
  });

  test('in as many blocks as are wanted, unless they would be small', () => {
    const cut = (blocks: number, ...[m, n, k, batch]: Parameters<typeof plan>) => {
      const found = plan(m, n, k, batch, { blocks });
      return found && [found.rows, found.columns];
    };
    expect(cut(4, 1024, 1024, 1024)).toEqual([512, 512]);
    expect(cut(16, 1024, 1024, 1024)).toEqual([256, 256]);
    expect(cut(4, 512, 512, 512)).toEqual([256, 256]);
    expect(cut(4, 128, 128, 128)).toEqual([64, 64]);
    expect(cut(32, 128, 128, 128)).toEqual([64, 64]);
    expect(cut(4, 96, 96, 5000)).toEqual([48, 48]);
    expect(cut(8, 300, 40, 1000)).toEqual([48, 40]);
    expect(cut(4, 5328, 384, 96)).toEqual([496, 384]);
    expect(cut(32, 512, 512, 512, [64])).toEqual([512, 512]);
  });

  test('as one stage, where our own tiles cut a long sum and add up its parts', () => {
    const kernel = product(
      [],
      [64, 64, 4096],
      { offset: 0, strides: [4096, 1] },
      { offset: 0, strides: [1, 4096] },
    );
    const launch = launchOf(kernel, 2, 1);
    const stages = (blas: boolean) =>
      compileLaunch(launch, { relaxed: false, ...(blas && { blasBlocks: 4 }) }, new ModuleBuilder()).stages
        .length;
    expect([stages(true), stages(false)]).toEqual([1, 2]);
  });
});

const launchOf = (kernel: Kernel, inputs: number, outputs: number): Launch => ({
  kernel,
  inputs: Array.from({ length: inputs }, (_, i) => i),
  inputTypes: Array.from({ length: inputs }, () => 'f32'),
  outputs: Array.from({ length: outputs }, (_, i) => inputs + i),
  outputTypes: Array.from({ length: outputs }, () => 'f32'),
});

/** How a matrix may lie; from its rows, columns and the gap between them. */
const layouts = {
  rows: (_: number, c: number, gap: number): View => ({ offset: 0, strides: [c + gap, 1] }),
  columns: (r: number, _: number, gap: number): View => ({ offset: gap, strides: [1, r + gap] }),
  everySecond: (_: number, c: number): View => ({ offset: 1, strides: [2 * c, 2] }),
  backwards: (r: number, c: number): View => ({ offset: (r - 1) * c, strides: [-c, 1] }),
  oneRow: (): View => ({ offset: 0, strides: [0, 1] }),
  windows: (): View => ({ offset: 0, strides: [1, 1] }),
};
const { rows, columns, ...awkward } = layouts;
const layout = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(rows, columns) },
  { weight: 1, arbitrary: fc.constantFrom(...Object.values(awkward)) },
);
const size = fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 71, max: 260 }));

const operandTypes = fc.constantFrom(
  ...(['f32', 'f16'] as const).flatMap((a) => (['f32', 'f32', 'f16'] as const).map((b) => [a, b] as const)),
);

const cases = fc
  .record({
    m: size,
    n: size,
    k: size,
    a: layout,
    b: layout,
    gap: fc.nat(3),
    batch: fc.constantFrom(0, 0, 2),
  })
  .chain((picks) =>
    fc
      .record({ seed: fc.nat(1000), epilogue: fc.boolean(), shared: fc.boolean(), types: operandTypes })
      .map((rest) => ({ ...picks, ...rest })),
  )
  .map(({ m, n, k, a, b, gap, batch, seed, epilogue, shared, types }) => {
    const reach = 2 * 260 * 264;
    const batched = (view: View, step: number): View =>
      batch === 0 ? view : { ...view, strides: [step, ...view.strides] };
    const program = epilogue ? [reduced, load(2, [...(batch === 0 ? [] : [0]), 0, 1]), sum(0, 1)] : [reduced];
    const kernel = product(
      batch === 0 ? [] : [batch],
      [m, n, k],
      batched(a(m, k, gap), reach),
      batched(b(k, n, gap), shared ? 0 : reach),
      program,
      epilogue ? [2, 0] : [0],
    );
    const count = Math.max(1, batch);
    const input = (dtype: 'f32' | 'f16', length: number, number: number) => {
      const data = noise(length, seed + number);
      return { dtype, data: dtype === 'f16' ? decodeF16(encodeF16(data)) : data };
    };
    const operands = types.map((dtype, i) => input(dtype, reach * count, 1 + i));
    return {
      kernel,
      inputs: epilogue ? [...operands, input('f32', n, 3)] : operands,
      outputs: kernel.stores.map(() => ({ dtype: 'f32' as const, length: count * m * n })),
    };
  });

type ProductCase = Parameters<Parameters<typeof cases.map>[0]>[0];

/** Checks the results of a case with float64 sums: `k` roundings of at most half a unit, of all that is added up. */
function checkSums({ kernel, inputs }: ProductCase, outputs: readonly ArrayLike<number>[]): void {
  const { batch, m, n, k, a, b, program, stores } = kernel;
  const [left, right, bias] = inputs.map(({ data }) => data) as [Float32Array, Float32Array, Float32Array];
  const at = (view: View, ...index: number[]) =>
    view.offset +
    view.strides.reduce((position, stride, axis) => position + stride * (index[axis] as number), 0);
  for (let flat = 0; flat < (batch[0] ?? 1) * m * n; flat++) {
    const [row, column] = [Math.floor(flat / n) % m, flat % n];
    const outer = batch.map(() => Math.floor(flat / (m * n)));
    let exact = 0;
    let size = 0;
    for (let p = 0; p < k; p++) {
      const term =
        (left[at(a.index, ...outer, row, p)] as number) * (right[at(b.index, ...outer, p, column)] as number);
      exact += term;
      size += Math.abs(term);
    }
    const more = program.length === 1 ? 0 : (bias[column] as number);
    const bound = (k + 1) * 2 ** -24 * (size + Math.abs(more));
    stores.forEach((instruction, output) => {
      const expected = instruction === 0 ? exact : exact + more;
      const error = Math.abs((outputs[output]?.[flat] as number) - expected);
      if (!(error <= bound))
        throw new Error(`element ${flat} of output ${output}: error ${error}, at most ${bound}`);
    });
  }
}

/** All results as bytes: equal strings are equal bits. */
const bitsOf = (outputs: readonly ArrayBufferView[]): string =>
  outputs
    .map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, byteLength).toString('latin1'),
    )
    .join();

const installed = await findBlas(new Allocator(true), 2);

test('the device names the library, unless it is switched off', async () => {
  for (const [options, name] of [
    [{ threads: 2 }, installed.blas ? `, ${installed.blas.name}` : ''],
    [{ threads: 2, blas: false }, ''],
  ] as const) {
    const device = await createWasmDevice(options);
    expect(device.description.replace(/(relaxed )?SIMD/, 'SIMD').replace(/, no BLAS.*/, '')).toBe(
      `wasm, 2 threads, SIMD${name}`,
    );
    device.destroy();
  }
});

describe.skipIf(!installed.blas)(
  `with ${installed.blas?.name ?? 'a BLAS: none is installed here, so skipped'}`,
  async () => {
    const [one, two, five] = await Promise.all([1, 2, 5].map((threads) => createWasmDevice({ threads })));
    if (!one || !two || !five) throw new Error('there are three devices');
    afterAll(() => {
      for (const device of [one, two, five]) device.destroy();
    });

    deviceConformance('wasm, 2 threads and a BLAS', () => createWasmDevice({ threads: 2 }));

    test('products of any layout are right, with the same bits again and on any number of threads', {
      timeout: 60_000,
    }, async () => {
      const by = { halves: 0, floats: 0 };
      await checkProperty(
        fc.asyncProperty(cases, async (example) => {
          const types = example.inputs.map(({ dtype }) => dtype);
          if (blasPlan(simplifyMatmul(example.kernel, types), 4))
            by[types.includes('f16') ? 'halves' : 'floats']++;
          const outputs = await runCase(one, example);
          checkSums(example, outputs);
          for (const device of [one, two, five])
            if (bitsOf(await runCase(device, example)) !== bitsOf(outputs))
              throw new Error(`other bits: ${device.description}`);
        }),
        { numRuns: 60 },
      );
      expect(by.floats).toBeGreaterThan(10);
      expect(by.halves).toBeGreaterThan(10);
    });

    const square = (side: number, a = 0) =>
      product([], [side, side, side], { offset: a, strides: [side, 1] }, { offset: 0, strides: [side, 1] });

    test('what is not a number, infinite or below the normal numbers stays so', async () => {
      const side = 80;
      const left = new Float32Array(side * side);
      left.set([Number.NaN], 0);
      left.set([Infinity], side);
      left.set([2 ** -140], 2 * side);
      const right = new Float32Array(side * side).fill(0).map((_, i) => (i % side === 1 ? 0 : 1));
      const [output] = await runCase(two, {
        kernel: square(side),
        inputs: [left, right].map((data) => ({ dtype: 'f32', data })),
        outputs: [{ dtype: 'f32', length: side * side }],
      });
      const rows = [0, 1, 2, 3].map((row) => [...(output?.subarray(row * side, row * side + 3) ?? [])]);
      expect(rows).toEqual([
        [Number.NaN, Number.NaN, Number.NaN],
        [Infinity, Number.NaN, Infinity],
        [2 ** -140, 0, 2 ** -140],
        [0, 0, 0],
      ]);
    });

    test('operands beyond 2 GiB, in memory that grew since the library was found', async () => {
      const device = await createWasmDevice({ threads: 2 });
      device.allocate('f32', 2 ** 29 + 1000);
      const example = {
        kernel: square(70),
        inputs: [1, 2].map((seed) => ({ dtype: 'f32' as const, data: noise(70 * 70, seed) })),
        outputs: [{ dtype: 'f32' as const, length: 70 * 70 }],
      };
      expect(bitsOf(await runCase(device, example)) === bitsOf(await runCase(one, example))).toBe(true);
      device.destroy();
    });

    test('an operand that leaves the memory is an error, and the device goes on', async () => {
      const example = (offset: number) => ({
        kernel: square(200, offset),
        inputs: [1, 2].map((seed) => ({ dtype: 'f32' as const, data: noise(200 * 200, seed) })),
        outputs: [{ dtype: 'f32' as const, length: 200 * 200 }],
      });
      const before = await runCase(two, example(0));
      for (const offset of [2 ** 29, -(2 ** 29), 2 ** 23 - 30_000])
        await expect(runCase(two, example(offset))).rejects.toThrow(/out of bounds/);
      expect(bitsOf(await runCase(two, example(0))) === bitsOf(before)).toBe(true);
    });

    test('many calls at once, over and over', async () => {
      const count = 200;
      const batched = { offset: 0, strides: [48 * 48, 48, 1] };
      const example = {
        kernel: product([count], [48, 48, 48], batched, batched),
        inputs: [1, 2].map((seed) => ({ dtype: 'f32' as const, data: noise(count * 48 * 48, seed) })),
        outputs: [{ dtype: 'f32' as const, length: count * 48 * 48 }],
      };
      const expected = bitsOf(await runCase(one, example));
      for (let i = 0; i < 50; i++) expect(bitsOf(await runCase(five, example)) === expected).toBe(true);
    });
  },
);
