/** The model that a command of the command line is to use, and what these commands need to know of it. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Tokenizer } from '@clipin/data';
import { smallWorldCheckpoint } from '../pretrained';
import { messageOf } from '../thrown';
import { type LoadPretrainedOptions, loadPretrained, type PretrainedModel } from '../weights/load-pretrained';
import type { LogitOptions } from './classify';
import type { IndexModel } from './picture-index';

/** What the model of this package is called on the command line. */
export const SMALL_WORLD = 'small-world';

/** For the help of `--model`. */
export const MODEL_HELP =
  `a folder or file of published weights, an id of the Hugging Face hub, a checkpoint of clip-in, or ${SMALL_WORLD}: ` +
  'the little model of this package, which knows nothing but emoji';

/** Loads a model by what `--model` says; see {@link loadPretrained}. What had to be assumed of it goes to standard error. */
export async function loadNamed(
  source: string,
  options: LoadPretrainedOptions = {},
): Promise<PretrainedModel> {
  if (source === SMALL_WORLD) {
    return { ...(await loadPretrained(smallWorldCheckpoint, options)), name: SMALL_WORLD };
  }
  const loaded = await loadPretrained(source, options);
  for (const assumption of loaded.assumptions ?? []) console.error(`assumed: ${assumption}`);
  return loaded;
}

/**
 * The same for pictures as people have them: turned upright as a camera says, which the reference code of benchmarks does
 * not do.
 */
export async function loadForUse(
  source: string,
  options: LoadPretrainedOptions = {},
): Promise<PretrainedModel> {
  const pretrained = await loadNamed(source, options);
  return { ...pretrained, preprocess: { ...pretrained.preprocess, orient: true } };
}

/** What an index keeps of a model. Its fingerprint is of weights and preprocessing, since both make an embedding. */
export function indexModelOf(pretrained: PretrainedModel, source: string): IndexModel {
  const { name, fingerprint, preprocess, model } = pretrained;
  return {
    // A path must lead there from any directory.
    source: source !== SMALL_WORLD && existsSync(source) ? resolve(source) : source,
    name,
    fingerprint: createHash('sha256')
      .update(JSON.stringify([fingerprint, preprocess]))
      .digest('hex'),
    width: model.config.embedding,
  };
}

/** How the model's cosines become probabilities. */
export async function logitsOf({
  params: { logitScale, logitBias },
}: Pick<PretrainedModel, 'params'>): Promise<LogitOptions> {
  const [logScale = 0] = await logitScale.data();
  const [bias] = (await logitBias?.data()) ?? [];
  return { scale: Math.exp(logScale), ...(bias !== undefined && { bias }) };
}

/**
 * Says for each text that the model cannot read to its end how much it has and how much is read.
 * @throws Error if there are words that the model does not know at all, as there are for one that was trained on few
 */
export function cutTexts(
  { tokenizer, model, name }: Pick<PretrainedModel, 'tokenizer' | 'model' | 'name'>,
  texts: readonly string[],
): string[] {
  const { contextLength } = model.config.text;
  return texts.flatMap((text) => {
    const tokens = countTokens(tokenizer, text, name);
    const start = text.length > 60 ? `${text.slice(0, 57)}…` : text;
    return tokens <= contextLength
      ? []
      : [`"${start}" has ${tokens} tokens, of which the model reads the first ${contextLength}`];
  });
}

function countTokens(tokenizer: Tokenizer, text: string, name: string): number {
  try {
    return tokenizer.encode(text).length;
  } catch (cause) {
    const reason = messageOf(cause);
    throw new Error(`the model ${name} cannot read "${text}"; ${reason}`, { cause });
  }
}
