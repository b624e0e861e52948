/**
 * Zero-shot classification (Radford et al. 2021, section 3.1): pictures among labels that are given as words. A label is embedded in each
 * template, and stands for the mean of these, at unit length.
 */
import type { ImageError, ImageSource } from '@clipin/data';
import type { Embedder } from '../evaluation/embedder';

/** How cosines become probabilities. */
export interface LogitOptions {
  /** Factor on the cosine. */
  readonly scale: number;
  /** Added to the logit; such models were trained by a sigmoid for each pair (SigLIP). Default: none, and a softmax over the labels. */
  readonly bias?: number;
}

/** Options of {@link classifier}. */
export interface ClassifierOptions {
  readonly labels: readonly string[];
  /** Sentences in which `{}` stands for the label. Default: the label as it is. */
  readonly templates?: readonly string[];
  readonly logits: LogitOptions;
}

/** A label and how well it fits a picture. */
export interface LabelScore {
  readonly label: string;
  /** Among the labels; of a model with a bias, that the label fits, whatever the others do. */
  readonly probability: number;
  readonly cosine: number;
}

/** A picture with its labels, best first, or why it has none. */
export type Classified =
  | { readonly source: ImageSource; readonly scores: readonly LabelScore[] }
  | { readonly source: ImageSource; readonly error: ImageError };

/** Sorts pictures among labels. */
export interface Classifier {
  /** In the order of the sources. */
  classify(sources: Iterable<ImageSource> | AsyncIterable<ImageSource>): AsyncIterable<Classified>;
}

/**
 * A classifier over labels, whose texts are embedded once.
 *
 * @throws RangeError if there are no labels, one is empty or there twice, or a template has no `{}`
 */
export async function classifier(
  embedder: Pick<Embedder, 'texts' | 'images'>,
  { labels, templates = ['{}'], logits }: ClassifierOptions,
): Promise<Classifier> {
  const texts = promptsOf(labels, templates);
  const rows = await embedder.texts(texts);
  const width = rows.length / texts.length;
  const classes = labels.map((_, i) => meanDirection(rows, width, i * templates.length, templates.length));
  return {
    async *classify(sources) {
      for await (const result of embedder.images(sources)) {
        if ('error' in result) yield result;
        else yield { source: result.source, scores: score(result.embedding, classes, labels, logits) };
      }
    },
  };
}

/**
 * The texts that stand for labels, label after label in every template.
 * @throws RangeError if there are no labels, one is empty or there twice, or a template has no `{}`
 */
export function promptsOf(labels: readonly string[], templates: readonly string[]): string[] {
  if (labels.length === 0) throw new RangeError('labels: there are none; give at least one');
  const seen = new Set<string>();
  for (const label of labels) {
    if (label.trim() === '') throw new RangeError(`labels: one is empty, among ${labels.join(', ')}`);
    if (seen.has(label)) throw new RangeError(`labels: "${label}" is there twice; each is to be there once`);
    seen.add(label);
  }
  if (templates.length === 0) throw new RangeError('templates: there are none; give at least one');
  for (const template of templates) {
    if (!template.includes('{}'))
      throw new RangeError(`template "${template}": needs {} where the label goes`);
  }
  return labels.flatMap((label) => templates.map((template) => template.replaceAll('{}', () => label)));
}

function meanDirection(rows: Float32Array, width: number, first: number, count: number): Float64Array {
  const mean = new Float64Array(width);
  for (let row = first; row < first + count; row++)
    for (let i = 0; i < width; i++) mean[i] = mean[i]! + rows[row * width + i]!;
  const length = Math.hypot(...mean);
  return mean.map((value) => value / length);
}

function score(
  embedding: Float32Array,
  classes: readonly Float64Array[],
  labels: readonly string[],
  { scale, bias }: LogitOptions,
): LabelScore[] {
  const cosines = classes.map((row) => row.reduce((sum, value, i) => sum + value * embedding[i]!, 0));
  const probabilities = bias === undefined ? softmax(cosines, scale) : cosines.map(sigmoid(scale, bias));
  return labels
    .map((label, i) => ({ label, probability: probabilities[i]!, cosine: cosines[i]! }))
    .sort((a, b) => b.cosine - a.cosine);
}

const sigmoid = (scale: number, bias: number) => (cosine: number) =>
  1 / (1 + Math.exp(-(scale * cosine + bias)));

function softmax(cosines: readonly number[], scale: number): number[] {
  const highest = Math.max(...cosines);
  const powers = cosines.map((cosine) => Math.exp(scale * (cosine - highest)));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
