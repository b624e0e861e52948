/**
 * What is said between the benchmark and the process of a library: one JSON object a line, on file descriptors 3 (orders) and
 * 4 (answers), so that what a library prints disturbs nobody. `python/worker.py` speaks the same.
 */
import type { Kind } from '../library';

/** What a library's process is told to do; it has one task at a time. */
export type Order =
  /** Put a problem on the device, and compile what can be. `file` has the numbers of `problem` (`exchange.ts`). */
  | { readonly do: 'prepare'; readonly kind: Kind; readonly problem: unknown; readonly file: string }
  /** Run so many times. */
  | { readonly do: 'run'; readonly times: number }
  /** Write what the runs have led to into a file, as f32. */
  | { readonly do: 'values'; readonly file: string }
  /**
   * Run for at least `seconds`, timing each run; before that for at least `warm` seconds untimed, unless that is 0. `queued`
   * runs are handed over before each that is read, where the library can, and the time is divided among them.
   */
  | { readonly do: 'turn'; readonly seconds: number; readonly warm: number; readonly queued: number };

/** What it answers. */
export interface Answer {
  /** First answer of all, without an order: what the library says of itself. */
  readonly detail?: string;
  /** And the kinds of work it can do. */
  readonly kinds?: readonly Kind[];
  /** Of `prepare` and `run`: how long it took. */
  readonly took?: number;
  /** Of `run`: what the runs returned. NaN and infinities come as strings. */
  readonly numbers?: readonly (number | string)[];
  /** Of `turn`: seconds of each run. */
  readonly seconds?: readonly number[];
  /** Why it could not be done. */
  readonly error?: string;
}
