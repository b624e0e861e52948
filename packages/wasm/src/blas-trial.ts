/** A trial of a BLAS on small products, before the device relies on it. */
import { cblas, type Sgemm } from './blas';
import type { Allocator } from './memory';

/** The products that are tried: with edges, and some blocks of registers; all transposes; numbers below the normal ones. */
const trials = [
  { m: 5, n: 7, k: 3 },
  { m: 33, n: 50, k: 67 },
].flatMap((size) =>
  [1, 2 ** -140].flatMap((scale) =>
    [false, true].flatMap((transposeA) =>
      [false, true].map((transposeB) => ({ ...size, scale, transposeA, transposeB })),
    ),
  ),
);

/** A value of an operand: sums of products of whole numbers are exact in any order. */
const trialValue = (index: number): number => ((index * 7919) % 17) - 8;

/** Compares small products with plain loops, to the bit. @throws Error that says what is wrong */
export function tryProducts(sgemm: Sgemm, allocator: Allocator): void {
  for (const trial of trials) {
    const { m, n, k } = trial;
    const addresses = [m * k, k * n, m * n].map((length) => allocator.allocate(4 * length));
    const [a, b, c] = addresses as [number, number, number];
    const view = (address: number, length: number) =>
      new Float32Array(allocator.memory.buffer, address, length);
    try {
      const left = view(a, m * k).map((_, i) => trial.scale * trialValue(i));
      left.set([Number.NaN, Infinity]);
      view(a, m * k).set(left);
      const right = view(b, k * n).map((_, i) => trialValue(i + 5));
      view(b, k * n).set(right);
      view(c, m * n).fill(Number.NaN);
      const transpose = (transposed: boolean) => (transposed ? cblas.transposed : cblas.plain);
      const [leadingA, leadingB] = [trial.transposeA ? m : k, trial.transposeB ? k : n];
      sgemm(
        transpose(trial.transposeA),
        transpose(trial.transposeB),
        m,
        n,
        k,
        a,
        leadingA,
        b,
        leadingB,
        c,
        n,
      );
      if (!view(c, m * n).every((value, i) => Object.is(value + 0, plainElement(trial, left, right, i))))
        throw new Error('gives wrong products');
    } finally {
      for (const address of addresses) allocator.deallocate(address);
    }
  }
}

function plainElement(
  { n, k, m, transposeA, transposeB }: (typeof trials)[number],
  left: Float32Array,
  right: Float32Array,
  element: number,
): number {
  const row = Math.floor(element / n);
  const column = element % n;
  let sum = 0;
  for (let p = 0; p < k; p++) {
    const factor = left[transposeA ? p * m + row : row * k + p] as number;
    sum += factor * (right[transposeB ? column * k + p : p * n + column] as number);
  }
  return Math.fround(sum) + 0;
}
