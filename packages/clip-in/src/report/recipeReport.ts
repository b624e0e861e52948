/** From the result of the recipe to a report: which examples are shown, and their pictures. Nothing is measured here. */
import { CREDITS, createRenderer, HANDS, type Hand, loadArt, type Scene } from '@clipin/data';
import { countParameters } from '@clipin/nn';
import { toJson } from '../checkpoint';
import type { Config } from '../config';
import type { EvaluationSets, Measurement } from '../evaluation/measure';
import type { RecipeResult } from '../recipe';
import type { StepLog } from '../training/log';
import type {
  ClassifiedExample,
  Curve,
  PairExample,
  PairScores,
  Picture,
  QueryExample,
  ReportData,
} from './data';
import { pictureFromUnit } from './html';

/** Facts of a run that its result does not hold. */
export interface RunFacts {
  readonly device: string;
  readonly seconds: number;
}

/** A run with its last measurement. */
export type FinishedRun = RecipeResult & { readonly after: Measurement };

type Draw = (scene: Scene) => Picture;

/** The report of a finished run. */
export function recipeReport(config: Config, run: FinishedRun, { device, seconds }: RunFacts): ReportData {
  const { before, after, sets, world, trained, logs } = run;
  const { hand, split, pairs } = sets;
  const draw = painter(hand);
  return {
    title: 'A small CLIP learns to look closely',
    summary:
      'A small CLIP that knew pictures and short captions was given a rotary text tower, then trained with long captions ' +
      'and with edited pictures as hard negatives, as CLIP-IN does. All figures are of scenes that no training saw ' +
      `(${split} split), drawn by a hand that no training saw (${hand}).`,
    device,
    seconds,
    facts: {
      parameters: countParameters(trained.params).toLocaleString('en'),
      vocabulary: `${world.tokenizer.size} ids`,
      'edit pairs': String(pairs.length),
    },
    config: toJson(config),
    before,
    after,
    pairCounts: countBy(pairs.map(({ pattern }) => pattern)),
    curves: Object.entries(logs).map(([stage, log]) => curveOf(stage, log)),
    pairs: pairExamples(run, draw, 18),
    queries: queryExamples(after, sets, draw, 5),
    classified: classifiedExamples(run, draw, 12),
    credits: [
      'Pictures here are drawn larger than the model sees them.',
      ...HANDS.map(
        (name) => `${name}: ${CREDITS[name].by}, ${CREDITS[name].licence}, from ${CREDITS[name].package}`,
      ),
    ],
  };
}

function painter(hand: Hand): Draw {
  const side = 144;
  const renderer = createRenderer(loadArt([hand], { size: 96 }), { canvas: side, scale: 'unit' });
  return (scene) => pictureFromUnit(renderer.render(scene, hand), side);
}

const countBy = (names: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
};

/** Every loss of a stage over its steps. */
function curveOf(stage: string, log: readonly StepLog[]): Curve {
  const names = Object.keys(log[0]?.metrics ?? {}).filter((name) => name !== 'logitScale');
  return {
    title: stage,
    lines: names.map((name) => ({
      name,
      points: log.map(({ step, metrics }) => [step, metrics[name] ?? Number.NaN] as const),
    })),
  };
}

/** `count` numbers from 0 below `size`, evenly spread. */
const spread = (count: number, size: number): number[] =>
  Array.from({ length: Math.min(count, size) }, (_, i) => Math.floor((i * size) / Math.min(count, size)));

/** Pairs of all kinds in turn, whether the model was right or not. */
function pairExamples({ before, after, sets }: FinishedRun, draw: Draw, count: number): PairExample[] {
  const scoresOf = ({ similarities }: Measurement, pair: number): PairScores => {
    const [a = 0, b = 0, c = 0, d = 0] = similarities.pairs.subarray(pair * 4, pair * 4 + 4);
    return [a, b, c, d];
  };
  return spread(count, sets.pairs.length).flatMap((number) => {
    const edit = sets.pairs[number];
    if (!edit) return [];
    const { pattern, instruction, source, target, sourceCaption, targetCaption } = edit;
    return {
      pattern,
      instruction,
      source: draw(source),
      target: draw(target),
      sourceCaption,
      targetCaption,
      before: scoresOf(before, number),
      after: scoresOf(after, number),
    };
  });
}

/** Numbers of the largest values first. */
const ranking = (values: readonly number[]): number[] =>
  values.map((_, i) => i).sort((a, b) => (values[b] as number) - (values[a] as number));

/** Long captions, and the five pictures that are nearest to each. */
function queryExamples(
  { similarities }: Measurement,
  { gallery }: EvaluationSets,
  draw: Draw,
  count: number,
): QueryExample[] {
  const size = gallery.length;
  return spread(count, size).map((query) => {
    const ranked = ranking(
      Array.from({ length: size }, (_, picture) => similarities.long[picture * size + query] as number),
    );
    return {
      caption: gallery[query]?.long ?? '',
      found: ranked.slice(0, 5).flatMap((picture) => {
        const scene = gallery[picture]?.scene;
        return scene ? { picture: draw(scene), right: picture === query } : [];
      }),
      rank: ranked.indexOf(query) + 1,
      gallery: size,
    };
  });
}

function classifiedExamples(
  { before, after, sets }: FinishedRun,
  draw: Draw,
  count: number,
): ClassifiedExample[] {
  const { prompts, scenes } = sets.classes;
  const label = (prompt: string | undefined) => (prompt ?? '').replace(/^a picture of /, '');
  const chosen = ({ similarities }: Measurement, picture: number) =>
    label(
      prompts[
        ranking(
          Array.from(similarities.classes.subarray(picture * prompts.length, (picture + 1) * prompts.length)),
        )[0] ?? 0
      ],
    );
  return spread(count, scenes.length).flatMap((picture) => {
    const scene = scenes[picture];
    return scene
      ? {
          picture: draw(scene),
          label: label(prompts[picture]),
          before: chosen(before, picture),
          after: chosen(after, picture),
        }
      : [];
  });
}
