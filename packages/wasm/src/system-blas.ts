/**
 * A BLAS that is installed on this machine, called through the foreign-function library koffi on the device's own memory.
 * It is held to one thread, since the device's threads each call it, and tried before it is trusted. Where it may be is in
 * `blas-libraries.ts`, what products are given to it in `blas.ts`.
 */
import { cblas, type Sgemm } from './blas';
import { type Candidate, candidates, type ForeignLibrary, functionOf, type SetUp } from './blas-libraries';
import { tryProducts } from './blas-trial';
import { isNode } from './features';
import type { Allocator } from './memory';

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

/** What the device says of it, after what it says of itself. */
export const describeBlas = ({ blas, refused }: BlasSearch): string => {
  if (blas) return `, ${blas.name}`;
  return refused === undefined ? '' : `, no BLAS (${refused})`;
};

export const sgemmDeclaration =
  'void cblas_sgemm(int order, int transposeA, int transposeB, int m, int n, int k, float alpha, ' +
  'uintptr_t a, int leadingA, uintptr_t b, int leadingB, float beta, uintptr_t c, int leadingC)';

/** Looks for a BLAS that `threads` threads can call on the memory of `allocator`. Without koffi there is none. */
export async function findBlas(allocator: Allocator, threads: number): Promise<BlasSearch> {
  if (!isNode || !(allocator.memory.buffer instanceof SharedArrayBuffer)) return {};
  const found = await findKoffi();
  return found ? searchBlas(candidates[process.platform] ?? [], found, allocator, threads) : {};
}

/** Koffi and its file. */
export interface FoundKoffi {
  readonly koffi: Koffi;
  readonly path: string;
}

async function findKoffi(): Promise<FoundKoffi | undefined> {
  const { createRequire } = await import('node:module');
  try {
    const require = createRequire(import.meta.url);
    const path = require.resolve('koffi');
    return { koffi: require(path), path };
  } catch {
    return undefined; // it is optional: not installed, or not made for this machine
  }
}

/** The first of the libraries that is there and fit. */
export function searchBlas(
  libraries: readonly Candidate[],
  { koffi, path: koffiPath }: FoundKoffi,
  allocator: Allocator,
  threads: number,
): BlasSearch {
  const base = Number(koffi.address(new Uint8Array(allocator.memory.buffer, 0, 1)));
  const refused: string[] = [];
  for (const { library: path, make } of libraries) {
    const opened = open(koffi, path, make.setUp);
    if (!opened) continue;
    const { library, setUp } = opened;
    try {
      if (setUp.some((call) => call() === -1)) throw new Error('cannot be held to one thread');
      const reason = make.unfit(library, threads);
      if (reason !== undefined) throw new Error(reason);
      const sgemm = bind(library, base);
      tryProducts(sgemm, allocator);
      return {
        blas: {
          name: make.name(library),
          sgemm,
          location: { koffi: koffiPath, library: path, setUp: make.threadSetUp, base },
        },
      };
    } catch (error) {
      refused.push(`${path} ${error instanceof Error ? error.message : error}`);
    }
  }
  return refused[0] === undefined ? {} : { refused: refused[0] };
}

/** The library, and what sets it up; `undefined` where there is none, or it is of another make. */
function open(koffi: Koffi, path: string, setUp: readonly SetUp[]) {
  try {
    const library = koffi.load(path);
    const calls = setUp.map(({ declaration, argument }) => {
      const call = library.func(declaration);
      return () => call(argument);
    });
    return { library, setUp: calls };
  } catch {
    return undefined;
  }
}

function bind(library: ForeignLibrary, base: number): Sgemm {
  const sgemm = functionOf(library, sgemmDeclaration);
  return (transposeA, transposeB, m, n, k, a, leadingA, b, leadingB, c, leadingC) => {
    const [atA, atB, atC] = [base + (a >>> 0), base + (b >>> 0), base + (c >>> 0)];
    sgemm(cblas.rowMajor, transposeA, transposeB, m, n, k, 1, atA, leadingA, atB, leadingB, 0, atC, leadingC);
  };
}
