/**
 * The libraries that may serve as BLAS: their names by platform, and for each make how it is held to one thread, what it is
 * called, and what speaks against it. They are opened and tried in `system-blas.ts`.
 */

type ForeignFunction = (...args: (number | Uint8Array)[]) => unknown;

/** A library that was opened. */
export interface ForeignLibrary {
  /** The function of this declaration in C. @throws Error when the library has none of its name */
  func(declaration: string): ForeignFunction;
}

/** The function of this declaration. @throws Error that says that it is missing */
export function functionOf(library: ForeignLibrary, declaration: string): ForeignFunction {
  try {
    return library.func(declaration);
  } catch {
    throw new Error(`has no ${/(\w+)\(/.exec(declaration)?.[1]}`);
  }
}

/** A function to call, with its argument; it gives −1 when it fails. */
export interface SetUp {
  readonly declaration: string;
  readonly argument: number;
}

/** One make of BLAS. */
export interface Make {
  /** What holds it to the thread that calls: called once, before anything else. */
  readonly setUp: readonly SetUp[];
  /** What must be called in every other thread too, since it is kept for each thread. */
  readonly threadSetUp: readonly SetUp[];
  name(library: ForeignLibrary): string;
  /** Why it cannot be used by so many threads. */
  unfit(library: ForeignLibrary, threads: number): string | undefined;
}

/** Built with OpenMP, it keeps the number of threads for each thread; else it has one for all. */
const openBlasThreads: SetUp = { declaration: 'void openblas_set_num_threads(int)', argument: 1 };
const openBlas: Make = {
  setUp: [openBlasThreads],
  threadSetUp: [openBlasThreads],
  name(library) {
    const version = /OpenBLAS (\d\S*)/.exec(openBlasConfig(library))?.[1];
    const core = String(functionOf(library, 'const char *openblas_get_corename()')());
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
  threadSetUp: [],
  name(library) {
    const text = new Uint8Array(200);
    library.func('void MKL_Get_Version_String(_Out_ uint8_t *text, int length)')(text, text.length);
    return `MKL ${/Version (\S+)/.exec(new TextDecoder().decode(text))?.[1] ?? ''}`.trim();
  },
  unfit: () => undefined,
};

const accelerateThreading: SetUp = { declaration: 'int BLASSetThreading(int)', argument: 1 };
const accelerate: Make = {
  setUp: [accelerateThreading],
  threadSetUp: [accelerateThreading],
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
export const candidates: Partial<Record<NodeJS.Platform, readonly Candidate[]>> = {
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
