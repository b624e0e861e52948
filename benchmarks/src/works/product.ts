/** Products of square matrices, the operands as they are or transposed: `A B`, `Aᵀ B` and `A Bᵀ`. */
import type { ProductProblem, Values } from '../library';
import { uniform } from '../random';
import type { Work } from './work';

const labels = { nn: 'A·B', tn: 'Aᵀ·B', nt: 'A·Bᵀ' } as const;

/** `op(a) op(b)` of matrices `[size, size]`; `form` says which is transposed. */
export function product(size: number, form: 'nn' | 'tn' | 'nt'): Work {
  const problem = {
    a: uniform(1, [size, size]),
    b: uniform(2, [size, size]),
    transposeA: form === 'tn',
    transposeB: form === 'nt',
  };
  return {
    name: `matmul ${size} ${labels[form]}`,
    unit: 'GFLOP/s',
    operations: 2 * size ** 3,
    prepare: (library) => library.product(problem),
    expected: firstRow(size, problem),
  };
}

/** The first row of the product, in float64. */
function firstRow(size: number, { a, b, transposeA, transposeB }: ProductProblem): Float64Array {
  const at = ({ data }: Values, transposed: boolean, row: number, column: number) =>
    data[transposed ? column * size + row : row * size + column] as number;
  return Float64Array.from({ length: size }, (_, column) => {
    let sum = 0;
    for (let k = 0; k < size; k++) sum += at(a, transposeA, 0, k) * at(b, transposeB, k, column);
    return sum;
  });
}
