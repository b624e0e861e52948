/**
 * Data of clip-in: emoji drawn by several hands, scenes and instruction edits made of them by code from a seed,
 * captions, CLIP's tokenizer, and batches of typed arrays. Knows nothing of tensors.
 */

// The drawings
export { type Art, type ArtOptions, loadArt, spriteOf } from './art/art';
export { CREDITS, HANDS, type Hand, TRAINING_HANDS, UNSEEN_HAND } from './art/hands';
// Batches and evaluation sets
export {
  type Batch,
  type Batches,
  type BatchOptions,
  createBatches,
  type EditBatch,
  type TripletBatch,
} from './batches/batches';
export { type PrefetchOptions, prefetch } from './batches/prefetch';
export { EDIT_KIND_NAMES, EDIT_KINDS, type Edit, type EditKind, PATTERNS, type Pattern } from './edits/edit';
export {
  type ClassificationSet,
  classificationSet,
  type EvaluationOptions,
  gallery,
  renderScenes,
  testPairs,
} from './evaluation';
// Pictures from files
export { type DecodeOptions, decodeImage, type RgbImage } from './images/decode';
export { type NaflexImage, type NaflexOptions, naflexSize, preprocessNaflex } from './images/naflex';
export {
  CLIP_PREPROCESS,
  type PerChannel,
  type PreprocessOptions,
  preprocess,
  preprocessPixels,
  SIGLIP_PREPROCESS,
} from './images/preprocess';
export type { Pixels } from './images/resample';
export {
  type Box,
  ImageError,
  type ImageFile,
  type ImageSource,
  nameOf,
  partsOf,
  readSource,
} from './images/source';
// What there is to draw
export { handsFor, INVENTORY, itemOf, itemsVarying, variantsOf } from './inventory/inventory';
export { COLORS, type Color, type Item, type Variation } from './inventory/item';
// Seeded draws
export { type Random, randomAt } from './random';
export { itemPhrase, longCaption, type Mention, shortCaption, WORDINGS } from './scenes/captions';

// Pixels and ids
export {
  CLIP_MEAN,
  CLIP_STD,
  createRenderer,
  type Normalization,
  type Renderer,
  type RendererOptions,
} from './scenes/render';
export {
  BACKGROUND_NAMES,
  BACKGROUNDS,
  type Background,
  PLACE_NAMES,
  PLACES,
  type Place,
  type Placed,
  type Scene,
  SIZES,
  type Size,
} from './scenes/scene';
export { combinationOf, SPLITS, type Split, splitOf } from './scenes/splits';
export { clipPieces, clipTokenizer } from './text/clip-tokenizer';
export { encodeTexts } from './text/encode';
export { loadTokenizer } from './text/load-tokenizer';
export { type IdRows, type PackedRows, type PackOptions, packTexts } from './text/pack';
export {
  type RestrictedTokenizer,
  type RestrictedVocabulary,
  restoreTokenizer,
  restrict,
} from './text/restrict';
export type { StartedTokenizer, Tokenizer } from './text/tokenizer';
export { vocabularyTexts } from './text/vocabulary';
// Scenes, captions and edits
export { editAt, handsForScenes, type Triplet, tripletAt } from './world';
