/**
 * The training loop of every stage: feeds batches to a compiled step, reports, saves, stops when asked to, and goes on
 * where a checkpoint left off. What a step computes is the stage's business.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tensor } from '@clipin/tensor';
import { latestCheckpoint, loadCheckpoint, saveCheckpoint, toJson } from '../checkpoint';
import { recordToTree, treeToRecord } from '../treeRecord';

/** What a step returns: the next state, and scalars to report, the loss first among them. */
export interface StepResult<State> {
  readonly state: State;
  readonly metrics: { readonly loss: Tensor } & Readonly<Record<string, Tensor>>;
}

/** Scalars of one step, as numbers. */
export type Metrics = { readonly loss: number } & Readonly<Record<string, number>>;

/** One stage of training. */
export interface Stage<State, Batch> {
  /** Names checkpoints and curves: `distil`, `clip-in`. */
  readonly name: string;
  readonly steps: number;
  /** The state before the first step: a tree of tensors (a checkpoint replaces their values). */
  readonly initial: State;
  /** A pure, compiled function; the loop disposes of its memory in the end. */
  readonly step: {
    (state: State, batch: Batch): StepResult<State>;
    dispose?(): void;
  };
  /** Batches from step `from` on, in order; ended by the loop. */
  readonly batches: (from: number) => AsyncIterable<Batch>;
}

/** How a stage is run. */
export interface RunOptions<State> {
  /** Where checkpoints go, in a directory of the stage's name. Default: none are written. */
  readonly directory?: string;
  /** Steps between checkpoints. Default: only at the end and when stopped. */
  readonly saveEvery?: number;
  /** Go on from the stage's latest checkpoint, if there is one; else those of an earlier run are deleted. Default: false. */
  readonly resume?: boolean;
  /** How many checkpoints to keep. Default: 2. */
  readonly keep?: number;
  /** The configuration that the checkpoint tells of. */
  readonly config?: object;
  /** Looks at the configuration in a checkpoint that the stage is about to go on from; throws if it must not. */
  readonly checkResume?: (config: unknown) => void;
  /** Called before the first step with the number of steps that a resumed run has done already. */
  readonly onStart?: (done: number) => void;
  /** Called after every step with the number of steps done; the state is the next step's, to be read only. */
  readonly onStep?: (done: number, metrics: Metrics, state: State) => void | Promise<void>;
  /** Stops after the step under way, and saves. */
  readonly signal?: AbortSignal;
}

/** How a stage ended. */
export interface StageResult<State> {
  readonly state: State;
  readonly done: number;
  /** False when the signal stopped it. */
  readonly finished: boolean;
}

/** Lets timers, signals and finalizers run: a step on the wasm device keeps the event loop busy. */
const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Runs a stage to its end, or until the signal.
 *
 * @throws Error when the loss is not a finite number, naming the step; the last checkpoint stays
 */
export async function runStage<State, Batch>(
  stage: Stage<State, Batch>,
  options: RunOptions<State> = {},
): Promise<StageResult<State>> {
  const {
    directory,
    saveEvery,
    keep = 2,
    resume = false,
    config = {},
    checkResume,
    onStart,
    onStep,
    signal,
  } = options;
  const folder = directory === undefined ? undefined : join(directory, stage.name);
  if (folder !== undefined && !resume) await rm(folder, { recursive: true, force: true });
  let { state, done } = await start(stage, folder, checkResume);
  onStart?.(done);
  let metrics: Metrics = { loss: Number.NaN };
  let saved = done;
  const save = async () => {
    if (folder === undefined || saved === done) return;
    const info = {
      step: done,
      config: toJson(config),
      metrics,
      state: { stage: stage.name, steps: stage.steps },
    };
    await saveCheckpoint(
      folder,
      `step-${String(done).padStart(6, '0')}`,
      { tensors: await treeToRecord(state), info },
      { keep },
    );
    saved = done;
  };
  if (done < stage.steps && !signal?.aborted) {
    for await (const batch of stage.batches(done)) {
      const result = stage.step(state, batch);
      state = result.state;
      metrics = await readMetrics(result.metrics);
      done++;
      if (!Number.isFinite(metrics.loss)) {
        throw new Error(
          `${stage.name}: the loss is ${metrics.loss} at step ${done}; try a smaller learning rate or a stronger clip`,
        );
      }
      await onStep?.(done, metrics, state);
      await breathe();
      if (done >= stage.steps || signal?.aborted) break;
      if (saveEvery !== undefined && done % saveEvery === 0) await save();
    }
  }
  stage.step.dispose?.();
  await save();
  return { state, done, finished: done >= stage.steps };
}

async function start<State, Batch>(
  { name, initial, steps }: Stage<State, Batch>,
  folder: string | undefined,
  checkResume: RunOptions<State>['checkResume'],
): Promise<{ state: State; done: number }> {
  if (folder === undefined || (await latestCheckpoint(folder)) === undefined)
    return { state: initial, done: 0 };
  const { tensors, info, path } = await loadCheckpoint(folder);
  checkResume?.(info.config);
  if (info.step > steps) {
    throw new Error(
      `${path} is at step ${info.step}, but ${name} has only ${steps} steps; give it more, or another directory`,
    );
  }
  return { state: recordToTree(initial, tensors), done: info.step };
}

async function readMetrics(metrics: StepResult<unknown>['metrics']): Promise<Metrics> {
  const entries = await Promise.all(
    Object.entries(metrics).map(async ([name, value]) => {
      const number = await value.item();
      value.dispose();
      return [name, number] as const;
    }),
  );
  return { loss: Number.NaN, ...Object.fromEntries(entries) };
}
