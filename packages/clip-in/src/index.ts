/**
 * CLIP-IN: models, losses, the recipe in stages, and evaluation. See docs/the-method.md.
 *
 * @module
 */
// The model
export { type ModelConfig, type ModelName, configurations, type TextConfig, type VisionConfig, withRotaryText } from './configurations';
export {
  type DualEncoder,
  type DualEncoderOptions,
  type DualEncoderParams,
  dualEncoder,
  imageTower,
  initialLogitScale,
  maxLogitScale,
  textTower,
} from './model';
// The losses
export {
  clipLoss,
  distillationLoss,
  type Edits,
  hardNegativeLoss,
  negClipLoss,
  type Pairs,
  tripletClipLoss,
} from './losses';
// Training
export {
  type Metrics,
  type RunOptions,
  runStage,
  type Stage,
  type StageResult,
  type StepResult,
} from './training/loop';
export {
  type Objective,
  type OptimizerKind,
  optimizerOf,
  type OptimizerSettings,
  trainer,
  type TrainState,
} from './training/optimizer';
export {
  type BatchSource,
  clipInLoss,
  distillation,
  fineTuning,
  type FineTuningLoss,
  pretraining,
  type Student,
  studentOf,
} from './training/stages';
export {
  captionBatches,
  type CaptionOptions,
  openWorld,
  trainBatches,
  type TrainBatch,
  type World,
} from './training/world';
export { type Config, type ConfigInput, loadConfig, type LossName, type ModelSizes, parseConfig } from './config';
export {
  type Checkpoint,
  type CheckpointInfo,
  type Json,
  latestCheckpoint,
  loadCheckpoint,
  saveCheckpoint,
  toJson,
} from './checkpoint';
export type { StoredDType, StoredTensor, TensorRecord } from './safetensors';
export { recordToTree, treeToRecord } from './treeRecord';
// Evaluation
export { type Encoders, encodersOf } from './evaluation/encoders';
export {
  type EvaluationSetOptions,
  type EvaluationSets,
  evaluationSets,
  type Measurement,
  measure,
} from './evaluation/measure';
export {
  type PairReport,
  type PairVerdicts,
  pairCorrect,
  pairReport,
  type RecallAt,
  type Retrieval,
  retrieval,
} from './metrics';
// The recipe, and models on disk
export { type RecipeEvents, type RecipeOptions, type RecipeResult, runRecipe } from './recipe';
export { loadModel, saveModel, smallWorldCheckpoint, type TrainedModel } from './pretrained';
export type { StepLog } from './training/log';
