/** What files say of a model beside its weights: where those are, the configuration, tokenizer and preprocessing. */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  CLIP_PREPROCESS,
  clipTokenizer,
  loadTokenizer,
  type PreprocessOptions,
  SIGLIP_PREPROCESS,
  type Tokenizer,
} from '@clipin/data';
import type { ModelConfig } from '../configurations';
import { modelConfigSchema, tokenizerOf, vocabularySchema } from '../pretrained';
import { detectNaming, unwrapped } from './detect-naming';
import { fromHuggingFace } from './hugging-face-config';
import { inferConfig, inferTrunk } from './infer-config';
import { parseAs, parseJson, readJson } from './json-file';
import {
  HUGGING_FACE_CONFIG,
  HUGGING_FACE_WEIGHTS,
  OPEN_CLIP_CONFIG,
  OPEN_CLIP_WEIGHTS,
  otherWeights,
  PROCESSOR_CONFIG,
  TOKENIZER_FILE,
  TOKENIZER_FILES,
  VOCABULARY_FILE,
  weightsAmong,
} from './model-files';
import type { Naming } from './naming';
import { fromOpenClip } from './open-clip-config';
import { fileSource, shardedSource } from './open-tensors';
import { preprocessOfHuggingFace, preprocessOfOpenClip } from './preprocess-config';
import type { TensorSource } from './tensor-source';

/** Weights and what belongs to them. The source is to be closed. */
export interface DescribedModel {
  readonly source: TensorSource;
  readonly naming: Naming;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  /** Its files, as far as it was made from any. */
  readonly tokenizerFiles: readonly string[];
  readonly preprocess: PreprocessOptions;
  /** What no file says, in sentences. */
  readonly assumptions: readonly string[];
}

/**
 * What a folder or file says of a model.
 *
 * @param given - the configuration, where the files' own is not to be asked
 * @throws Error naming the file or folder and what is missing or does not fit
 */
export async function describeModel(path: string, given?: ModelConfig): Promise<DescribedModel> {
  const { file, folder } = await findWeights(path);
  const opened = await (file.endsWith('.index.json') ? shardedSource(file) : fileSource(file));
  try {
    const source = unwrapped(opened);
    const naming = detectNaming(source);
    const { config, preprocess, assumptions } = await configOf(source, naming, folder, given);
    return { source, naming, config, preprocess, assumptions, ...(await tokenizerIn(folder, config)) };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** The file of weights, and the folder where the others lie. */
async function findWeights(path: string): Promise<{ file: string; folder: string }> {
  if ((await stat(path)).isFile()) return { file: path, folder: dirname(path) };
  const there = await readdir(path);
  const name = weightsAmong(there);
  if (name !== undefined) return { file: join(path, name), folder: path };
  const others = otherWeights(there);
  throw new Error(
    `${path}: has ${others.length === 0 ? 'no file of weights' : `several files of weights, ${others.join(', ')}`}; wanted is ` +
      `${HUGGING_FACE_CONFIG} with ${HUGGING_FACE_WEIGHTS[0]} (or ${HUGGING_FACE_WEIGHTS.slice(1).join(', ')}), ` +
      `${OPEN_CLIP_CONFIG} with ${OPEN_CLIP_WEIGHTS.join(' or ')}, or a single file of weights`,
  );
}

type Configured = Pick<DescribedModel, 'config' | 'preprocess' | 'assumptions'>;

async function configOf(
  source: TensorSource,
  naming: Naming,
  folder: string,
  given: ModelConfig | undefined,
): Promise<Configured> {
  const isHuggingFace = naming.library === 'hugging-face';
  const file = join(folder, isHuggingFace ? HUGGING_FACE_CONFIG : OPEN_CLIP_CONFIG);
  const json = await readJson(file);
  if (json === undefined) {
    const known = given ?? ownConfig(source);
    const { config, assumptions } = known ? { config: known, assumptions: [] } : inferConfig(source, naming);
    return { config, preprocess: usualPreprocess(config), assumptions };
  }
  if (isHuggingFace) {
    const config = given ?? fromHuggingFace(json, file);
    const preprocess = await huggingFacePreprocess(config, folder);
    return { config, preprocess, assumptions: [] };
  }
  const config = given ?? fromOpenClip(json, file, () => inferTrunk(source, naming));
  return { config, preprocess: preprocessOfOpenClip(json, file, config.vision.imageSize), assumptions: [] };
}

/** What a file says that this package wrote. */
function ownConfig({ file, metadata }: TensorSource): ModelConfig | undefined {
  const text = metadata?.clip_in_config;
  if (text === undefined) return undefined;
  return parseAs(modelConfigSchema, parseJson(text, file), file, 'a configuration in its header');
}

const isSiglip = ({ vision }: ModelConfig): boolean => vision.pool === 'attention';

const usualPreprocess = (config: ModelConfig): PreprocessOptions =>
  (isSiglip(config) ? SIGLIP_PREPROCESS : CLIP_PREPROCESS)(config.vision.imageSize);

async function huggingFacePreprocess(config: ModelConfig, folder: string): Promise<PreprocessOptions> {
  const file = join(folder, PROCESSOR_CONFIG);
  const json = await readJson(file);
  if (json === undefined) return usualPreprocess(config);
  return preprocessOfHuggingFace(json, file, config.vision.imageSize, isSiglip(config) ? 'siglip' : 'clip');
}

async function tokenizerIn(
  folder: string,
  config: ModelConfig,
): Promise<Pick<DescribedModel, 'tokenizer' | 'tokenizerFiles'>> {
  const file = join(folder, VOCABULARY_FILE);
  const json = await readJson(file);
  if (json !== undefined) {
    const vocabulary = parseAs(vocabularySchema, json, file, 'a cut vocabulary');
    return { tokenizer: await tokenizerOf(vocabulary), tokenizerFiles: [] };
  }
  const there = new Set(await readdir(folder));
  const files = TOKENIZER_FILES.filter((name) => there.has(name));
  if (files.includes(TOKENIZER_FILE) || files.includes('vocab.json')) {
    const tokenizer = within(config, await loadTokenizer(folder));
    return { tokenizer, tokenizerFiles: files.map((name) => join(folder, name)) };
  }
  const usual = clipTokenizer();
  const tokenizer = isSiglip(config)
    ? refusing(
        usual,
        `this model's texts need its own tokenizer, ${join(folder, TOKENIZER_FILE)}, which is missing`,
      )
    : within(config, usual);
  return { tokenizer, tokenizerFiles: [] };
}

/** A tokenizer whose ids the text tower knows; one that says so when asked, if it does not. */
function within({ text }: ModelConfig, tokenizer: Tokenizer): Tokenizer {
  if (text.vocabulary >= tokenizer.size) return tokenizer;
  return refusing(
    tokenizer,
    `the text tower knows ${text.vocabulary} ids and the tokenizer has ${tokenizer.size}; this model needs a tokenizer of its own`,
  );
}

/** A tokenizer that says why it cannot be used when it is: weights can be converted without one. */
const refusing = (tokenizer: Tokenizer, why: string): Tokenizer => ({
  ...tokenizer,
  encode() {
    throw new RangeError(why);
  },
});
