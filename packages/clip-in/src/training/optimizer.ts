/** The update rule of all stages: clipping, AdamW with a decay mask, warm-up and cosine, and the bound of the logit scale. */

import { valueAndGrad } from '@clipin/autograd';
import {
  type AdamWKind,
  adamW,
  applyUpdates,
  type ChainState,
  chain,
  clipByGlobalNorm,
  type FixedState,
  type GradientTransformation,
  isMatrix,
  warmupCosine,
} from '@clipin/optim';
import { type Jitted, jit, type Tensor } from '@clipin/tensor';
import type { StepResult } from './loop';

/** Settings of the update rule. */
export interface OptimizerSettings {
  readonly steps: number;
  /** Highest learning rate, after the warm-up; a cosine takes it down to 0. */
  readonly learningRate: number;
  /** Steps in which the learning rate rises. */
  readonly warmup: number;
  /** Of matrices; gains, biases, the class token and the logit scale have none. */
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** Gradients are scaled down to this global norm; null: never. */
  readonly clipNorm: number | null;
}

/** The kind of the rule's state. */
export type OptimizerKind = ChainState<[FixedState<undefined>, AdamWKind]>;

/** What training changes. */
export interface TrainState<Params> {
  readonly params: Params;
  /** State of the update rule. */
  readonly optimizer: ChainStateOf<Params>;
}

type ChainStateOf<Params> = ReturnType<typeof initOptimizer<Params>>;

const initOptimizer = <Params>(rule: GradientTransformation<OptimizerKind>, params: Params) =>
  rule.init(params);

const unclipped: GradientTransformation<FixedState<undefined>> = {
  init: () => undefined,
  update: (updates, state) => [updates, state],
};

/** The update rule for these settings. */
export function optimizerOf(settings: OptimizerSettings): GradientTransformation<OptimizerKind> {
  const { steps, learningRate, warmup, weightDecay, betas, epsilon, clipNorm } = settings;
  return chain(
    clipNorm === null ? unclipped : clipByGlobalNorm(clipNorm),
    adamW({
      learningRate: warmupCosine({
        peak: learningRate,
        warmupSteps: warmup,
        totalSteps: Math.max(steps, warmup + 1),
      }),
      b1: betas[0],
      b2: betas[1],
      epsilon,
      weightDecay,
      mask: isMatrix,
    }),
  );
}

/** A loss with further scalars to report. */
export type Objective<Params, Batch> = (
  params: Params,
  batch: Batch,
) => readonly [loss: Tensor, report: Readonly<Record<string, Tensor>>];

/** The state before the first step, and the compiled step, which takes the memory of its arguments. */
export function trainer<Params, Batch>(
  params: Params,
  objective: Objective<Params, Batch>,
  settings: OptimizerSettings,
  /** What parameters are brought back to after an update, such as a bound. */
  constrain: (params: Params) => Params = (same) => same,
): {
  readonly initial: TrainState<Params>;
  readonly step: Jitted<[state: TrainState<Params>, batch: Batch], StepResult<TrainState<Params>>>;
} {
  const rule = optimizerOf(settings);
  const differentiate = valueAndGrad(objective, { hasAux: true });
  const step = jit(
    (state: TrainState<Params>, batch: Batch): StepResult<TrainState<Params>> => {
      const [[loss, report], gradients] = differentiate(state.params, batch);
      const [updates, optimizer] = rule.update(gradients, state.optimizer, state.params);
      const updated = constrain(applyUpdates(state.params, updates));
      return { state: { params: updated, optimizer }, metrics: { loss, ...report } };
    },
    { donate: [0, 1] },
  );
  return { initial: { params, optimizer: initOptimizer(rule, params) }, step };
}
