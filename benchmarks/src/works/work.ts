/** What is measured, apart from who is measured. */
import type { Kind, Problems } from '../library';

/** A piece of work of one kind. */
export interface WorkOf<K extends Kind> {
  readonly name: string;
  readonly kind: K;
  /** Rates where one number says how much is done; else milliseconds. */
  readonly unit: 'GFLOP/s' | 'GB/s' | 'images/s' | 'ms';
  /** Of a run: floating-point operations for `GFLOP/s`; bytes that must at least be read and written for `GB/s`; images. */
  readonly amount?: number;
  /** The numbers to start from. Files that belong to them may be put into the folder, which is deleted in the end. */
  problem(folder: string): Problems[K] | Promise<Problems[K]>;
  /** The first of the values that are to come out, computed in float64 by other means, where that is easy. */
  expected?(problem: Problems[K]): ArrayLike<number>;
  /** Runs that are compared between libraries before any is timed. Default: 3; fewer where all runs are the same. */
  readonly comparedRuns?: number;
  /** Ours is also measured with one thread. */
  readonly oneThread?: boolean;
  /** The peers that do it, by name, where the memory is not enough for all. Default: all. */
  readonly peers?: readonly string[];
  /** A second row says how much memory the processes need. */
  readonly memory?: boolean;
}

/** A piece of work. */
export type Work = { [K in Kind]: WorkOf<K> }[Kind];
