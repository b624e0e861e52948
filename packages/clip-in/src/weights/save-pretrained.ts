/** Models as others keep them: folders of Hugging Face's `transformers`, and of open_clip. */
import { copyFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { toJson } from '../checkpoint';
import { jsonFile, type WriteFile, writeFiles } from './atomic-files';
import { clipTokenizerFiles } from './clip-tokenizer-files';
import { familyOf, toHuggingFace } from './hugging-face-config';
import type { PretrainedModel } from './load-pretrained';
import { HUGGING_FACE_CONFIG, OPEN_CLIP_CONFIG, PROCESSOR_CONFIG, VOCABULARY_FILE } from './model-files';
import { huggingFaceClip, huggingFaceNaflex, huggingFaceSiglip } from './names-hugging-face';
import { openClip, openClipCustomText, openClipSiglip } from './names-open-clip';
import type { Naming } from './naming';
import { toOpenClip } from './open-clip-config';
import { toHuggingFacePreprocess, toOpenClipPreprocess } from './preprocess-config';
import { weightFiles } from './write-params';

const FAMILIES = { clip: huggingFaceClip, siglip: huggingFaceSiglip, naflex: huggingFaceNaflex } as const;

/** What `transformers` asks of a file, and our configuration for files that come without their folder. */
const metadataOf = ({ model }: PretrainedModel) => ({
  format: 'pt',
  clip_in_config: JSON.stringify(model.config),
});

/**
 * Saves a model as a folder that `transformers` reads: config.json, weights in f32, preprocessor_config.json, and the files
 * of the tokenizer. Other files of the folder stay.
 *
 * @throws Error saying what of the model `transformers` has no word for (rotary and stretched text towers), or naming the
 *   path that could not be written; files are whole or not there
 */
export async function saveHuggingFace(directory: string, pretrained: PretrainedModel): Promise<void> {
  const { model, params, preprocess, tokenizer } = pretrained;
  const family = familyOf(model.config);
  const ids = { end: tokenizer.end, pad: tokenizer.pad, ...startOf(tokenizer) };
  await writeFiles(
    directory,
    new Map([
      ...tokenizerFiles(pretrained),
      [
        PROCESSOR_CONFIG,
        jsonFile(toHuggingFacePreprocess(preprocess, family, model.config.vision.patchSize)),
      ],
      ...weightFiles(FAMILIES[family], params, { name: 'model', metadata: metadataOf(pretrained) }),
      [HUGGING_FACE_CONFIG, jsonFile(toHuggingFace(model.config, ids))],
    ]),
  );
}

/**
 * Saves a model under open_clip's names: a folder with open_clip_config.json and open_clip_model.safetensors, or the weights
 * alone.
 *
 * @param path - a folder, or a file whose name ends with `.safetensors`
 * @throws Error saying what of the model open_clip has no word for, or naming the path that could not be written; files are
 *   whole or not there
 */
export async function saveOpenClip(path: string, pretrained: PretrainedModel): Promise<void> {
  const { model, params, preprocess } = pretrained;
  const config = toOpenClip(model.config);
  const metadata = metadataOf(pretrained);
  const naming = openClipNaming(pretrained);
  if (path.endsWith('.safetensors')) {
    const name = basename(path, '.safetensors');
    return writeFiles(dirname(path), weightFiles(naming, params, { name, metadata, shardBytes: Infinity }));
  }
  const described = {
    model_cfg: config,
    preprocess_cfg: toOpenClipPreprocess(preprocess),
    clip_in_config: toJson(model.config),
  };
  await writeFiles(
    path,
    new Map([
      ...tokenizerFiles(pretrained),
      ...weightFiles(naming, params, { name: 'open_clip_model', metadata, shardBytes: Infinity }),
      [OPEN_CLIP_CONFIG, jsonFile(described)],
    ]),
  );
}

function openClipNaming({ model: { config } }: PretrainedModel): Naming {
  if (config.vision.pool === 'attention') return openClipSiglip;
  return config.text.positions === 'rotary' ? openClipCustomText : openClip;
}

const startOf = (tokenizer: object): { start?: number } =>
  'start' in tokenizer && typeof tokenizer.start === 'number' ? { start: tokenizer.start } : {};

/** Those that the model came with; a cut vocabulary in this package's own form; else those of CLIP. */
function tokenizerFiles({ model, tokenizer, tokenizerFiles = [] }: PretrainedModel): Map<string, WriteFile> {
  if (tokenizerFiles.length > 0) {
    return new Map(tokenizerFiles.map((file) => [basename(file), (path) => copyFile(file, path)]));
  }
  if ('toJSON' in tokenizer) return new Map([[VOCABULARY_FILE, jsonFile(tokenizer)]]);
  return clipTokenizerFiles(model.config.text.contextLength);
}
