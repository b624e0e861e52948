/** Schedules: from the number of finished steps to a factor, as tensors, so that a step under `jit` needs no new trace. */
import { full, mapTree, type Tensor, where, zeros } from '@clipin/tensor';
import type { FixedState, GradientTransformation } from './transformation';

/** The value for the step after `count` finished ones: i32 scalar → f32 scalar. */
export type Schedule = (count: Tensor) => Tensor;

/** The same value at every step. */
export const constantSchedule =
  (value: number): Schedule =>
  ({ device }) =>
    full([], value, { device });

/** Options of `warmupCosine`. */
export interface WarmupCosineOptions {
  /** The value after warm-up. */
  readonly peak: number;
  /** Steps of warm-up; the first has `peak / warmupSteps`. 0 for none. */
  readonly warmupSteps: number;
  /** All steps, warm-up included; from there on the value is `end`. */
  readonly totalSteps: number;
  /** Default: 0. */
  readonly end?: number;
}

/**
 * A straight line up to `peak`, then half a cosine down to `end` (Loshchilov and Hutter 2017, eq. 5, without restarts):
 * `peak (count + 1) / warmupSteps`, then `end + (peak − end)/2 (1 + cos(π (count − warmupSteps)/(totalSteps − warmupSteps)))`.
 */
export function warmupCosine({ peak, warmupSteps, totalSteps, end = 0 }: WarmupCosineOptions): Schedule {
  if (![warmupSteps, totalSteps].every(Number.isInteger) || warmupSteps < 0 || totalSteps <= warmupSteps) {
    throw new RangeError(
      `warmupCosine: warmupSteps ${warmupSteps}, totalSteps ${totalSteps}; wants whole numbers, 0 ≤ warmupSteps < totalSteps`,
    );
  }
  return (count) => {
    const steps = count.cast('f32');
    const rising = steps.add(1).mul(peak / Math.max(warmupSteps, 1));
    const progress = steps
      .sub(warmupSteps)
      .div(totalSteps - warmupSteps)
      .minimum(1);
    const falling = progress
      .mul(Math.PI)
      .cos()
      .add(1)
      .mul((peak - end) / 2)
      .add(end);
    return where(count.less(warmupSteps), rising, falling);
  };
}

/** State of `scaleBySchedule`. */
export interface ScheduleState {
  /** Finished steps, i32 scalar. */
  readonly count: Tensor;
}

/** Updates times the schedule's value. */
export function scaleBySchedule(schedule: Schedule): GradientTransformation<FixedState<ScheduleState>> {
  return {
    init: () => ({ count: zeros([], { dtype: 'i32' }) }),
    update(updates, { count }) {
      const factor = schedule(count);
      return [mapTree((update) => update.mul(factor), updates), { count: count.add(1) }];
    },
  };
}

/** Updates times `−learningRate`. */
export function descend(learningRate: number | Schedule): GradientTransformation<FixedState<ScheduleState>> {
  const schedule = typeof learningRate === 'number' ? constantSchedule(learningRate) : learningRate;
  return scaleBySchedule((count) => schedule(count).neg());
}
