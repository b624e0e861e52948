/** How a model is measured in the small world: edit pairs by MMVP's rule, retrieval, and zero-shot classification. */
import {
  type ClassificationSet,
  classificationSet,
  createRenderer,
  type Edit,
  gallery,
  type Hand,
  renderScenes,
  type Split,
  type Triplet,
  testPairs,
} from '@clipin/data';
import {
  cosines,
  type PairReport,
  pairCorrect,
  pairReport,
  type Retrieval,
  retrieval,
  topOne,
} from '../metrics';
import type { World } from '../training/world';
import { embedTexts } from './embed-texts';
import type { Encoders } from './encoders';

/** What is measured on. */
export interface EvaluationSets {
  readonly hand: Hand;
  readonly split: Split;
  readonly pairs: readonly Edit[];
  readonly gallery: readonly Triplet[];
  readonly classes: ClassificationSet;
}

/** Options of `evaluationSets`. */
export interface EvaluationSetOptions {
  readonly hand: Hand;
  readonly split: Split;
  /** Edit pairs of each kind. */
  readonly pairsPerKind: number;
  /** Scenes among which a caption is to find its own. */
  readonly gallery: number;
}

/** Scenes that no training saw, drawn by one hand; the same ones every time. */
export const evaluationSets = ({
  hand,
  split,
  pairsPerKind,
  gallery: size,
}: EvaluationSetOptions): EvaluationSets => ({
  hand,
  split,
  pairs: testPairs({ hand, split, perKind: pairsPerKind }),
  gallery: gallery({ hand, split, size }),
  classes: classificationSet({ hand }),
});

/** Cosines, pictures by texts. */
export interface Similarities {
  /** `[pairs, 2, 2]` */
  readonly pairs: Float32Array;
  /** `[gallery, gallery]`, with short captions. */
  readonly short: Float32Array;
  /** `[gallery, gallery]`, with long captions. */
  readonly long: Float32Array;
  /** `[classes, classes]`, one picture a class. */
  readonly classes: Float32Array;
}

/** The figures of a model, in percent, and what they come from. */
export interface Measurement extends Omit<PairReport, 'counts'> {
  /** Pair accuracy of each kind of edit, by MMVP's rule. */
  readonly perKind: Readonly<Record<string, number>>;
  readonly retrieval: { readonly short: Retrieval; readonly long: Retrieval };
  /** Top-1 accuracy on single emoji, one class an emoji. */
  readonly classification: number;
  readonly similarities: Similarities;
}

/** Measures a model. A text that is too long for it is cut, its end token kept. */
export async function measure(
  encoders: Encoders,
  sets: EvaluationSets,
  { art, tokenizer, normalization }: World,
  canvas: number,
): Promise<Measurement> {
  const renderer = createRenderer(art, { canvas, ...(normalization && { scale: normalization }) });
  const pictures = (scenes: Parameters<typeof renderScenes>[1]) =>
    encoders.images(renderScenes(renderer, scenes, sets.hand));
  const texts = (list: readonly string[]) => embedTexts(encoders, tokenizer, list);
  const { width } = encoders;

  const pairs = pairScores(
    await pictures(sets.pairs.flatMap(({ source, target }) => [source, target])),
    await texts(sets.pairs.flatMap(({ sourceCaption, targetCaption }) => [sourceCaption, targetCaption])),
    width,
  );
  const scenes = await pictures(sets.gallery.map(({ scene }) => scene));
  const short = cosines(scenes, await texts(sets.gallery.map((triplet) => triplet.short)), width);
  const long = cosines(scenes, await texts(sets.gallery.map((triplet) => triplet.long)), width);
  const single = await pictures(sets.classes.scenes);
  const classes = cosines(single, await texts(sets.classes.prompts), width);

  const { counts, ...report } = pairReport(
    pairs,
    sets.pairs.map(({ pattern }) => pattern),
  );
  return {
    ...report,
    perKind: perKind(pairs, sets.pairs),
    retrieval: { short: retrieval(short, sets.gallery.length), long: retrieval(long, sets.gallery.length) },
    classification: topOne(
      classes,
      sets.classes.items.length,
      sets.classes.items.map((_, i) => i),
    ),
    similarities: { pairs, short, long, classes },
  };
}

/** Cosines of the two pictures and two texts of each pair. */
function pairScores(images: Float32Array, texts: Float32Array, width: number): Float32Array {
  const count = images.length / width / 2;
  const scores = new Float32Array(count * 4);
  for (let pair = 0; pair < count; pair++) {
    const two = (rows: Float32Array) => rows.subarray(pair * 2 * width, (pair + 1) * 2 * width);
    scores.set(cosines(two(images), two(texts), width), pair * 4);
  }
  return scores;
}

function perKind(scores: Float32Array, pairs: readonly Edit[]): Record<string, number> {
  const right = pairCorrect(scores).textToImage;
  const kinds = [...new Set(pairs.map(({ kind }) => kind))];
  return Object.fromEntries(
    kinds.map((kind) => {
      const own = right.filter((_, i) => pairs[i]?.kind === kind);
      return [kind, (100 * own.filter(Boolean).length) / own.length];
    }),
  );
}
