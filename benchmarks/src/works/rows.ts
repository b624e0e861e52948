/** Work on rows that memory bounds: softmax, layerNorm, gelu, cross-entropy, embedding and its gradient. */
import { evaluateScalar } from '@clipin/kernel';
import { constant, ids, uniform } from '../random';
import type { WorkOf } from './work';

type Size = readonly [rows: number, width: number];

const bytes = (elements: number) => 4 * elements;
const named = (what: string, size: readonly number[]) => `${what} ${size.join('×')}`;

/** The first row of a matrix, in float64. */
const firstRow = (data: Float32Array, width: number) => Float64Array.from(data.subarray(0, width));
const sum = (numbers: Float64Array) => numbers.reduce((a, b) => a + b, 0);

/** Softmax of rows. */
export const softmax = ([rows, width]: Size): WorkOf<'softmax'> => ({
  name: named('softmax', [rows, width]),
  kind: 'softmax',
  unit: 'GB/s',
  amount: bytes(2 * rows * width),
  comparedRuns: 2,
  problem: () => ({ x: uniform(1, [rows, width], 3) }),
  expected({ x }) {
    const exps = firstRow(x.data, width).map(Math.exp);
    const total = sum(exps);
    return exps.map((value) => value / total);
  },
});

/** Normalization of rows, with gain and bias. */
export const layerNorm = ([rows, width]: Size): WorkOf<'layerNorm'> => ({
  name: named('layerNorm', [rows, width]),
  kind: 'layerNorm',
  unit: 'GB/s',
  amount: bytes(2 * rows * width),
  comparedRuns: 2,
  problem: () => ({
    x: uniform(1, [rows, width], 3),
    gain: uniform(2, [width]),
    bias: uniform(3, [width]),
  }),
  expected({ x, gain, bias }) {
    const row = firstRow(x.data, width);
    const mean = sum(row) / width;
    const variance = sum(row.map((value) => (value - mean) ** 2)) / width;
    return row.map(
      (value, i) =>
        ((value - mean) / Math.sqrt(variance + 1e-5)) * (gain.data[i] as number) + (bias.data[i] as number),
    );
  },
});

/** Exact GELU. */
export const gelu = ([rows, width]: Size): WorkOf<'gelu'> => ({
  name: named('gelu', [rows, width]),
  kind: 'gelu',
  unit: 'GB/s',
  amount: bytes(2 * rows * width),
  comparedRuns: 2,
  problem: () => ({ x: uniform(1, [rows, width], 3) }),
  expected: ({ x }) =>
    firstRow(x.data, width).map(
      (value) => (value / 2) * (1 + evaluateScalar('erf', 'f32', 'f32', [value * Math.SQRT1_2])),
    ),
});

/** Cross-entropy of rows with classes, the mean, and its gradient. */
export const crossEntropy = ([rows, width]: Size): WorkOf<'crossEntropy'> => ({
  name: named('cross-entropy and gradient', [rows, width]),
  kind: 'crossEntropy',
  unit: 'GB/s',
  amount: bytes(2 * rows * width),
  comparedRuns: 2,
  problem: () => ({ logits: uniform(1, [rows, width], 3), classes: ids(2, [rows], width) }),
  expected({ logits, classes }) {
    const losses = Float64Array.from(classes.data, (right, row) => {
      const own = Float64Array.from(logits.data.subarray(row * width, (row + 1) * width));
      return Math.log(sum(own.map(Math.exp))) - (own[right] as number);
    });
    return [sum(losses) / rows];
  },
});

/** `count` rows of a table. */
export const embedding = ([rows, width]: Size, count: number): WorkOf<'embedding'> => ({
  name: named(`embedding, ${count} of`, [rows, width]),
  kind: 'embedding',
  unit: 'GB/s',
  amount: bytes(2 * count * width),
  comparedRuns: 2,
  problem: () => ({ table: uniform(1, [rows, width]), ids: ids(2, [count], rows) }),
  expected: ({ table, ids: { data } }) => {
    const first = data[0] as number;
    return table.data.subarray(first * width, (first + 1) * width);
  },
});

/** The gradient of a table of which `count` rows were taken, many of them more than once. */
export const embeddingGradient = ([rows, width]: Size, count: number): WorkOf<'embeddingGradient'> => ({
  name: named(`embedding gradient, ${count} of`, [rows, width]),
  kind: 'embeddingGradient',
  unit: 'GB/s',
  amount: bytes((count + rows) * width),
  comparedRuns: 2,
  problem: () => ({
    table: constant([rows, width], 0),
    ids: ids(2, [count], rows),
    gradient: uniform(1, [count, width]),
  }),
  expected({ ids: { data }, gradient }) {
    const row = new Float64Array(width);
    data.forEach((id, taken) => {
      if (id === 0) for (let i = 0; i < width; i++) row[i]! += gradient.data[taken * width + i] as number;
    });
    return row;
  },
});
