/**
 * Ranks among many candidates by cosine: how many are more similar to a query than its own one, and how many exactly as similar.
 *
 * Similarities are computed by the device, a block of queries at a time, so that no matrix of all is ever in memory. Where one is closer to the
 * own one than f32 can tell, both are computed again in float64, always in the same order: equal embeddings are equally similar on every
 * device, and ties are ties.
 */
import { type Tensor, tensor } from '@clipin/tensor';

/** Unit rows behind one another. */
export interface Embeddings {
  readonly rows: Float32Array;
  readonly count: number;
  readonly width: number;
}

/** For each query, candidates beside its own ones that are … */
export interface Ranks {
  /** … more similar than its own. */
  readonly above: Int32Array;
  /** … exactly as similar. */
  readonly tied: Int32Array;
}

/** What is asked of {@link ranksAmong}. */
export interface RankOptions {
  /** Similarity of a query's own candidate; the highest, where it has several. See {@link similarity}. */
  readonly own: (query: number) => number;
  /** Whether a candidate is not to be counted for a query. */
  readonly skip: (query: number, candidate: number) => boolean;
}

/** Similarities that are held at a time. */
const BLOCK = 1 << 22;
/** More than the rounding of a scalar product of f32 unit rows of any width that there is. */
const MARGIN = 1e-4;

/** The scalar product of two rows, in float64. */
export function similarity(a: Embeddings, i: number, b: Embeddings, j: number): number {
  const { width } = a;
  let sum = 0;
  for (let k = 0, p = i * width, q = j * width; k < width; k++) sum += a.rows[p + k]! * b.rows[q + k]!;
  return sum;
}

/** Ranks all queries among all candidates. */
export async function ranksAmong(
  queries: Embeddings,
  candidates: Embeddings,
  { own, skip }: RankOptions,
): Promise<Ranks> {
  const above = new Int32Array(queries.count);
  const tied = new Int32Array(queries.count);
  if (queries.count === 0 || candidates.count === 0) return { above, tied };
  const { width } = queries;
  const atOnce = Math.max(1, Math.floor(BLOCK / candidates.count));
  using all = tensor(candidates.rows.subarray(0, candidates.count * width), [candidates.count, width]);
  for (let start = 0; start < queries.count; start += atOnce) {
    const count = Math.min(atOnce, queries.count - start);
    const values = await products(queries.rows.subarray(start * width, (start + count) * width), width, all);
    for (let i = 0; i < count; i++) {
      const query = start + i;
      const mine = own(query);
      for (let candidate = 0, at = i * candidates.count; candidate < candidates.count; candidate++, at++) {
        const rough = values[at]!;
        if (rough < mine - MARGIN || skip(query, candidate)) continue;
        const exact = rough > mine + MARGIN ? rough : similarity(queries, query, candidates, candidate);
        if (exact > mine) above[query]!++;
        else if (exact === mine) tied[query]!++;
      }
    }
  }
  return { above, tied };
}

async function products(rows: Float32Array, width: number, candidates: Tensor): Promise<ArrayLike<number>> {
  using some = tensor(rows, [rows.length / width, width]);
  using transposed = candidates.transpose();
  using result = some.matmul(transposed);
  return result.data();
}
