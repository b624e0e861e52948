/**
 * The stages of the recipe. Pretraining makes the plain CLIP that CLIP-IN starts from; distillation (stage 1) turns its text
 * tower into a rotary one; fine-tuning (stage 2) trains with short captions, long captions and hard negatives.
 */
import type { PackedTexts, TextTransformerParams } from '@clipin/nn';
import { concatenate, mapTree, type Tensor } from '@clipin/tensor';
import type { LossName } from '../config';
import {
  clipLoss,
  distillationLoss,
  type Edits,
  hardNegativeLoss,
  negClipLoss,
  type Pairs,
  tripletClipLoss,
} from '../losses';
import { type DualEncoder, type DualEncoderParams, maxLogitScale } from '../model';
import type { Stage } from './loop';
import { type OptimizerSettings, type TrainState, trainer } from './optimizer';
import type { TextBatch, TrainBatch } from './world';

/** Batches from a step on. */
export type BatchSource<Batch> = (from: number) => AsyncIterable<Batch>;

const boundLogitScale = (params: DualEncoderParams): DualEncoderParams => ({
  ...params,
  logitScale: params.logitScale.minimum(maxLogitScale),
});

/** Plain CLIP on images and short captions. */
export function pretraining(
  model: DualEncoder,
  params: DualEncoderParams,
  settings: OptimizerSettings,
  batches: BatchSource<Pick<TrainBatch, 'images' | 'short'>>,
): Stage<TrainState<DualEncoderParams>, Pick<TrainBatch, 'images' | 'short'>> {
  const { initial, step } = trainer(
    params,
    (p: DualEncoderParams, { images, short }: Pick<TrainBatch, 'images' | 'short'>) => {
      const pairs = { images: model.image.apply(p.image, images), texts: model.text.apply(p.text, short) };
      return [clipLoss(pairs, p.logitScale.exp()), { logitScale: p.logitScale }] as const;
    },
    settings,
    boundLogitScale,
  );
  return { name: 'pretrain', steps: settings.steps, initial, step, batches };
}

/** What distillation trains: the text tower but for its token embedding, which stays the teacher's, as in TULIP. */
export type Student = Omit<TextTransformerParams, 'tokens'>;

/** A rotary text tower with the weights of one with absolute positions, and no positions. */
export function studentOf({ blocks, lnFinal, projection, projectionBias }: TextTransformerParams): Student {
  // Copies: the stage takes the memory of what it trains, and the teacher is still needed.
  const kept = { blocks, lnFinal, projection, ...(projectionBias && { projectionBias }) };
  return mapTree((x) => x.add(0), kept);
}

/** `1 − cos` of a student and its teacher, by what the student trains; the table of tokens is the teacher's. */
export function textDistillationLoss(
  teacher: DualEncoder,
  student: DualEncoder,
  params: TextTransformerParams,
) {
  return (p: Student, { texts }: TextBatch): readonly [Tensor, Record<string, Tensor>] => {
    const embedded = student.text.apply({ ...p, tokens: params.tokens }, texts);
    return [distillationLoss(embedded, teacher.text.apply(params, texts)), {}];
  };
}

/** Stage 1: the rotary text tower learns to embed as the frozen teacher does, `1 − cos` (TULIP; CLIP-IN figure 2, stage 1). */
export function distillation(
  teacher: DualEncoder,
  student: DualEncoder,
  params: TextTransformerParams,
  settings: OptimizerSettings,
  batches: BatchSource<TextBatch>,
): Stage<TrainState<Student>, TextBatch> {
  const { initial, step } = trainer(
    studentOf(params),
    textDistillationLoss(teacher, student, params),
    settings,
  );
  return { name: 'distil', steps: settings.steps, initial, step, batches };
}

/** What fine-tuning minimizes. */
export interface FineTuningLoss {
  readonly loss: LossName;
  /** Add the loss of long captions. */
  readonly longCaptions: boolean;
  /** Factor of the loss of edits. */
  readonly hardNegativeWeight: number;
}

/** The loss of edits, by name; `clip` takes both images of an edit as ordinary pairs. */
const editLosses: Record<LossName, (edits: Edits, scale: Tensor) => Tensor> = {
  clip: ({ source, target }, scale) =>
    clipLoss(
      {
        images: concatenate([source.images, target.images]),
        texts: concatenate([source.texts, target.texts]),
      },
      scale,
    ),
  negclip: ({ source, target }, scale) => negClipLoss(source.images, source.texts, target.texts, scale),
  tripletclip: tripletClipLoss,
  'clip-in': hardNegativeLoss,
};

/** What a loss reads of a batch. */
interface Needs {
  readonly longCaptions: boolean;
  /** NegCLIP does not look at edited images, so they are not embedded: their set is empty. */
  readonly targetImages: boolean;
}

/** Embeddings of what is needed of a batch; packed texts in one run of their tower, else one for each length. */
function embed(
  model: DualEncoder,
  p: DualEncoderParams,
  batch: TrainBatch,
  { longCaptions, targetImages }: Needs,
) {
  const [triplets, edits] = [batch.images.shape[0] as number, batch.sourceImages.shape[0] as number];
  const parts = (x: Tensor): [Tensor, Tensor, Tensor] => [
    x.slice([0, triplets]),
    x.slice([triplets, triplets + edits]),
    x.slice([triplets + edits]),
  ];
  const pictures = [batch.images, batch.sourceImages, ...(targetImages ? [batch.targetImages] : [])];
  const images = parts(model.image.apply(p.image, concatenate(pictures)));
  const { short, long } = longCaptions && batch.packed ? embedPacked(batch.packed) : embedApart();
  const texts = parts(short);
  const pair = (i: 0 | 1 | 2): Pairs => ({ images: images[i], texts: texts[i] });
  return {
    short: pair(0),
    edits: { source: pair(1), target: pair(2) },
    ...(long && { long: { images: images[0], texts: long } }),
  };

  function embedPacked(packed: PackedTexts) {
    const all = model.text.apply(p.text, packed);
    return { short: all.slice([0, triplets + 2 * edits]), long: all.slice([triplets + 2 * edits]) };
  }

  function embedApart() {
    const { short, sourceText, targetText, long } = batch;
    return {
      short: model.text.apply(p.text, concatenate([short, sourceText, targetText])),
      long: longCaptions ? model.text.apply(p.text, long) : undefined,
    };
  }
}

/** `L_short + L_long + w · L_HN` of a batch, and its terms. Without triplets, or without edits, their terms are left out. */
export function clipInLoss(model: DualEncoder, { loss, longCaptions, hardNegativeWeight }: FineTuningLoss) {
  return (p: DualEncoderParams, batch: TrainBatch): readonly [Tensor, Record<string, Tensor>] => {
    const hasTriplets = batch.images.shape[0] !== 0;
    const hasEdits = batch.sourceImages.shape[0] !== 0;
    const scale = p.logitScale.exp();
    const { short, long, edits } = embed(model, p, batch, {
      longCaptions: longCaptions && hasTriplets,
      targetImages: loss !== 'negclip',
    });
    const terms = {
      ...(hasTriplets && { short: clipLoss(short, scale) }),
      ...(long && { long: clipLoss(long, scale) }),
      ...(hasEdits && { edits: editLosses[loss](edits, scale).mul(hardNegativeWeight) }),
    };
    const [first, ...rest] = Object.values(terms);
    if (!first) throw new RangeError('clipInLoss: a batch without triplets and without edits has no loss');
    const total = rest.reduce((sum, term) => sum.add(term), first);
    return [total, { ...terms, logitScale: p.logitScale }] as const;
  };
}

/** Stage 2: the whole model, on mixed batches. */
export function fineTuning(
  model: DualEncoder,
  params: DualEncoderParams,
  loss: FineTuningLoss,
  settings: OptimizerSettings,
  batches: BatchSource<TrainBatch>,
): Stage<TrainState<DualEncoderParams>, TrainBatch> {
  const { initial, step } = trainer(params, clipInLoss(model, loss), settings, boundLogitScale);
  return { name: 'clip-in', steps: settings.steps, initial, step, batches };
}
