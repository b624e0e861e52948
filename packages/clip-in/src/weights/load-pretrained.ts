/** Published models from files: whatever the layout, parameters, tokenizer and preprocessing that belong together. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import {
  CLIP_PREPROCESS,
  clipTokenizer,
  type PreprocessOptions,
  restoreTokenizer,
  type Tokenizer,
} from '@clipin/data';
import { randomKey } from '@clipin/tensor';
import type { ModelConfig } from '../configurations';
import { type DualEncoder, type DualEncoderParams, dualEncoder } from '../model';
import { loadModel } from '../pretrained';
import { fromHuggingFace } from './hugging-face-config';
import { readJson } from './json-file';
import { huggingFaceClip } from './names-hugging-face';
import type { Naming } from './naming';
import { preprocessOfHuggingFace } from './preprocess-config';
import { digestOfParams, readParams } from './read-params';
import { INDEX_FILE, safetensorsSource, shardedSource, type TensorSource } from './tensor-source';

/** A model with parameters, and what belongs to it: how its texts and images are prepared. */
export interface PretrainedModel {
  readonly model: DualEncoder;
  readonly params: DualEncoderParams;
  readonly tokenizer: Tokenizer;
  readonly preprocess: PreprocessOptions;
  /** What it is called: the folder's or file's name, or the hub's id. */
  readonly name: string;
  /** A hash of the weights and the configuration, for caches: the same whatever files they came from. */
  readonly fingerprint: string;
}

/** What a layout says of a model, before the weights are read. */
interface Described {
  readonly config: ModelConfig;
  readonly naming: Naming;
  readonly tokenizer: Tokenizer;
  readonly preprocess: PreprocessOptions;
  open(): Promise<TensorSource>;
}

/**
 * Loads a model with its tokenizer and preprocessing.
 *
 * @param source - a folder as Hugging Face's `transformers` writes it, or what `saveModel` wrote
 * @throws Error naming the file and what does not fit; tensors that are missing, left over or of another shape are listed
 *   together
 */
export async function loadPretrained(source: string): Promise<PretrainedModel> {
  const found = await stat(source).catch(() => undefined);
  if (!found) throw new Error(`${source}: there is no such file or folder`);
  if (await isSavedModel(source)) return loadSaved(source);
  const described = await describeFolder(source);
  const model = dualEncoder(described.config);
  const tensors = await described.open();
  try {
    const { params, digest } = await readParams(tensors, described.naming, model.init(randomKey(0)));
    const { tokenizer, preprocess } = described;
    return {
      model,
      params,
      tokenizer,
      preprocess,
      name: nameOf(source),
      fingerprint: fingerprint(model, digest),
    };
  } finally {
    await tensors.close();
  }
}

/** The weights alone do not say what is computed with them: `gelu` and `quickGelu` have the same. */
const fingerprint = ({ config }: DualEncoder, digest: string): string =>
  createHash('sha256').update(JSON.stringify(config)).update(digest).digest('hex');

const nameOf = (path: string): string => basename(resolve(path));

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );

/** Files by which a checkpoint of this package, or a folder of them, is known. */
async function isSavedModel(path: string): Promise<boolean> {
  return (await isFile(join(path, 'checkpoint.json'))) || (await isFile(join(path, 'latest')));
}

async function loadSaved(path: string): Promise<PretrainedModel> {
  const { model, params, vocabulary } = await loadModel(path);
  return {
    model,
    params,
    tokenizer: restoreTokenizer(clipTokenizer(), vocabulary),
    preprocess: CLIP_PREPROCESS(model.config.vision.imageSize),
    name: nameOf(path),
    fingerprint: fingerprint(model, await digestOfParams(params)),
  };
}

async function describeFolder(folder: string): Promise<Described> {
  const file = join(folder, 'config.json');
  const json = await readJson(file);
  if (json === undefined) throw new Error(`${folder}: has no config.json`);
  const config = fromHuggingFace(json, file);
  const { imageSize } = config.vision;
  const processorFile = join(folder, 'preprocessor_config.json');
  const processor = await readJson(processorFile);
  return {
    config,
    naming: huggingFaceClip,
    tokenizer: tokenizerFor(config, clipTokenizer()),
    preprocess:
      processor === undefined
        ? CLIP_PREPROCESS(imageSize)
        : preprocessOfHuggingFace(processor, processorFile, imageSize, 'clip'),
    open: () => openWeights(folder),
  };
}

async function openWeights(folder: string): Promise<TensorSource> {
  const single = join(folder, 'model.safetensors');
  if (await isFile(single)) return safetensorsSource(single);
  const index = join(folder, INDEX_FILE);
  if (await isFile(index)) return shardedSource(index);
  throw new Error(`${folder}: has neither model.safetensors nor ${INDEX_FILE}`);
}

/** A tokenizer whose ids the text tower knows; one that says so when asked, if it does not. */
function tokenizerFor({ text }: ModelConfig, tokenizer: Tokenizer): Tokenizer {
  if (text.vocabulary >= tokenizer.size) return tokenizer;
  return {
    ...tokenizer,
    encode() {
      throw new RangeError(
        `the text tower knows ${text.vocabulary} ids and CLIP's tokenizer has ${tokenizer.size}; this model needs a tokenizer of its own`,
      );
    },
  };
}
