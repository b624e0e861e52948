/**
 * Update rules as chains of small transformations, each two functions: `init` and `update`.
 *
 * @module
 */

export {
  type AdamKind,
  type AdamOptions,
  type AdamState,
  type AdamWKind,
  type AdamWOptions,
  adamW,
  addDecayedWeights,
  isMatrix,
  type ParameterFilter,
  scaleByAdam,
} from './adam';
export { clipByGlobalNorm, globalNorm } from './clip';
export {
  constantSchedule,
  descend,
  type Schedule,
  type ScheduleState,
  scaleBySchedule,
  type WarmupCosineOptions,
  warmupCosine,
} from './schedule';
export { accumulate, type SgdKind, type SgdOptions, sgd, type VelocityKind, type VelocityState } from './sgd';
export {
  applyUpdates,
  type ChainState,
  chain,
  type FixedState,
  type GradientTransformation,
  type StateFor,
  type StateKind,
  type StateOf,
} from './transformation';
