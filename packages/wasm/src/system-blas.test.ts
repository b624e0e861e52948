/** Which libraries are taken and which are refused: fakes that compute in the device's memory, rightly or wrongly. */
import { describe, expect, test } from 'vitest';
import { cblas } from './blas';
import { candidates } from './blas-libraries';
import { Allocator } from './memory';
import { describeBlas, type FoundKoffi, searchBlas } from './system-blas';

type Foreign = (...args: number[]) => unknown;
type Functions = Record<string, Foreign>;

/** Koffi where these libraries are installed. It gives 0 as the memory's address, so that offsets are addresses. */
function fakeKoffi(libraries: Record<string, Functions>): FoundKoffi {
  const load = (path: string) => {
    const functions = libraries[path];
    if (!functions) throw new Error(`cannot open ${path}`);
    return {
      func(declaration: string) {
        const found = functions[/(\w+)\(/.exec(declaration)?.[1] ?? ''];
        if (!found) throw new Error(`not found: ${declaration}`);
        return (...args: (number | Uint8Array)[]) => found(...args.map(Number));
      },
    };
  };
  return { koffi: { load, address: () => 0n }, path: '/koffi' };
}

/** Multiplies by plain loops in the memory of `allocator`; `fault` names what it does wrong. */
const sgemmIn =
  (allocator: Allocator, fault?: string): Foreign =>
  (order, tA, tB, m, n, k, alpha, a, leadingA, b, leadingB, beta, c, leadingC) => {
    expect([order, alpha, beta]).toEqual([cblas.rowMajor, 1, 0]);
    const memory = new Float32Array(allocator.memory.buffer);
    const element = (
      start: number,
      transpose: number,
      leading: number,
      row: number,
      column: number,
    ): number => {
      const transposed = transpose === cblas.transposed && fault !== 'ignores transposes';
      const value = memory[
        start / 4 + (transposed ? column * leading + row : row * leading + column)
      ] as number;
      return fault === 'flushes' && Math.abs(value) < 2 ** -126 ? 0 : value;
    };
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        const to = c / 4 + i * leadingC + j;
        let sum = fault === 'adds to what is there' ? (memory[to] as number) : 0;
        for (let p = fault === 'forgets the first' ? 1 : 0; p < k; p++) {
          const right = element(b, tB, leadingB, p, j);
          if (fault === 'skips zeros' && right === 0) continue;
          sum += element(a, tA, leadingA, i, p) * right;
        }
        memory[to] = sum;
      }
  };

const openBlas = (sgemm?: Foreign, config = 'OpenBLAS 9.8.7 DYNAMIC_ARCH Test', parallel = 1): Functions => ({
  openblas_set_num_threads: () => undefined,
  openblas_get_config: () => config,
  openblas_get_corename: () => 'Test',
  openblas_get_parallel: () => parallel,
  ...(sgemm && { cblas_sgemm: sgemm }),
});

function search(
  libraries: (allocator: Allocator) => Record<string, Functions>,
  platform: NodeJS.Platform,
  threads = 2,
) {
  const allocator = new Allocator(true);
  return searchBlas(candidates[platform] ?? [], fakeKoffi(libraries(allocator)), allocator, threads);
}

describe('a library that is fit', () => {
  test('is named, and other threads are told where it is', () => {
    const found = search((memory) => ({ 'libopenblas.so.0': openBlas(sgemmIn(memory)) }), 'linux');
    expect(describeBlas(found)).toBe(', OpenBLAS 9.8.7 (Test)');
    expect(found.blas?.location).toEqual({
      koffi: '/koffi',
      library: 'libopenblas.so.0',
      setUp: [{ declaration: 'void openblas_set_num_threads(int)', argument: 1 }],
      base: 0,
    });
  });

  test('is held to one thread before it computes', () => {
    const calls: unknown[] = [];
    const found = search((memory) => {
      const sgemm = sgemmIn(memory);
      return {
        'mkl_rt.2.dll': {
          MKL_Set_Interface_Layer: (layer) => calls.push(`interface ${layer}`),
          MKL_Set_Threading_Layer: (layer) => calls.push(`threading ${layer}`),
          MKL_Get_Version_String: () => undefined,
          cblas_sgemm: (...args) => {
            calls.push('sgemm');
            return sgemm(...args);
          },
        },
      };
    }, 'win32');
    expect(describeBlas(found)).toBe(', MKL');
    expect(calls.slice(0, 3)).toEqual(['interface 0', 'threading 1', 'sgemm']);
  });

  test('is found behind one that is not', () => {
    const found = search(
      (memory) => ({
        'libopenblas.so.0': openBlas(),
        'libblas.so.3': openBlas(sgemmIn(memory), 'NO_AFFINITY Test'),
      }),
      'linux',
    );
    expect(describeBlas(found)).toBe(', OpenBLAS (Test)');
    const path = '/System/Library/Frameworks/Accelerate.framework/Accelerate';
    const accelerate = (memory: Allocator) => ({
      [path]: { BLASSetThreading: () => 0, cblas_sgemm: sgemmIn(memory) },
    });
    expect(describeBlas(search(accelerate, 'darwin'))).toBe(', Accelerate');
  });
});

describe('a library that is not fit is refused', () => {
  const reason = (library: (allocator: Allocator) => Functions, threads = 2) =>
    describeBlas(search((memory) => ({ 'libopenblas.so.0': library(memory) }), 'linux', threads));

  test('that computes on threads of its own', () => {
    const path = '/System/Library/Frameworks/Accelerate.framework/Accelerate';
    const accelerate = (memory: Allocator) => ({
      [path]: { BLASSetThreading: () => -1, cblas_sgemm: sgemmIn(memory) },
    });
    expect(describeBlas(search(accelerate, 'darwin'))).toBe(
      `, no BLAS (${path} cannot be held to one thread)`,
    );
  });

  test('without the function', () => {
    expect(reason(() => openBlas())).toBe(', no BLAS (libopenblas.so.0 has no cblas_sgemm)');
  });

  test('with integers of 64 bits', () => {
    expect(reason((memory) => openBlas(sgemmIn(memory), 'OpenBLAS 0.3.21 USE64BITINT Haswell'))).toBe(
      ', no BLAS (libopenblas.so.0 counts in 64-bit integers)',
    );
  });

  test('without locks, by several threads only', () => {
    const serial = (memory: Allocator) => openBlas(sgemmIn(memory), 'OpenBLAS 0.3.21 Haswell', 0);
    expect(reason(serial)).toBe(', no BLAS (libopenblas.so.0 was built without threads)');
    expect(reason(serial, 1)).toBe(', OpenBLAS 0.3.21 (Test)');
  });

  test.each(['ignores transposes', 'skips zeros', 'flushes', 'adds to what is there', 'forgets the first'])(
    'when it %s',
    (fault) => {
      expect(reason((memory) => openBlas(sgemmIn(memory, fault)))).toBe(
        ', no BLAS (libopenblas.so.0 gives wrong products)',
      );
    },
  );
});

describe('nothing is said', () => {
  test('where none is installed', () => {
    expect(search(() => ({}), 'linux')).toEqual({});
    expect(search(() => ({}), 'aix')).toEqual({});
  });

  test('of a plain libblas', () => {
    const plain = (memory: Allocator) => ({
      'libblas.so.3': { cblas_sgemm: sgemmIn(memory) },
    });
    expect(search(plain, 'linux')).toEqual({});
  });
});

test('a trial leaves no memory behind', () => {
  const allocator = new Allocator(true);
  const before = allocator.allocate(64);
  allocator.deallocate(before);
  for (const fault of [undefined, 'adds to what is there'])
    searchBlas(
      candidates.linux ?? [],
      fakeKoffi({ 'libopenblas.so': openBlas(sgemmIn(allocator, fault)) }),
      allocator,
      1,
    );
  expect(allocator.allocate(64)).toBe(before);
});
