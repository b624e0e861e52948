/**
 * Batches as typed arrays, each a function of (seed, split, step): whoever knows the step can resume.
 * Pictures are normalised, texts are rows of ids.
 */
import type { Art } from '../art/art';
import { checkHand, type Hand, TRAINING_HANDS } from '../art/hands';
import { EDIT_KIND_NAMES, type EditKind } from '../edits/edit';
import { randomAt } from '../random';
import { CLIP_MEAN, CLIP_STD, createRenderer, type Normalization } from '../scenes/render';
import { checkSplit, type Split } from '../scenes/splits';
import { encodeTexts } from '../text/encode';
import type { RestrictedTokenizer } from '../text/restrict';
import type { Tokenizer } from '../text/tokenizer';
import { editAt, handsForScenes, tripletAt } from '../world';

/** Pictures with a short and a long caption each. */
export interface TripletBatch {
  /** `[batch, canvas, canvas, 3]`, normalised. */
  images: Float32Array;
  /** `[batch, shortLength]` */
  short: Int32Array;
  /** `[batch, longLength]` */
  long: Int32Array;
}

/** Pairs of pictures that differ by an edit, with a caption each. */
export interface EditBatch {
  /** `[batch, canvas, canvas, 3]` */
  sourceImages: Float32Array;
  /** `[batch, canvas, canvas, 3]`, by the same hand, at the same places. */
  targetImages: Float32Array;
  /** `[batch, shortLength]` */
  sourceText: Int32Array;
  /** `[batch, shortLength]` */
  targetText: Int32Array;
}

/** What one step consumes. */
export interface Batch {
  triplets: TripletBatch;
  edits: EditBatch;
}

/** What a source of batches is made from; all but art and tokenizer is plain data. */
export interface BatchOptions {
  art: Art;
  tokenizer: RestrictedTokenizer | Tokenizer;
  seed: number;
  split: Split;
  /** Triplets in a step; may be 0. */
  triplets: number;
  /** Edits in a step; may be 0. */
  edits: number;
  /** Kinds of edit, drawn equally; all by default. */
  kinds?: readonly EditKind[];
  /** Hands that draw; those for training by default. */
  hands?: readonly Hand[];
  /** Side of the pictures in pixels; 48 by default. */
  canvas?: number;
  /** Of the pictures; CLIP's by default. */
  normalization?: Normalization;
  /** Tokens of a short caption, start and end included; longer ones are cut. 28 by default. */
  shortLength?: number;
  /** Tokens of a long caption, start and end included; longer ones are cut. 64 by default. */
  longLength?: number;
}

/** Batches by their step. */
export interface Batches {
  readonly options: Required<BatchOptions>;
  tripletBatch(step: number): TripletBatch;
  editBatch(step: number): EditBatch;
  /** Both batches of a step. */
  at(step: number): Batch;
}

/** Makes a source of batches. */
export function createBatches(given: BatchOptions): Batches {
  const options = complete(given);
  const { art, tokenizer, seed, split, kinds, hands, canvas, shortLength, longLength } = options;
  const renderer = createRenderer(art, { canvas, scale: options.normalization });
  const pixels = canvas * canvas * 3;
  const handFor = (stream: string, index: number, scenes: Parameters<typeof handsForScenes>[0]): Hand => {
    const able = handsForScenes(scenes, hands);
    if (able.length === 0)
      throw new RangeError(
        `batches: none of the hands ${hands.join(', ')} draws everything in ${stream} ${index}`,
      );
    return randomAt(seed, `${split}/${stream}/hand`, index).pick(able);
  };
  const batches: Batches = {
    options,
    tripletBatch(step) {
      const images = new Float32Array(options.triplets * pixels);
      const drawn = Array.from({ length: options.triplets }, (_, i) => {
        const index = checkStep(step) * options.triplets + i;
        const triplet = tripletAt(seed, split, index);
        renderer.render(triplet.scene, handFor('scene', index, [triplet.scene]), images, i * pixels);
        return triplet;
      });
      return {
        images,
        short: encodeTexts(
          tokenizer,
          drawn.map(({ short }) => short),
          shortLength,
        ),
        long: encodeTexts(
          tokenizer,
          drawn.map(({ long }) => long),
          longLength,
        ),
      };
    },
    editBatch(step) {
      const sourceImages = new Float32Array(options.edits * pixels);
      const targetImages = new Float32Array(options.edits * pixels);
      const drawn = Array.from({ length: options.edits }, (_, i) => {
        const index = checkStep(step) * options.edits + i;
        const edit = editAt(seed, split, index, kinds);
        const hand = handFor('edit', index, [edit.source, edit.target]);
        renderer.render(edit.source, hand, sourceImages, i * pixels);
        renderer.render(edit.target, hand, targetImages, i * pixels);
        return edit;
      });
      return {
        sourceImages,
        targetImages,
        sourceText: encodeTexts(
          tokenizer,
          drawn.map(({ sourceCaption }) => sourceCaption),
          shortLength,
        ),
        targetText: encodeTexts(
          tokenizer,
          drawn.map(({ targetCaption }) => targetCaption),
          shortLength,
        ),
      };
    },
    at: (step) => ({ triplets: batches.tripletBatch(step), edits: batches.editBatch(step) }),
  };
  return batches;
}

function complete(given: BatchOptions): Required<BatchOptions> {
  const options = {
    kinds: EDIT_KIND_NAMES,
    hands: TRAINING_HANDS,
    canvas: 48,
    normalization: { mean: CLIP_MEAN, std: CLIP_STD },
    shortLength: 28,
    longLength: 64,
    ...given,
  };
  checkSplit(options.split, 'createBatches');
  for (const name of ['triplets', 'edits'] as const) {
    const value = options[name];
    if (!Number.isInteger(value) || value < 0)
      throw new RangeError(`createBatches: ${name} must be a whole number from 0 up, got ${value}`);
  }
  for (const hand of options.hands) {
    if (!options.art.hands.includes(checkHand(hand, 'createBatches'))) {
      throw new RangeError(
        `createBatches: the art has no "${hand}"; it was loaded for ${options.art.hands.join(', ')}`,
      );
    }
  }
  return options;
}

function checkStep(step: number): number {
  if (!Number.isSafeInteger(step) || step < 0)
    throw new RangeError(`batches: step must be a whole number from 0 up, got ${step}`);
  return step;
}
