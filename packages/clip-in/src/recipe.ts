/**
 * The whole recipe: measure a pretrained CLIP, distil its text tower into a rotary one (stage 1), train with CLIP-IN's
 * losses (stage 2), measure again. `clip-in train` and `clip-in demo` are this with a configuration.
 */
import { access, constants, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { clipTokenizer, type Tokenizer, TRAINING_HANDS } from '@clipin/data';
import { evaluate, leaves, randomKey } from '@clipin/tensor';
import type { Config } from './config';
import { configurations, type ModelConfig, withRotaryText } from './configurations';
import { type Encoders, encodersOf } from './evaluation/encoders';
import { type EvaluationSets, evaluationSets, type Measurement, measure } from './evaluation/measure';
import { openEventFile } from './eventFile';
import { type DualEncoderParams, dualEncoder } from './model';
import { saveModel, type TrainedModel } from './pretrained';
import { readsPadding, shortLengthOf } from './text-lengths';
import { messageOf } from './thrown';
import { openLog, type StepLog } from './training/log';
import { type Metrics, runStage, type Stage, type StageResult } from './training/loop';
import { checkSameSettings } from './training/resume';
import { distillation, fineTuning } from './training/stages';
import { captionBatches, openWorld, trainBatches, type World, worldTokenizer } from './training/world';
import { loadPretrained, type PretrainedModel } from './weights/load-pretrained';

/** What a caller is told while the recipe runs. */
export interface RecipeEvents {
  /** A stage begins, or goes on, after `done` of its steps; `examples` are pictures or texts of a step. */
  stage?(
    name: string,
    progress: { readonly done: number; readonly steps: number; readonly examples: number },
  ): void;
  step?(name: string, done: number, metrics: Metrics): void;
  measured?(when: 'before' | 'during' | 'after', step: number, measurement: Measurement): void;
}

/** How the recipe is run. */
export interface RecipeOptions {
  /** Go on from the checkpoints of the output directory. Default: start anew. */
  readonly resume?: boolean;
  /** Stops after the step under way, and saves. */
  readonly signal?: AbortSignal;
  readonly events?: RecipeEvents;
}

/** What came of it. */
export interface RecipeResult {
  readonly before: Measurement;
  /** Missing when the run was stopped before its end. */
  readonly after?: Measurement;
  readonly sets: EvaluationSets;
  readonly world: World;
  readonly trained: TrainedModel;
  /** The numbers of each stage's steps. */
  readonly logs: Readonly<Record<string, readonly StepLog[]>>;
}

/**
 * Runs both stages of a configuration, with measurements before and after.
 *
 * @throws Error when the output directory cannot be written, the starting model does not fit, the loss is not finite, or
 *   a run is to go on with other settings than its checkpoint's
 */
export async function runRecipe(
  config: Config,
  { resume = false, signal, events = {} }: RecipeOptions = {},
): Promise<RecipeResult> {
  const { data, evaluation, distillation: first, training: second, out } = config;
  await openOutput(out);
  const { tokenizer, ...teacher } = await startingModel(config);
  const hands = [...new Set([...TRAINING_HANDS, ...data.hands, evaluation.hand])];
  const world = openWorld(hands, tokenizer, teacher.preprocess);
  // At once for all stages: a run killed in stage 1 must not go on in stage 2 from what an earlier run left there.
  if (!resume) await rm(join(out, 'checkpoints'), { recursive: true, force: true });
  const canvas = teacher.model.config.vision.imageSize;
  const student = dualEncoder(withRotaryText(teacher.model.config, data.longLength));
  const sets = evaluationSets(evaluation);
  const figures = async (encoders: Encoders) => {
    const measured = await measure(encoders, sets, world, canvas);
    encoders.dispose();
    return measured;
  };
  const encode = encodersOf(student);
  const logs: Record<string, readonly StepLog[]> = {};

  const before = await figures(encodersOf(teacher.model)(teacher.params));
  events.measured?.('before', 0, before);
  const result = { before, sets, world, logs };

  const run = async <State, Batch>(
    stage: Stage<State, Batch>,
    examples: number,
    after?: (done: number, state: State) => Promise<void>,
  ): Promise<StageResult<State>> => {
    const recording = recorder(out, stage.name);
    try {
      return await runStage(stage, {
        directory: join(out, 'checkpoints'),
        saveEvery: config.checkpoints.every,
        keep: config.checkpoints.keep,
        resume,
        config,
        checkResume: (saved) => checkSameSettings(saved, config),
        ...(signal && { signal }),
        onStart(done) {
          logs[stage.name] = recording.start(done);
          events.stage?.(stage.name, { done, steps: stage.steps, examples });
        },
        async onStep(done, metrics, state) {
          recording.step(done, metrics);
          events.step?.(stage.name, done, metrics);
          await after?.(done, state);
        },
      });
    } finally {
      recording.close();
    }
  };

  // Where padding is not seen, texts need none; where it is, they have just the length that the teacher was trained with.
  const packed = !readsPadding(teacher.model.config.text);
  const length = Math.min(data.longLength, shortLengthOf(teacher.model.config.text));
  const captions = { ...world, packed, seed: data.seed, split: 'train', batch: first.batch, length } as const;
  const distilled = await run(
    distillation(teacher.model, student, teacher.params.text, first, (from) =>
      captionBatches(captions, from),
    ),
    first.batch,
  );
  const { tokens, ...replaced } = teacher.params.text;
  // Without a step it still waits to be copied from the teacher's.
  const text = evaluate({ ...distilled.state.params, tokens });
  const { logitBias: _, ...kept } = teacher.params; // the student's configuration has none
  const start: DualEncoderParams = { ...kept, text };
  const trainedAs = (params: DualEncoderParams): TrainedModel => ({ ...teacher, model: student, params });
  if (!distilled.finished) return { ...result, trained: trainedAs(start) };
  // At once: the next stage takes four times the model's memory, and garbage is collected at nobody's bidding.
  dispose([replaced, distilled.state.optimizer]);

  const mixed = {
    ...world,
    ...data,
    packed,
    canvas,
    split: 'train',
    triplets: second.triplets,
    edits: second.edits,
  } as const;
  const tuned = await run(
    fineTuning(student, start, second, second, (from) => trainBatches(mixed, from, second.steps)),
    second.triplets + (second.loss === 'negclip' ? 1 : 2) * second.edits,
    async (done, { params }) => {
      if (evaluation.every === 0 || done % evaluation.every !== 0 || done === second.steps) return;
      events.measured?.('during', done, await figures(encode(params)));
    },
  );
  const trained = trainedAs(tuned.state.params);
  if (!tuned.finished) return { ...result, trained };
  dispose(tuned.state.optimizer);
  const after = await figures(encode(trained.params));
  events.measured?.('after', tuned.done, after);
  await saveModel(join(out, 'model'), trained, {
    step: tuned.done,
    metrics: { pairAccuracy: after.pairAccuracy },
    settings: config,
  });
  return { ...result, trained, after };
}

/** Gives back the memory of a tree that nobody reads any more. */
function dispose(tree: unknown): void {
  for (const { tensor } of leaves(tree)) tensor.dispose();
}

/** Makes the output directory. @throws Error naming it when nothing can be written there, before time is spent */
async function openOutput(out: string): Promise<void> {
  try {
    await mkdir(out, { recursive: true });
    await access(out, constants.W_OK);
  } catch (cause) {
    throw new Error(`out: cannot write into ${out}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** A model to start from, with the tokenizer of its vocabulary. */
interface StartingModel extends TrainedModel {
  readonly tokenizer: Tokenizer;
}

/** The model that the configuration names, or one with random weights. */
async function startingModel({ start, model, seed, data }: Config): Promise<StartingModel> {
  if (start !== null) return publishedModel(start, data);
  const tokenizer = worldTokenizer();
  const made = dualEncoder(modelConfigOf(model, data, tokenizer.size));
  return { model: made, params: made.init(randomKey(seed)), vocabulary: tokenizer.toJSON(), tokenizer };
}

/** A saved or published model, checked against what the recipe draws and writes for it. */
async function publishedModel(start: string, data: Config['data']): Promise<StartingModel> {
  const loaded = await loadPretrained(start);
  const { model, params, tokenizer, preprocess } = loaded;
  const refuse = (what: string): never => {
    throw new Error(`${start}: ${what}`);
  };
  const { imageSize } = model.config.vision;
  if (imageSize !== data.canvas) {
    refuse(`its images are ${imageSize} pixels wide, data.canvas is ${data.canvas}; make them equal`);
  }
  checkLengths(model.config, data, refuse);
  return { model, params, tokenizer, preprocess, vocabulary: vocabularyOf(loaded, refuse) };
}

/** A text tower that reads padding embeds a text otherwise at another length. */
function checkLengths({ text }: ModelConfig, data: Config['data'], refuse: (what: string) => never): void {
  if (!readsPadding(text)) return;
  const [short, { shortLength, longLength }] = [shortLengthOf(text), data];
  if (shortLength !== short) {
    refuse(
      `its text tower reads padding, and was trained with texts of ${short} tokens; data.shortLength is ${shortLength}, wants ${short}`,
    );
  }
  if (longLength < short) {
    refuse(
      `its text tower reads padding, and was trained with texts of ${short} tokens; data.longLength is ${longLength}, wants ${short} or more`,
    );
  }
}

/** All of CLIP's vocabulary, just the words of the small world, or what the tokenizer's files say. */
function vocabularyOf(
  { tokenizer, tokenizerFiles = [] }: PretrainedModel,
  refuse: (what: string) => never,
): TrainedModel['vocabulary'] {
  const own = worldTokenizer().toJSON();
  if (tokenizer.size === clipTokenizer().size) return 'clip';
  if ('toJSON' in tokenizer && JSON.stringify(tokenizer) === JSON.stringify(own)) return own;
  const [first, ...rest] = tokenizerFiles;
  if (first !== undefined) return { format: 'tokenizer files', files: [first, ...rest] };
  return refuse(
    `its vocabulary has ${tokenizer.size} ids; the recipe wants CLIP's, that of a tokenizer.json in its folder, or the ${own.ids.length} of the scenes' words: pretrain it anew`,
  );
}

/** Sizes of a model for the data at hand. */
function modelConfigOf(model: Config['model'], data: Config['data'], vocabulary: number): ModelConfig {
  const base = typeof model === 'string' ? configurations[model] : configurations['small-world'];
  const sizes =
    typeof model === 'string'
      ? base
      : {
          embedding: model.embedding,
          vision: { ...base.vision, ...model.vision },
          text: { ...base.text, ...model.text },
        };
  return {
    ...sizes,
    vision: { ...sizes.vision, imageSize: data.canvas },
    text: { ...sizes.text, vocabulary, contextLength: data.shortLength },
  };
}

/** Writes the numbers of a stage to its log and to an event file for TensorBoard. */
function recorder(out: string, stage: string) {
  let log: ReturnType<typeof openLog> | undefined;
  let file: ReturnType<typeof openEventFile> | undefined;
  return {
    start(done: number): readonly StepLog[] {
      log = openLog(join(out, 'logs', `${stage}.jsonl`), done);
      file = openEventFile(join(out, 'events', stage), done > 0 ? { resumeAfter: done } : {});
      return log.entries;
    },
    step(done: number, metrics: Metrics): void {
      log?.add({ step: done, metrics });
      file?.scalars(done, metrics);
    },
    close(): void {
      file?.close();
    },
  };
}
