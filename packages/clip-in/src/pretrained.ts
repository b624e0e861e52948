/** Whole models on disk: parameters, with the configuration and the vocabulary that they belong to. */
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  clipTokenizer,
  loadTokenizer,
  type PreprocessOptions,
  type RestrictedVocabulary,
  restoreTokenizer,
  type Tokenizer,
} from '@clipin/data';
import { type ActivationName, activations } from '@clipin/nn';
import { randomKey } from '@clipin/tensor';
import { z } from 'zod';
import { type Json, loadCheckpoint, saveCheckpoint, toJson } from './checkpoint';
import { type DualEncoder, type DualEncoderParams, dualEncoder } from './model';
import { recordToTree, treeToRecord } from './treeRecord';

/** A tokenizer that is made from files of one folder (SigLIP's). Saving a model copies them into its checkpoint. */
export interface TokenizerFiles {
  readonly format: 'tokenizer files';
  /** Paths; in a checkpoint, names. */
  readonly files: readonly [string, ...string[]];
}

/** The ids that a text tower knows: all of CLIP's vocabulary, those that are left of it, or those of another tokenizer. */
export type Vocabulary = 'clip' | RestrictedVocabulary | TokenizerFiles;

/** A model with parameters. */
export interface TrainedModel {
  readonly model: DualEncoder;
  readonly params: DualEncoderParams;
  readonly vocabulary: Vocabulary;
  /** How its pictures are prepared. Default: CLIP's way, `CLIP_PREPROCESS`. */
  readonly preprocess?: PreprocessOptions;
}

/** The tokenizer of a vocabulary. */
export async function tokenizerOf(vocabulary: Vocabulary): Promise<Tokenizer> {
  if (vocabulary === 'clip') return clipTokenizer();
  if (vocabulary.format === 'tokenizer files') return await loadTokenizer(dirname(vocabulary.files[0]));
  return restoreTokenizer(clipTokenizer(), vocabulary);
}

/** The plain CLIP of the small world that comes with this package; `examples/pretrain.ts` made it. */
export const smallWorldCheckpoint = fileURLToPath(
  new URL('../pretrained/small-world/model', import.meta.url),
);

const size = z.int().min(1);
const positive = z.number().positive();
const yes = z.boolean().exactOptional();
const tower = {
  width: size,
  depth: size,
  heads: size,
  mlpHidden: size.exactOptional(),
  epsilon: positive.exactOptional(),
  activation: z.enum(Object.keys(activations) as [ActivationName, ...ActivationName[]]),
};
/** A configuration in a file. */
export const modelConfigSchema = z.strictObject({
  embedding: size,
  vision: z.strictObject({
    imageSize: size,
    patchSize: size,
    ...tower,
    pool: z.enum(['class', 'mean', 'attention']),
    patchBias: yes,
    lnPre: yes,
    projection: yes,
    naflex: yes,
  }),
  text: z.strictObject({
    vocabulary: size,
    contextLength: size,
    shortLength: size.exactOptional(),
    ...tower,
    positions: z.enum(['absolute', 'stretched', 'rotary']),
    rotaryBase: positive.exactOptional(),
    causal: yes,
    pool: z.enum(['end', 'last']).exactOptional(),
    projectionBias: yes,
  }),
  logitBias: yes,
});

/** A cut vocabulary in a file. */
export const vocabularySchema = z.object({
  format: z.literal('clip-in vocabulary 1'),
  ids: z.array(z.int().min(0)),
});

const tokenizerFilesSchema = z.object({
  format: z.literal('tokenizer files'),
  files: z.tuple([z.string()], z.string()),
});

const perChannel = z.tuple([z.number(), z.number(), z.number()]);
const preprocessSchema = z.object({
  size,
  resize: z.enum(['shorter-side', 'squash']),
  mean: perChannel,
  std: perChannel,
  interpolation: z.enum(['bicubic', 'bilinear']).exactOptional(),
  rgbFirst: yes,
  orient: yes,
});

const schema = z.object({
  model: modelConfigSchema,
  vocabulary: z.union([z.literal('clip'), vocabularySchema, tokenizerFilesSchema]),
  preprocess: preprocessSchema.exactOptional(),
});

/** Saves a model as a checkpoint at `path`, replacing one of that name. */
export async function saveModel(
  path: string,
  { model, params, vocabulary, preprocess }: TrainedModel,
  {
    step,
    metrics = {},
    settings = {},
  }: { readonly step: number; readonly metrics?: object; readonly settings?: object },
): Promise<void> {
  const files = tokenizerFilesOf(vocabulary);
  const named = withFiles(vocabulary, (file) => basename(file));
  const config = toJson({ model: model.config, vocabulary: named, preprocess, settings });
  const info = { step, config, metrics: toJson(metrics) };
  await saveCheckpoint(
    dirname(path),
    basename(path),
    { tensors: await treeToRecord(params), info },
    { files },
  );
}

/**
 * Loads a model that `saveModel` wrote.
 *
 * @throws Error naming the path and what does not fit: no checkpoint, not a model's, tensors missing or of other shapes
 */
export async function loadModel(path: string): Promise<TrainedModel> {
  const { tensors, info, path: found } = await loadCheckpoint(path);
  const { model: config, vocabulary, preprocess } = parse(info.config, path);
  const model = dualEncoder(config);
  return {
    model,
    params: recordToTree(model.init(randomKey(0)), tensors),
    vocabulary: withFiles(vocabulary, (name) => join(found, name)),
    ...(preprocess && { preprocess }),
  };
}

/** The files of a vocabulary that is kept in some. */
export const tokenizerFilesOf = (vocabulary: Vocabulary): readonly string[] =>
  vocabulary !== 'clip' && vocabulary.format === 'tokenizer files' ? vocabulary.files : [];

function withFiles(vocabulary: Vocabulary, rename: (file: string) => string): Vocabulary {
  if (vocabulary === 'clip' || vocabulary.format !== 'tokenizer files') return vocabulary;
  const [first, ...rest] = vocabulary.files;
  return { ...vocabulary, files: [rename(first), ...rest.map(rename)] };
}

function parse(config: Json, path: string): z.output<typeof schema> {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  throw new Error(`${path}: is not the checkpoint of a model:\n${z.prettifyError(result.error)}`);
}
