/** Products of matrices, the operands as they are or transposed: `A B`, `Aᵀ B` and `A Bᵀ`. */
import { decodeF16, encodeF16 } from '@clipin/kernel';
import type { ProductProblem, Values } from '../library';
import { uniform } from '../random';
import type { WorkOf } from './work';

const labels = { nn: 'A·B', tn: 'Aᵀ·B', nt: 'A·Bᵀ' } as const;

/** Which operand is transposed. */
export type Form = keyof typeof labels;

/** `[m, k]` times `[k, n]`, stored as the form says; with a batch, so many of them. */
export function product(
  form: Form,
  [m, k, n]: readonly [number, number, number],
  { batch, oneThread = false }: { batch?: number; oneThread?: boolean } = {},
): WorkOf<'product'> {
  const outer = batch === undefined ? [] : [batch];
  const size = m === k && k === n ? `${m}` : `${m}×${k}×${n}`;
  return {
    name: `matmul ${batch === undefined ? '' : `${batch} × `}${size} ${labels[form]}`,
    kind: 'product',
    unit: 'GFLOP/s',
    amount: 2 * (batch ?? 1) * m * k * n,
    comparedRuns: 2,
    oneThread,
    problem: () => ({
      a: uniform(1, [...outer, ...(form === 'tn' ? [k, m] : [m, k])]),
      b: uniform(2, [...outer, ...(form === 'nt' ? [n, k] : [k, n])]),
      transposeA: form === 'tn',
      transposeB: form === 'nt',
    }),
    expected: (problem) => firstRow(k, n, problem),
  };
}

/** A product with weights in half precision, or both operands, which not every library has. */
export function halfProduct(
  form: Form,
  sizes: readonly [number, number, number],
  halves: 'b' | 'both' = 'b',
): WorkOf<'halfProduct'> {
  const whole = product(form, sizes);
  const round = ({ shape, data }: Values): Values => ({ shape, data: decodeF16(encodeF16(data)) });
  return {
    ...whole,
    name: `${whole.name}, ${halves === 'both' ? 'both' : 'B'} in f16`,
    kind: 'halfProduct',
    async problem(folder) {
      const { a, b, ...rest } = await whole.problem(folder);
      return { ...rest, a: halves === 'both' ? round(a) : a, b: round(b), halves };
    },
  };
}

/** The first row of the (first) product, in float64. */
function firstRow(k: number, n: number, { a, b, transposeA, transposeB }: ProductProblem): Float64Array {
  const at = ({ data, shape }: Values, transposed: boolean, row: number, column: number) => {
    const columns = shape.at(-1) as number;
    return data[transposed ? column * columns + row : row * columns + column] as number;
  };
  return Float64Array.from({ length: n }, (_, column) => {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += at(a, transposeA, 0, i) * at(b, transposeB, i, column);
    return sum;
  });
}
