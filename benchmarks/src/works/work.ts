/** What is measured, apart from who is measured. */
import type { Kind, Problems } from '../library';

/** A piece of work of one kind. */
export interface WorkOf<K extends Kind> {
  readonly name: string;
  readonly kind: K;
  /** Rates where one number says how much is done; else milliseconds. */
  readonly unit: 'GFLOP/s' | 'GB/s' | 'ms';
  /** Of a run: floating-point operations for `GFLOP/s`; for `GB/s` bytes that must at least be read and written. */
  readonly amount?: number;
  /** The numbers to start from. */
  problem(): Problems[K] | Promise<Problems[K]>;
  /** The first of the values that are to come out, computed in float64 by other means, where that is easy. */
  expected?(problem: Problems[K]): ArrayLike<number>;
  /** Runs that are compared between libraries before any is timed. Default: 3; fewer where all runs are the same. */
  readonly comparedRuns?: number;
  /** Ours is also measured with one thread. */
  readonly oneThread?: boolean;
}

/** A piece of work. */
export type Work = { [K in Kind]: WorkOf<K> }[Kind];
