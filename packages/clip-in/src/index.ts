/**
 * CLIP-IN: models, losses, the recipe in stages, and evaluation. See docs/the-method.md.
 *
 * @module
 */
// The model

// Published benchmarks
export { type Publication, type PublishedFigures, publications, published } from './benchmarks/published';
export {
  type Answer,
  type CaptionedImage,
  type Classification,
  type ClassificationSuite,
  type FigureRow,
  type Figures,
  isSkipped,
  type LabelledImage,
  type Preparation,
  type Question,
  type QuestionSuite,
  type RetrievalSuite,
  type Skipped,
  type Suite,
  type SuiteBase,
  SuiteError,
} from './benchmarks/suite';
export { suites, suitesNamed } from './benchmarks/suites';
export {
  type Checkpoint,
  type CheckpointInfo,
  type Json,
  latestCheckpoint,
  loadCheckpoint,
  type SaveOptions,
  saveCheckpoint,
  toJson,
} from './checkpoint';
export {
  type Config,
  type ConfigInput,
  type LoadOptions,
  type LossName,
  loadConfig,
  type ModelSizes,
  parseConfig,
} from './config';
export {
  configurations,
  type ModelConfig,
  type ModelName,
  type TextConfig,
  type TowerConfig,
  type VisionConfig,
  withRotaryText,
} from './configurations';
// Evaluation
export {
  createEmbedder,
  type EmbeddedImage,
  type Embedder,
  type EmbedderOptions,
  type EmbeddingModel,
  TextError,
} from './evaluation/embedder';
export { type EncoderOptions, type Encoders, encodersOf } from './evaluation/encoders';
export {
  type EvaluationSetOptions,
  type EvaluationSets,
  evaluationSets,
  type Measurement,
  measure,
  type Similarities,
} from './evaluation/measure';
export { type RunSuiteOptions, runSuite, type SuiteResult } from './evaluation/run-suite';
// The losses
// Models for other runtimes
export { type ExportedModel, exportOnnx, type OnnxFiles } from './export/export-onnx';
export {
  type NamedWeight,
  type OnnxAttributes,
  type OnnxDType,
  OnnxGraph,
  type OnnxGraphOptions,
  type OnnxShape,
  type OnnxWeight,
  type StoredWeight,
} from './export/onnx-graph';
export {
  clipLoss,
  distillationLoss,
  type Edits,
  hardNegativeLoss,
  negClipLoss,
  type Pairs,
  sigmoidLoss,
  tripletClipLoss,
} from './losses';
export {
  type PairReport,
  type PairVerdicts,
  pairCorrect,
  pairReport,
  type RecallAt,
  type Retrieval,
  retrieval,
} from './metrics';
export {
  type DualEncoder,
  type DualEncoderOptions,
  type DualEncoderParams,
  dualEncoder,
  type ImageTower,
  imageTower,
  initialLogitScale,
  initialSigmoid,
  logits,
  maxLogitScale,
  type TextTower,
  textTower,
} from './model';
export {
  loadModel,
  saveModel,
  smallWorldCheckpoint,
  type TokenizerFiles,
  type TrainedModel,
  tokenizerOf,
  type Vocabulary,
} from './pretrained';
// The recipe, and models on disk
export { type RecipeEvents, type RecipeOptions, type RecipeResult, runRecipe } from './recipe';
export type { StepLog } from './training/log';
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
  type OptimizerSettings,
  optimizerOf,
  type TrainState,
  trainer,
} from './training/optimizer';
export {
  type BatchSource,
  clipInLoss,
  distillation,
  type FineTuningLoss,
  fineTuning,
  pretraining,
  type Student,
  studentOf,
} from './training/stages';
export {
  type CaptionOptions,
  captionBatches,
  openWorld,
  packedTensors,
  type TextBatch,
  type TrainBatch,
  type TrainBatchOptions,
  trainBatches,
  type World,
  worldTokenizer,
} from './training/world';
export { type RecordToTreeOptions, recordToTree, treeToRecord } from './treeRecord';
// Use
export {
  type Classified,
  type Classifier,
  type ClassifierOptions,
  classifier,
  type LabelScore,
  type LogitOptions,
} from './use/classify';
export { type ContactSheet, contactSheet } from './use/contact-sheet';
export type { Unreadable } from './use/find-pictures';
export { type HeatMapFigure, heatMapFigure } from './use/heat-map-figure';
export { type HeatMaps, heatMaps } from './use/heat-maps';
export { type IndexFolderOptions, type IndexReport, indexFolder } from './use/index-folder';
export { indexModelOf, logitsOf } from './use/load-model';
export {
  type IndexDescription,
  type IndexedFile,
  type IndexModel,
  type Match,
  openIndex,
  type PictureIndex,
} from './use/picture-index';
export { type Query, type SearchOptions, searchIndex } from './use/search-index';
export type { WeightDType } from './weights/half-weights';
// Published weights
export type { HubOptions } from './weights/hub';
export { type LoadPretrainedOptions, loadPretrained, type PretrainedModel } from './weights/load-pretrained';
export type { TowerDevices } from './weights/place-towers';
export type { StoredData, StoredDType, StoredTensor, TensorRecord } from './weights/safetensors';
export { saveHuggingFace, saveOpenClip } from './weights/save-pretrained';
