/**
 * The figures of an evaluation, from embeddings or similarities that somebody else computed: pure functions on plain
 * arrays. All shares are percent, 0 to 100.
 *
 * Ties are always wrong, and so is a NaN: a model that says the same of everything scores 0, not chance.
 */

/** Percent of queries with a right answer among the best k, by k. */
export type RecallAt = Readonly<Record<number, number>>;

/** Recall of both directions. */
export interface Retrieval {
  readonly imageToText: RecallAt;
  readonly textToImage: RecallAt;
}

/**
 * Cosines of all rows of two sets of embeddings, which need not be normalised. A row of zeros has cosine 0 with all.
 *
 * @param a - `[rows, width]`
 * @param b - `[columns, width]`
 * @returns `[rows, columns]`
 */
export function cosines(a: Float32Array, b: Float32Array, width: number): Float32Array {
  const rows = a.length / width;
  const columns = b.length / width;
  if (!Number.isInteger(rows) || !Number.isInteger(columns)) {
    throw new RangeError(`cosines: ${a.length} and ${b.length} values are no embeddings of width ${width}`);
  }
  const [left, right] = [normalized(a, width), normalized(b, width)];
  const result = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += left[i * width + k]! * right[j * width + k]!;
      result[i * columns + j] = sum;
    }
  }
  return result;
}

/**
 * Recall at k where image i and text i belong together. The rank of the right one is 1 and the number of others that
 * are at least as similar.
 *
 * @param similarity - `[n, n]`, images by texts
 * @param ks - default: 1 and 5
 */
export function retrieval(similarity: Float32Array, n: number, ks: readonly number[] = [1, 5]): Retrieval {
  checkSize('retrieval', similarity, n * n, `[${n}, ${n}]`);
  const direction = (at: (query: number, answer: number) => number): RecallAt => {
    const ranks = Array.from({ length: n }, (_, query) => rankOf(n, query, (answer) => at(query, answer)));
    return Object.fromEntries(ks.map((k) => [k, percent(ranks.map((rank) => rank <= k))]));
  };
  return {
    imageToText: direction((image, text) => similarity[image * n + text]!),
    textToImage: direction((text, image) => similarity[image * n + text]!),
  };
}

/** Whether pairs of pictures were told apart, one value a pair. */
export interface PairVerdicts {
  /** MMVP's rule, and Winoground's image score: each of the two texts chooses its own picture. */
  readonly textToImage: readonly boolean[];
  /** Winoground's text score: each of the two pictures chooses its own text. */
  readonly imageToText: readonly boolean[];
  /** Both of them, Winoground's group score. */
  readonly bothDirections: readonly boolean[];
}

/**
 * Judges pairs by the rule of MMVP-VLM (Tong et al. 2024, `scripts/evaluate_vlm.py`): for each of the two texts a
 * softmax over the two pictures must give its own more than one half, which is to say, its own is the more similar
 * one. A pair is right if both texts are. Independent guesses are right in 25 percent (both directions: 16.7).
 *
 * That script takes the second picture wherever the first is not preferred, so that a tie of the second text is right
 * there and wrong here; ties of the first text, and so a model that always ties, are wrong in both.
 *
 * @param scores - `[pairs, 2, 2]`, picture by text
 */
export function pairCorrect(scores: Float32Array): PairVerdicts {
  if (scores.length % 4 !== 0)
    throw new RangeError(`pairCorrect: ${scores.length} scores are not [pairs, 2, 2]`);
  const textToImage: boolean[] = [];
  const imageToText: boolean[] = [];
  for (let at = 0; at < scores.length; at += 4) {
    // Rows are pictures, columns texts: `other0` is the second picture with the first text.
    const [own0, other1, other0, own1] = [scores[at]!, scores[at + 1]!, scores[at + 2]!, scores[at + 3]!];
    textToImage.push(own0 > other0 && own1 > other1);
    imageToText.push(own0 > other1 && own1 > other0);
  }
  return {
    textToImage,
    imageToText,
    bothDirections: textToImage.map((right, i) => right && imageToText[i]!),
  };
}

/** Pair accuracy as benchmarks print it. */
export interface PairReport {
  /** Mean of the patterns, as MMVP averages, by its rule. */
  readonly pairAccuracy: number;
  /** By MMVP's rule, in the order in which the patterns first came. */
  readonly perPattern: Readonly<Record<string, number>>;
  /** Mean of the patterns by the rule of both directions. */
  readonly bothDirections: number;
  /** Pairs of each pattern. */
  readonly counts: Readonly<Record<string, number>>;
}

/**
 * Pair accuracy per pattern and its mean over the patterns, each weighing the same however many pairs it has.
 *
 * @param scores - `[pairs, 2, 2]`, picture by text
 * @param patterns - the pattern of each pair
 */
export function pairReport(scores: Float32Array, patterns: readonly string[]): PairReport {
  checkSize('pairReport', scores, patterns.length * 4, `[${patterns.length}, 2, 2]`);
  const verdicts = pairCorrect(scores);
  const shares = sharesOf(verdicts.textToImage, patterns);
  return {
    pairAccuracy: meanShare(shares),
    perPattern: Object.fromEntries(shares.map(({ name, value }) => [name, value])),
    bothDirections: meanShare(sharesOf(verdicts.bothDirections, patterns)),
    counts: Object.fromEntries(shares.map(({ name, count }) => [name, count])),
  };
}

/** How much of a group is right. */
export interface Share {
  readonly name: string;
  /** Percent. */
  readonly value: number;
  readonly count: number;
}

/** The share of right ones in each group, in the order in which the groups first come. */
export function sharesOf(right: readonly boolean[], groups: readonly string[]): readonly Share[] {
  const members = new Map<string, boolean[]>();
  for (const [i, group] of groups.entries()) {
    const verdicts = members.get(group) ?? [];
    members.set(group, verdicts);
    verdicts.push(right[i]!);
  }
  return [...members].map(([name, verdicts]) => ({ name, value: percent(verdicts), count: verdicts.length }));
}

/** The mean of shares, each weighing the same. */
export const meanShare = (shares: readonly Share[]): number => mean(shares.map(({ value }) => value));

/** Whether one score is higher than each of the others. */
export const isHighest = (scores: ArrayLike<number>, right: number): boolean =>
  rankOf(scores.length, right, (candidate) => scores[candidate]!) === 1;

/**
 * One embedding for each class from those of its prompts: normalised, averaged, normalised again (Radford et al. 2021,
 * section 3.1.4).
 *
 * @param embeddings - `[classes, prompts, width]`
 * @returns `[classes, width]`
 */
export function averagePrompts(embeddings: Float32Array, prompts: number, width: number): Float32Array {
  const classes = embeddings.length / (prompts * width);
  if (!Number.isInteger(classes)) {
    throw new RangeError(
      `averagePrompts: ${embeddings.length} values are not [classes, ${prompts}, ${width}]`,
    );
  }
  const rows = normalized(embeddings, width);
  const sums = new Float32Array(classes * width);
  for (let row = 0; row < classes * prompts; row++) {
    const to = Math.floor(row / prompts) * width;
    for (let k = 0; k < width; k++) sums[to + k]! += rows[row * width + k]!;
  }
  return normalized(sums, width);
}

/**
 * Zero-shot classification: percent of pictures whose own class is the most similar one.
 *
 * @param similarity - `[images, classes]`
 * @param labels - the class of each picture
 */
export function topOne(similarity: Float32Array, classes: number, labels: ArrayLike<number>): number {
  checkSize('topOne', similarity, labels.length * classes, `[${labels.length}, ${classes}]`);
  return percent(
    Array.from(labels, (label, i) => {
      if (!Number.isInteger(label) || label < 0 || label >= classes) {
        throw new RangeError(`topOne: label ${label} of picture ${i} is none of ${classes} classes`);
      }
      return rankOf(classes, label, (candidate) => similarity[i * classes + candidate]!) === 1;
    }),
  );
}

/** The rank of the right one among n candidates; whatever is not clearly less similar stands before it. */
function rankOf(n: number, right: number, similarity: (candidate: number) => number): number {
  const own = similarity(right);
  let rank = 1;
  for (let candidate = 0; candidate < n; candidate++) {
    if (candidate !== right && !(similarity(candidate) < own)) rank++;
  }
  return Number.isNaN(own) ? Infinity : rank;
}

function normalized(rows: Float32Array, width: number): Float32Array {
  const result = new Float32Array(rows.length);
  for (let start = 0; start < rows.length; start += width) {
    let squares = 0;
    for (let k = start; k < start + width; k++) squares += rows[k]! ** 2;
    const scale = squares === 0 ? 0 : 1 / Math.sqrt(squares);
    for (let k = start; k < start + width; k++) result[k] = rows[k]! * scale;
  }
  return result;
}

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

const percent = (right: readonly boolean[]): number => mean(right.map((one) => (one ? 100 : 0)));

function checkSize(operation: string, values: Float32Array, size: number, shape: string): void {
  if (values.length !== size) throw new RangeError(`${operation}: ${values.length} values are not ${shape}`);
}
