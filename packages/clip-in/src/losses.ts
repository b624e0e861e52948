/**
 * The losses: CLIP, SigLIP, NegCLIP, TripletCLIP, CLIP-IN's symmetric hard negatives, and distillation. Embeddings are rows of
 * unit length, `[batch, width]`; `scale` is the exponential of the learned logit scale (one over the temperature).
 *
 * Notation of the CLIP-IN paper (arXiv 2508.02329): I images, T texts, s source and t target of an edit.
 */
import { arange, concatenate, eye, logSumExp, stack, type Tensor, where, zerosLike } from '@clipin/tensor';

/** Embeddings of a batch of image-text pairs: row `i` of one belongs to row `i` of the other. */
export interface Pairs {
  /** `[batch, width]`, unit rows. */
  readonly images: Tensor;
  /** `[batch, width]`, unit rows. */
  readonly texts: Tensor;
}

/** Embeddings of edited images: row `i` of `target` is an edit of row `i` of `source`. */
export interface Edits {
  readonly source: Pairs;
  readonly target: Pairs;
}

/** Scaled cosines of all rows of two sets: `[a, b]`. */
const similarity = (a: Tensor, b: Tensor, scale: Tensor): Tensor => a.matmul(b.transpose()).mul(scale);

/** Mean of `−log softmax(logits)[i, i]` over the rows of `[rows, columns]`, columns at least rows. */
function diagonalCrossEntropy(logits: Tensor): Tensor {
  const [rows, columns] = logits.shape as readonly [number, number];
  if (rows > columns)
    throw new RangeError(`cross-entropy: ${rows} rows have no ${rows} positives in ${columns} columns`);
  const { device } = logits;
  const onDiagonal = arange(rows, { device }).expandDims(1).equal(arange(columns, { device }));
  return logSumExp(logits, 1)
    .sub(where(onDiagonal, logits, 0).sum(1))
    .mean();
}

/** InfoNCE from `anchors` to `positives`: L_CL(X→Y), TripletCLIP eq. 1. */
const infoNce = (anchors: Tensor, positives: Tensor, scale: Tensor): Tensor =>
  diagonalCrossEntropy(similarity(anchors, positives, scale));

/** InfoNCE in which the hard negatives of the whole batch are further choices: L_NegCL(X→Y; Y′), TripletCLIP eq. 2. */
const infoNceWithNegatives = (anchors: Tensor, positives: Tensor, negatives: Tensor, scale: Tensor): Tensor =>
  diagonalCrossEntropy(similarity(anchors, concatenate([positives, negatives]), scale));

/** CLIP (Radford et al. 2021): the mean of the two directions. */
export const clipLoss = ({ images, texts }: Pairs, scale: Tensor): Tensor =>
  infoNce(images, texts, scale)
    .add(infoNce(texts, images, scale))
    .mul(0.5);

/**
 * SigLIP (Zhai et al. 2023, eq. 1): every image with every text is a question of its own, whether they belong together,
 * `−Σ log σ(z (scale · cosine + bias))` with `z` 1 for a pair and −1 for all others, summed over texts, mean over images.
 *
 * @param bias - added to the logits, a scalar; at the start about −10, since few of all combinations are pairs
 */
export function sigmoidLoss({ images, texts }: Pairs, scale: Tensor, bias: Tensor): Tensor {
  const logits = similarity(images, texts, scale).add(bias);
  const [rows, columns] = logits.shape as readonly [number, number];
  if (rows !== columns) throw new RangeError(`sigmoidLoss: ${rows} images and ${columns} texts are no pairs`);
  const wrong = logits.mul(eye(rows, { device: logits.device }).mul(-2).add(1)); // −z · logit
  // −log σ(−x) = log(1 + exp x), without overflow.
  return logSumExp(stack([zerosLike(wrong), wrong]), 0)
    .sum(1)
    .mean();
}

/**
 * NegCLIP for anchors X, positives Y and hard negatives Y′ (Yüksekgönül et al. 2023, as TripletCLIP eq. 3 writes it):
 * `L_CL(Y→X) + L_NegCL(X→Y; Y′)`. All hard negatives of the batch count for every anchor.
 */
export const negClipLoss = (anchors: Tensor, positives: Tensor, negatives: Tensor, scale: Tensor): Tensor =>
  infoNce(positives, anchors, scale).add(infoNceWithNegatives(anchors, positives, negatives, scale));

/** TripletCLIP (Patel et al. 2024, eq. 4), the image-anchored half of CLIP-IN: `L_HN^I`. */
export const tripletClipLoss = ({ source, target }: Edits, scale: Tensor): Tensor =>
  negClipLoss(source.images, source.texts, target.texts, scale).add(
    negClipLoss(target.images, target.texts, source.texts, scale),
  );

/** CLIP-IN's symmetric hard negatives: `L_HN = L_HN^I + L_HN^T`, images and texts as anchors in turn. */
export const hardNegativeLoss = ({ source, target }: Edits, scale: Tensor): Tensor => {
  const exchanged = ({ images, texts }: Pairs): Pairs => ({ images: texts, texts: images });
  const textAnchored = { source: exchanged(source), target: exchanged(target) };
  return tripletClipLoss({ source, target }, scale).add(tripletClipLoss(textAnchored, scale));
};

/** Distillation of the text tower: the mean of `1 − cos(student, teacher)` over unit rows `[batch, width]`. */
export const distillationLoss = (student: Tensor, teacher: Tensor): Tensor =>
  student.mul(teacher).sum(-1).neg().add(1).mean();
