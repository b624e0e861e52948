/** AdamW, and the parts of which it is a chain. */
import { leaves, mapTree, type Tensor, zeros } from '@clipin/tensor';
import { descend, type Schedule, type ScheduleState } from './schedule';
import {
  averagesOf,
  type ChainState,
  chain,
  type FixedState,
  type GradientTransformation,
  type StateKind,
} from './transformation';

/** State of `scaleByAdam`. */
export interface AdamState<Params> {
  /** Moving average of gradients. */
  readonly mean: Params;
  /** Moving average of squared gradients. */
  readonly variance: Params;
  /** `1 − b1^t`, f32 scalar: how much of the mean is made of gradients. */
  readonly meanWeight: Tensor;
  /** `1 − b2^t`, f32 scalar. */
  readonly varianceWeight: Tensor;
}

/** The kind of `AdamState`. */
export interface AdamKind extends StateKind {
  readonly state: AdamState<this['params']>;
}

/** Options of `scaleByAdam`. */
export interface AdamOptions {
  /** Decay of the mean. Default: 0.9. */
  readonly b1?: number;
  /** Decay of the variance. Default: 0.999; CLIP's vision transformers were trained with 0.98. */
  readonly b2?: number;
  /** Added to the root of the variance. Default: 1e-8. */
  readonly epsilon?: number;
}

/** `m̂ / (√v̂ + ε)`, with the averages corrected for their start at 0 (Kingma and Ba 2015, algorithm 1). */
export function scaleByAdam({
  b1 = 0.9,
  b2 = 0.999,
  epsilon = 1e-8,
}: AdamOptions = {}): GradientTransformation<AdamKind> {
  for (const [name, value] of Object.entries({ b1, b2 })) {
    if (!(value >= 0 && value < 1))
      throw new RangeError(`scaleByAdam: ${name} is ${value}; wants at least 0 and less than 1`);
  }
  return {
    init: (params) => ({
      mean: mapTree(averagesOf, params),
      variance: mapTree(averagesOf, params),
      meanWeight: zeros([]),
      varianceWeight: zeros([]),
    }),
    update(gradients, state) {
      const mean = mapTree((m, g) => m.mul(b1).add(g.mul(1 - b1)), state.mean, gradients);
      const variance = mapTree((v, g) => v.mul(b2).add(g.square().mul(1 - b2)), state.variance, gradients);
      // The average of ones, by the recurrence of the averages: no power, and no cancellation in the first steps.
      const meanWeight = state.meanWeight.mul(b1).add(1 - b1);
      const varianceWeight = state.varianceWeight.mul(b2).add(1 - b2);
      const updates = mapTree(
        (m, v) => m.div(meanWeight).div(v.div(varianceWeight).sqrt().add(epsilon)),
        mean,
        variance,
      );
      return [updates, { mean, variance, meanWeight, varianceWeight }];
    },
  };
}

/** Chooses parameters by path (`image.blocks.0.ln1.gain`) and tensor. */
export type ParameterFilter = (path: string, parameter: Tensor) => boolean;

/** True of matrices and tables, false of vectors and scalars: gains, biases, the class token, the logit scale. */
export const isMatrix: ParameterFilter = (_, { rank }) => rank >= 2;

/** Adds `rate · parameter` to the updates of the parameters that `mask` chooses. Default: all. */
export function addDecayedWeights(
  rate: number,
  mask: ParameterFilter = () => true,
): GradientTransformation<FixedState<undefined>> {
  return {
    init: () => undefined,
    update(updates, state, params) {
      const decays = new Set(
        leaves(params)
          .filter(({ path, tensor }) => mask(path, tensor))
          .map(({ tensor }) => tensor),
      );
      const add = (update: Tensor, parameter: Tensor) =>
        decays.has(parameter) ? update.add(parameter.mul(rate)) : update;
      return [rate === 0 ? updates : mapTree(add, updates, params), state];
    },
  };
}

/** Options of `adamW`. */
export interface AdamWOptions extends AdamOptions {
  readonly learningRate: number | Schedule;
  /** Fraction of a parameter that is taken away each step, times the learning rate. Default: 0.01. */
  readonly weightDecay?: number;
  /** Which parameters decay, such as `isMatrix`. Default: all. */
  readonly mask?: ParameterFilter;
}

/** The kind of `adamW`'s state. */
export type AdamWKind = ChainState<[AdamKind, FixedState<undefined>, FixedState<ScheduleState>]>;

/** `θ ← θ − η (m̂ / (√v̂ + ε) + λ θ)` (Loshchilov and Hutter 2019, algorithm 2). */
export function adamW({
  learningRate,
  weightDecay = 0.01,
  mask,
  ...adam
}: AdamWOptions): GradientTransformation<AdamWKind> {
  return chain(scaleByAdam(adam), addDecayedWeights(weightDecay, mask), descend(learningRate));
}
