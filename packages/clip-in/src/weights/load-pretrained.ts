/** Published models from files: whatever the layout, parameters, tokenizer and preprocessing that belong together. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { CLIP_PREPROCESS, type PreprocessOptions, type Tokenizer } from '@clipin/data';
import { resizePositions } from '@clipin/nn';
import { type Device, defaultDevice, evaluate, randomKey } from '@clipin/tensor';
import { configurations, type ModelConfig, type ModelName } from '../configurations';
import { type DualEncoder, type DualEncoderParams, dualEncoder } from '../model';
import { loadModel, tokenizerFilesOf, tokenizerOf } from '../pretrained';
import { describeModel } from './describe-model';
import { halveWeights, type WeightDType } from './half-weights';
import { fetchFromHub, type HubOptions, isHubId } from './hub';
import { placeTowers, type TowerDevices } from './place-towers';
import { digestOfParams, readParams } from './read-params';

/** A model with parameters, and what belongs to it: how its texts and images are prepared. */
export interface PretrainedModel {
  readonly model: DualEncoder;
  readonly params: DualEncoderParams;
  readonly tokenizer: Tokenizer;
  /** Files from which the tokenizer was made, which saving copies. Default: none, as for CLIP's own. */
  readonly tokenizerFiles?: readonly string[];
  readonly preprocess: PreprocessOptions;
  /** What it is called: the folder's or file's name, or the hub's id. */
  readonly name: string;
  /** A hash of the weights and the configuration, for caches: the same whatever files they came from. */
  readonly fingerprint: string;
  /** What no file said and had to be assumed, in sentences; `config` overrules it. Default: nothing. */
  readonly assumptions?: readonly string[];
}

/** Options of {@link loadPretrained}. */
export interface LoadPretrainedOptions extends HubOptions {
  /**
   * The configuration, by name or whole. A bare state dictionary does not tell all of it, its activation for one: then the
   * result says what was assumed. Default: what the files say, and what the shapes of the tensors tell.
   */
  readonly config?: ModelName | ModelConfig;
  /** Side of the images, if not the model's own: the positions are resized, bicubic with antialias as in open_clip. */
  readonly imageSize?: number;
  /**
   * Element type of the weights on the device. `f16`: matrices and tables in half precision, half the memory, computed with in
   * f32; of files in half precision not a bit is lost. Default: f32.
   */
  readonly dtype?: WeightDType;
  /** Devices of the towers; the logit scale is on the text's. Default: the default device for both, if it has room for them. */
  readonly devices?: TowerDevices;
  /**
   * Starts one more device, for the text tower where the default device has no room for both: wasm, and a model of about a
   * billion parameters. Whoever starts it stops it. Default: such a model is refused.
   */
  readonly another?: () => Promise<Device>;
}

/**
 * Loads a model with its tokenizer and preprocessing.
 *
 * @param source - a folder of Hugging Face's `transformers` or of open_clip; a file of weights, safetensors or PyTorch's, also
 *   OpenAI's; what `saveModel` wrote; or, if there is no such file or folder, the id of a model on the hub, `owner/name`
 * @throws Error naming the file and what does not fit; tensors that are missing, left over or of another shape are listed
 *   together
 */
export async function loadPretrained(
  source: string,
  { config, imageSize, dtype = 'f32', devices, another, ...hub }: LoadPretrainedOptions = {},
): Promise<PretrainedModel> {
  const given = typeof config === 'string' ? named(config) : config;
  if (dtype !== 'f32' && dtype !== 'f16')
    throw new TypeError(`loadPretrained: dtype is '${dtype}'; 'f32' and 'f16' would fit`);
  const loaded = await loadFrom(source, given, { devices, another, dtype }, hub);
  return imageSize === undefined ? loaded : withImageSize(loaded, imageSize);
}

/** Where towers go, where the caller says or where there is room, and as what. */
interface Placing {
  readonly dtype: WeightDType;
  readonly devices: TowerDevices | undefined;
  readonly another: (() => Promise<Device>) | undefined;
}

async function loadFrom(
  source: string,
  given: ModelConfig | undefined,
  placing: Placing,
  hub: HubOptions,
): Promise<PretrainedModel> {
  if (await exists(source)) {
    return (await isSavedModel(source))
      ? loadSaved(source, placing.dtype)
      : loadPublished(source, given, placing);
  }
  if (!isHubId(source)) {
    throw new Error(`${source}: there is no such file or folder, and it is no id on the hub, owner/name`);
  }
  return { ...(await loadPublished(await fetchFromHub(source, hub), given, placing)), name: source };
}

/** The weights alone do not say what is computed with them: `gelu` and `quickGelu` have the same. */
const fingerprint = (config: ModelConfig, digest: string): string =>
  createHash('sha256').update(canonical(config)).update(digest).digest('hex');

/** JSON that does not depend on the order in which a configuration was put together. */
const canonical = (config: ModelConfig): string =>
  JSON.stringify(config, (_, value: unknown) =>
    typeof value === 'object' && value !== null
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );

function named(name: string): ModelConfig {
  const found = Object.entries(configurations).find(([known]) => known === name)?.[1];
  if (found) return found;
  throw new Error(`there is no configuration "${name}"; there are ${Object.keys(configurations).join(', ')}`);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

const nameOf = (path: string): string => basename(resolve(path));

/** Files by which a checkpoint of this package, or a folder of them, is known. */
const isSavedModel = async (path: string): Promise<boolean> =>
  (await exists(join(path, 'checkpoint.json'))) || exists(join(path, 'latest'));

async function loadSaved(path: string, dtype: WeightDType): Promise<PretrainedModel> {
  const { model, params: saved, vocabulary, preprocess } = await loadModel(path);
  const params = dtype === 'f16' ? halveWeights(saved) : saved;
  return {
    model,
    params,
    tokenizer: await tokenizerOf(vocabulary),
    tokenizerFiles: tokenizerFilesOf(vocabulary),
    preprocess: preprocess ?? CLIP_PREPROCESS(model.config.vision.imageSize),
    name: nameOf(path),
    fingerprint: fingerprint(model.config, await digestOfParams(params)),
  };
}

async function loadPublished(
  path: string,
  given: ModelConfig | undefined,
  placing: Placing,
): Promise<PretrainedModel> {
  const { source, naming, config, assumptions, ...prepared } = await describeModel(path, given);
  const model = dualEncoder(config);
  try {
    const { dtype, another } = placing;
    const devices = placing.devices ?? (await placeTowers(model, defaultDevice(), another, undefined, dtype));
    const { params, digest } = await readParams(source, naming, templateOf(model, devices), dtype);
    return {
      model,
      params,
      ...prepared,
      name: nameOf(path),
      fingerprint: fingerprint(config, digest),
      ...(assumptions.length > 0 && { assumptions }),
    };
  } finally {
    await source.close();
  }
}

/** Parameters of the right shapes, each on the device where the read ones are to be. */
function templateOf(model: DualEncoder, devices: TowerDevices): DualEncoderParams {
  const template = model.init(randomKey(0, { device: devices.text }));
  return { ...template, image: model.image.init(randomKey(0, { device: devices.image })) };
}

function withImageSize(loaded: PretrainedModel, imageSize: number): PretrainedModel {
  const { model, params, preprocess } = loaded;
  const { vision } = model.config;
  const grid = (side: number) => Math.floor(side / vision.patchSize);
  if (!Number.isInteger(imageSize) || grid(imageSize) < 1) {
    throw new RangeError(
      `loadPretrained: imageSize ${imageSize}; wants a whole number of at least a patch, ${vision.patchSize}`,
    );
  }
  const config = { ...model.config, vision: { ...vision, imageSize } };
  const [from, to] = [grid(vision.imageSize), grid(imageSize)];
  const positions =
    from === to
      ? params.image.positions
      : evaluate(
          resizePositions(params.image.positions, { from: [from, from], to: [to, to] }).cast(
            params.image.positions.dtype,
          ),
        );
  return {
    ...loaded,
    model: dualEncoder(config),
    params: { ...params, image: { ...params.image, positions } },
    preprocess: { ...preprocess, size: imageSize },
    fingerprint: fingerprint(config, loaded.fingerprint),
  };
}
