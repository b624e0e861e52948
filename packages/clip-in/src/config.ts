/**
 * The one configuration of a run: every setting with its type, range, default and meaning. How a wrong one is explained
 * is in `configErrors.ts`; what the settings do is where they are used.
 */
import { readFile } from 'node:fs/promises';
import { EDIT_KIND_NAMES, HANDS, SPLITS, TRAINING_HANDS, UNSEEN_HAND } from '@clipin/data';
import { z } from 'zod';
import { explain, type SchemaNode } from './configErrors';
import { configurations, type ModelName } from './configurations';
import { messageOf } from './thrown';

const count = () => z.int().min(1);
const countOrNone = () => z.int().min(0);
const positive = () => z.number().positive();

/** Settings of AdamW and its schedule, with the defaults of a stage. */
const optimizerSettings = (defaults: { learningRate: number; warmup: number }) => ({
  learningRate: positive()
    .default(defaults.learningRate)
    .describe('highest learning rate, reached after the warm-up; a cosine takes it down to 0'),
  warmup: countOrNone().default(defaults.warmup).describe('steps in which the learning rate rises from 0'),
  weightDecay: z
    .number()
    .min(0)
    .default(0.1)
    .describe('of matrices; gains, biases and the logit scale have none'),
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .default([0.9, 0.98])
    .describe("AdamW's decay rates of the first and second moment"),
  epsilon: positive().default(1e-6).describe("AdamW's epsilon"),
  clipNorm: positive()
    .nullable()
    .default(1)
    .describe('gradients are scaled down to this global norm; null: never'),
});

const towerSizes = {
  width: count().describe('channels of a token'),
  depth: count().describe('transformer blocks'),
  heads: count().describe('attention heads; the width is a multiple of it'),
};

const modelSizes = z.strictObject({
  embedding: count().describe('channels of the space that both towers share'),
  vision: z.strictObject({ patchSize: count().describe('side of a patch in pixels'), ...towerSizes }),
  text: z.strictObject(towerSizes),
});

const dataSettings = z.strictObject({
  seed: countOrNone().default(0).describe('which scenes and edits are drawn'),
  hands: z
    .array(z.enum(HANDS))
    .min(1)
    .default([...TRAINING_HANDS])
    .describe('artists of the training pictures'),
  kinds: z
    .array(z.enum(EDIT_KIND_NAMES))
    .min(1)
    .default([...EDIT_KIND_NAMES])
    .describe('kinds of edit to train on'),
  canvas: z.int().min(16).default(48).describe('side of the pictures in pixels'),
  shortLength: z.int().min(4).default(28).describe('tokens of a short caption, start and end included'),
  longLength: z.int().min(4).default(64).describe('tokens of a long caption, start and end included'),
});

const distillationSettings = z
  .strictObject({
    steps: countOrNone().default(200).describe('steps of stage 1; 0 leaves it out'),
    batch: count().default(64).describe('captions in a step'),
    ...optimizerSettings({ learningRate: 1e-3, warmup: 20 }),
  })
  .superRefine(warmupFits);

const trainingSettings = z
  .strictObject({
    steps: countOrNone().default(400).describe('steps of stage 2; 0 leaves it out'),
    triplets: countOrNone().default(48).describe('pictures with a short and a long caption in a step'),
    edits: countOrNone().default(48).describe('pairs of a source and an edited picture in a step'),
    loss: z
      .enum(['clip', 'negclip', 'tripletclip', 'clip-in'])
      .default('clip-in')
      .describe('what is made of the edits: ordinary pairs, or hard negatives in one of three ways'),
    longCaptions: z.boolean().default(true).describe('whether the loss of long captions is added'),
    hardNegativeWeight: z
      .number()
      .min(0)
      .default(1)
      .describe("factor of the edits' loss; the paper draws none, so 1"),
    ...optimizerSettings({ learningRate: 1e-3, warmup: 40 }),
  })
  .superRefine(warmupFits);

const evaluationSettings = z.strictObject({
  every: countOrNone()
    .default(0)
    .describe('measure after so many steps of stage 2; 0: only before and after'),
  split: z.enum(SPLITS).default('test').describe('scenes to measure on'),
  hand: z.enum(HANDS).default(UNSEEN_HAND).describe('artist of the pictures to measure on'),
  pairsPerKind: count().default(25).describe('edit pairs of each kind'),
  gallery: z.int().min(2).default(200).describe('pictures that a caption is to find its own among'),
});

const checkpointSettings = z.strictObject({
  every: count().default(100).describe('save after so many steps'),
  keep: count().default(2).describe('how many of the newest to keep'),
});

const schema = z.strictObject({
  seed: countOrNone().default(0).describe('of the random weights'),
  device: z
    .enum(['auto', 'webgpu', 'wasm', 'reference'])
    .default('auto')
    .describe('auto: a GPU if there is one, else wasm'),
  threads: count().nullable().default(null).describe('threads of the wasm device; null: one for each core'),
  out: z
    .string()
    .min(1)
    .default('runs/train')
    .describe('directory of checkpoints, event files and the report'),
  start: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe('checkpoint of the model to start from; null: random weights'),
  model: z
    .union([z.enum(Object.keys(configurations) as [ModelName, ...ModelName[]]), modelSizes])
    .default('small-world')
    .describe('name of a model, or its sizes'),
  data: dataSettings.prefault({}).describe('the world of emoji scenes'),
  distillation: distillationSettings
    .prefault({})
    .describe('stage 1: the rotary text tower learns from the absolute one'),
  training: trainingSettings.prefault({}).describe('stage 2: short captions, long captions and edits'),
  evaluation: evaluationSettings.prefault({}).describe('how the model is measured'),
  checkpoints: checkpointSettings.prefault({}).describe('what is kept of a run'),
});

/** Every setting of a run. */
export type Config = z.output<typeof schema>;
/** A configuration as it is written: whatever is left out has its default. */
export type ConfigInput = z.input<typeof schema>;
/** Sizes of a model that has no name. */
export type ModelSizes = z.output<typeof modelSizes>;
/** What is made of the edits. */
export type LossName = Config['training']['loss'];

/**
 * Fills in the defaults.
 *
 * @param source - where the configuration is from, for the message
 * @throws Error listing every unknown key and bad value by its path, with what fits
 */
export function parseConfig(input: unknown = {}, source = 'configuration'): Config {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const lines = explain(result.error.issues, input, configJsonSchema());
  throw new Error(
    `${source}: ${lines.length === 1 ? '' : `${lines.length} mistakes\n  `}${lines.join('\n  ')}`,
  );
}

/** What changes the configuration of a file. */
export interface LoadOptions {
  /** `path=value` each, such as `training.steps=500`; the value is JSON, or else taken as text. The last one counts. */
  readonly overrides?: readonly string[];
}

/**
 * Reads a JSON file, or takes settings that a program has, and changes them.
 *
 * @param from - default: all settings have their defaults
 * @throws Error naming the file when it cannot be read or is not JSON, and as {@link parseConfig}
 */
export async function loadConfig(
  from: string | ConfigInput = {},
  { overrides = [] }: LoadOptions = {},
): Promise<Config> {
  const settings = typeof from === 'string' ? await readJson(from) : from;
  const parts = [typeof from === 'string' && from, overrides.length > 0 && 'command line'].filter(
    (part) => part !== false,
  );
  return parseConfig(
    overrides.reduce<unknown>(withOverride, settings),
    parts.join(' and ') || 'configuration',
  );
}

/** A JSON schema of the configuration, with defaults and descriptions, for editors. */
export function configJsonSchema(): SchemaNode {
  return z.toJSONSchema(schema, { io: 'input' }) as SchemaNode;
}

/** All settings, one a line: path, default and meaning. */
export function listSettings(): string {
  const rows: [string, string][] = [];
  const walk = (node: SchemaNode, path: string): void => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      const own = path === '' ? key : `${path}.${key}`;
      if (child.properties) walk(child, own);
      else rows.push([`${own}=${shorten(JSON.stringify(child.default))}`, child.description ?? '']);
    }
  };
  walk(configJsonSchema(), '');
  const width = Math.max(...rows.map(([setting]) => setting.length));
  return rows.map(([setting, meaning]) => `  ${setting.padEnd(width)}  ${meaning}`).join('\n');
}

const shorten = (text: string): string => (text.length > 24 ? `${text.slice(0, 22)}…]` : text);

function warmupFits({ steps, warmup }: { steps: number; warmup: number }, context: z.RefinementCtx): void {
  if (steps > 0 && warmup > steps) {
    context.addIssue({
      code: 'custom',
      path: ['warmup'],
      message: `a warm-up of ${warmup} steps does not fit into ${steps} steps`,
    });
  }
}

async function readJson(file: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new Error(`configuration: cannot read ${file}: ${messageOf(cause)}`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${file}: is not JSON: ${messageOf(cause)}`, { cause });
  }
}

function withOverride(settings: unknown, override: string): unknown {
  const equals = override.indexOf('=');
  if (equals < 1) throw new Error(`--set ${override}: needs path=value, such as training.steps=500`);
  return setAt(settings, override.slice(0, equals).split('.'), parseValue(override.slice(equals + 1)));
}

function setAt(into: unknown, [key = '', ...rest]: string[], value: unknown): Record<string, unknown> {
  const known =
    typeof into === 'object' && into !== null && !Array.isArray(into)
      ? (into as Record<string, unknown>)
      : {};
  return { ...known, [key]: rest.length === 0 ? value : setAt(known[key], rest, value) };
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
