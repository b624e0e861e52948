/** What is measured, apart from who is measured. */
import type { Library, Task } from '../library';

/** A piece of work that every library does. */
export interface Work {
  readonly name: string;
  /** `GFLOP/s` where nearly all is multiplication and addition of one product, else `ms`. */
  readonly unit: 'GFLOP/s' | 'ms';
  /** Floating-point operations of a run, for `GFLOP/s`. */
  readonly operations?: number;
  /** Puts the data on the library's device. */
  prepare(library: Library): Task;
  /** The first of the values that are to come out, computed in float64 by other means, where that is easy. */
  readonly expected?: Float64Array;
}
