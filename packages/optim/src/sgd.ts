/** Stochastic gradient descent with momentum. */
import { mapTree } from '@clipin/tensor';
import { descend, type Schedule, type ScheduleState } from './schedule';
import {
  averagesOf,
  type ChainState,
  chain,
  type FixedState,
  type GradientTransformation,
  type StateKind,
} from './transformation';

/** State of `accumulate`. */
export interface VelocityState<Params> {
  readonly velocity: Params;
}

/** The kind of `VelocityState`. */
export interface VelocityKind extends StateKind {
  readonly state: VelocityState<this['params']>;
}

/** Momentum: `v ← momentum · v + g` (Polyak 1964). */
export function accumulate(momentum: number): GradientTransformation<VelocityKind> {
  return {
    init: (params) => ({ velocity: mapTree(averagesOf, params) }),
    update(gradients, state) {
      const velocity = mapTree((v, g) => v.mul(momentum).add(g), state.velocity, gradients);
      return [velocity, { velocity }];
    },
  };
}

/** Options of `sgd`. */
export interface SgdOptions {
  readonly learningRate: number | Schedule;
  /** Default: 0.9. For none, use `descend` alone, which keeps no velocity. */
  readonly momentum?: number;
}

/** The kind of `sgd`'s state. */
export type SgdKind = ChainState<[VelocityKind, FixedState<ScheduleState>]>;

/** `v ← momentum · v + g; θ ← θ − η v`. */
export const sgd = ({ learningRate, momentum = 0.9 }: SgdOptions): GradientTransformation<SgdKind> =>
  chain(accumulate(momentum), descend(learningRate));
