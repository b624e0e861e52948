/**
 * A BLAS that is installed on this machine: OpenBLAS, MKL or Accelerate, called through the foreign-function library
 * koffi on the device's own memory. Found by its usual names, held to one thread (the device's threads each call it), and
 * tried on small products before it is trusted. What products are given to it is decided in `blas.ts`.
 */
import { cblas, type Sgemm } from './blas';
import { isNode } from './features';
import type { Allocator } from './memory';

type ForeignFunction = (...args: (number | Uint8Array)[]) => unknown;

/** A library that was opened. */
export interface ForeignLibrary {
  /** The function of this declaration in C. @throws Error when the library has none of its name */
  func(declaration: string): ForeignFunction;
}

/** What is used of koffi. */
export interface Koffi {
  load(path: string): ForeignLibrary;
  address(memory: Uint8Array): bigint;
}

/** What another thread needs to call the same library; `worker-source.ts` does with it what `bind` does here. */
export interface BlasLocation {
  /** The file of koffi. */
  readonly koffi: string;
  readonly library: string;
  readonly setUp: readonly SetUp[];
  /** Where the device's memory starts in the process. Shared memory never moves, also when it grows. */
  readonly base: number;
}

/** A function to call once in each thread, with its argument. */
interface SetUp {
  readonly declaration: string;
  readonly argument: number;
}

/** A BLAS, ready to be called. */
export interface SystemBlas {
  /** Name, version and processor: `OpenBLAS 0.3.21 (Haswell)`. */
  readonly name: string;
  readonly sgemm: Sgemm;
  readonly location: BlasLocation;
}

/** What was found; `refused` names a library that is there but not fit, and says why. Both are missing where there is none. */
export interface BlasSearch {
  readonly blas?: SystemBlas;
  readonly refused?: string;
}

export const sgemmDeclaration =
  'void cblas_sgemm(int order, int transposeA, int transposeB, int m, int n, int k, float alpha, ' +
  'uintptr_t a, int leadingA, uintptr_t b, int leadingB, float beta, uintptr_t c, int leadingC)';

/** One make of BLAS: how it is held to the thread that calls, what it is called, what speaks against it. */
interface Make {
  readonly setUp: readonly SetUp[];
  name(library: ForeignLibrary): string;
  /** Why it cannot be used by so many threads. */
  unfit(library: ForeignLibrary, threads: number): string | undefined;
}

const openBlas: Make = {
  setUp: [{ declaration: 'void openblas_set_num_threads(int)', argument: 1 }],
  name(library) {
    const version = /OpenBLAS (\d\S*)/.exec(openBlasConfig(library))?.[1];
    const core = String(library.func('const char *openblas_get_corename()')());
    return `OpenBLAS${version === undefined ? '' : ` ${version}`} (${core})`;
  },
  unfit(library, threads) {
    if (openBlasConfig(library).includes('USE64BITINT')) return 'counts in 64-bit integers';
    const parallel = Number(library.func('int openblas_get_parallel()')());
    return threads > 1 && parallel === 0 ? 'was built without threads' : undefined;
  },
};
const openBlasConfig = (library: ForeignLibrary): string =>
  String(library.func('const char *openblas_get_config()')());

const mkl: Make = {
  setUp: [
    { declaration: 'int MKL_Set_Interface_Layer(int)', argument: 0 },
    { declaration: 'int MKL_Set_Threading_Layer(int)', argument: 1 },
  ],
  name(library) {
    const text = new Uint8Array(200);
    library.func('void MKL_Get_Version_String(_Out_ uint8_t *text, int length)')(text, text.length);
    return `MKL ${/Version (\S+)/.exec(new TextDecoder().decode(text))?.[1] ?? ''}`.trim();
  },
  unfit: () => undefined,
};

const accelerate: Make = {
  setUp: [{ declaration: 'int BLASSetThreading(int)', argument: 1 }],
  name: () => 'Accelerate',
  unfit: () => undefined,
};

/** A library that may be there. */
export interface Candidate {
  readonly library: string;
  readonly make: Make;
}

const named = (make: Make, ...libraries: string[]): Candidate[] =>
  libraries.map((library) => ({ library, make }));

/** Names of the libraries by platform, the preferred first. A plain `libblas` is taken only if it is an OpenBLAS. */
const candidates: Partial<Record<NodeJS.Platform, readonly Candidate[]>> = {
  linux: [
    ...named(openBlas, 'libopenblas.so.0', 'libopenblas.so'),
    ...named(mkl, 'libmkl_rt.so.2', 'libmkl_rt.so'),
    ...named(openBlas, 'libblas.so.3'),
  ],
  darwin: [
    ...named(accelerate, '/System/Library/Frameworks/Accelerate.framework/Accelerate'),
    ...named(
      openBlas,
      '/opt/homebrew/opt/openblas/lib/libopenblas.dylib',
      '/usr/local/opt/openblas/lib/libopenblas.dylib',
    ),
  ],
  win32: [...named(openBlas, 'libopenblas.dll', 'openblas.dll'), ...named(mkl, 'mkl_rt.2.dll', 'mkl_rt.dll')],
};

/** Looks for a BLAS that `threads` threads can call on the memory of `allocator`. Without koffi there is none. */
export async function findBlas(allocator: Allocator, threads: number): Promise<BlasSearch> {
  if (!isNode || !(allocator.memory.buffer instanceof SharedArrayBuffer)) return {};
  const { createRequire } = await import('node:module');
  try {
    const require = createRequire(import.meta.url);
    const path = require.resolve('koffi');
    const koffi: Koffi = require(path);
    return searchBlas(candidates[process.platform] ?? [], koffi, path, allocator, threads);
  } catch {
    return {}; // koffi is optional: not installed, or not made for this machine
  }
}

/** The first of the libraries that is there and fit. */
export function searchBlas(
  libraries: readonly Candidate[],
  koffi: Koffi,
  koffiPath: string,
  allocator: Allocator,
  threads: number,
): BlasSearch {
  const base = Number(koffi.address(new Uint8Array(allocator.memory.buffer, 0, 1)));
  const refused: string[] = [];
  for (const { library: path, make } of libraries) {
    const library = open(koffi, path, make.setUp);
    if (!library) continue;
    try {
      const reason = make.unfit(library, threads);
      if (reason !== undefined) throw new Error(reason);
      const sgemm = bind(library, base);
      tryProducts(sgemm, allocator);
      return {
        blas: {
          name: make.name(library),
          sgemm,
          location: { koffi: koffiPath, library: path, setUp: make.setUp, base },
        },
      };
    } catch (error) {
      refused.push(`${path}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return refused[0] === undefined ? {} : { refused: refused[0] };
}

/** The library, held to the thread that calls; `undefined` where there is none, or it is of another make. */
function open(koffi: Koffi, path: string, setUp: readonly SetUp[]): ForeignLibrary | undefined {
  try {
    const library = koffi.load(path);
    for (const { declaration, argument } of setUp) library.func(declaration)(argument);
    return library;
  } catch {
    return undefined;
  }
}

const bind = (library: ForeignLibrary, base: number): Sgemm => {
  const sgemm = library.func(sgemmDeclaration);
  return (transposeA, transposeB, m, n, k, a, leadingA, b, leadingB, c, leadingC) => {
    const at = (address: number) => base + (address >>> 0);
    sgemm(
      cblas.rowMajor,
      transposeA,
      transposeB,
      m,
      n,
      k,
      1,
      at(a),
      leadingA,
      at(b),
      leadingB,
      0,
      at(c),
      leadingC,
    );
  };
};

/** The products that are tried: with edges, and some blocks of registers; all transposes; numbers below the normal ones. */
const trials = [
  { m: 5, n: 7, k: 3 },
  { m: 33, n: 50, k: 67 },
].flatMap((size) =>
  [1, 2 ** -140].flatMap((scale) =>
    [false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) => ({ ...size, scale, transposeA, transposeB })),
    ),
  ),
);

/** A value of an operand: sums of products of whole numbers are exact in any order. */
const trialValue = (index: number): number => ((index * 7919) % 17) - 8;

/** Compares small products with plain loops, to the bit. @throws Error that says what is wrong */
function tryProducts(sgemm: Sgemm, allocator: Allocator): void {
  for (const trial of trials) {
    const { m, n, k } = trial;
    const addresses = [m * k, k * n, m * n].map((length) => allocator.allocate(4 * length));
    const [a, b, c] = addresses as [number, number, number];
    const view = (address: number, length: number) =>
      new Float32Array(allocator.memory.buffer, address, length);
    try {
      const left = view(a, m * k).map((_, i) => trial.scale * trialValue(i));
      left.set([Number.NaN, Infinity]);
      view(a, m * k).set(left);
      const right = view(b, k * n).map((_, i) => trialValue(i + 5));
      view(b, k * n).set(right);
      view(c, m * n).fill(Number.NaN);
      const transpose = (transposed: boolean) => (transposed ? cblas.transposed : cblas.plain);
      const [leadingA, leadingB] = [trial.transposeA ? m : k, trial.transposeB ? k : n];
      sgemm(
        transpose(trial.transposeA),
        transpose(trial.transposeB),
        m,
        n,
        k,
        a,
        leadingA,
        b,
        leadingB,
        c,
        n,
      );
      if (!view(c, m * n).every((value, i) => Object.is(value + 0, plainElement(trial, left, right, i))))
        throw new Error('gives wrong products');
    } finally {
      for (const address of addresses) allocator.deallocate(address);
    }
  }
}

function plainElement(
  { n, k, m, transposeA, transposeB }: (typeof trials)[number],
  left: Float32Array,
  right: Float32Array,
  element: number,
): number {
  const row = Math.floor(element / n);
  const column = element % n;
  let sum = 0;
  for (let p = 0; p < k; p++) {
    const factor = left[transposeA ? p * m + row : row * k + p] as number;
    sum += factor * (right[transposeB ? column * k + p : p * n + column] as number);
  }
  return Math.fround(sum) + 0;
}
