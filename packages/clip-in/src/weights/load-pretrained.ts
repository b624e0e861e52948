/** Published models from files: whatever the layout, parameters, tokenizer and preprocessing that belong together. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { clipTokenizer, restoreTokenizer, type Tokenizer, CLIP_PREPROCESS, type PreprocessOptions } from '@clipin/data';
import { randomKey } from '@clipin/tensor';
import type { ModelConfig } from '../configurations';
import { type DualEncoder, type DualEncoderParams, dualEncoder } from '../model';
import { fromHuggingFace } from './hugging-face-config';
import { huggingFaceClip } from './names-hugging-face';
import type { Naming } from './naming';
import { preprocessOf } from './preprocess-config';
import { readParams } from './read-params';
import { INDEX_FILE, safetensorsSource, shardedSource, type TensorSource } from './tensor-source';

/** A model with parameters, and what belongs to it: how its texts and images are prepared. */
export interface PretrainedModel {
  readonly model: DualEncoder;
  readonly params: DualEncoderParams;
  readonly tokenizer: Tokenizer;
  readonly preprocess: PreprocessOptions;
  /** What it is called: the folder's or file's name, or the hub's id. */
  readonly name: string;
  /** A hash of the weights, for caches: the same for the same weights, whatever file they came from. */
  readonly fingerprint: string;
}
