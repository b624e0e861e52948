/**
 * The derivative of attention: for each batch element and head, weights are computed again from `logSumExp`, and the
 * gradients of key and value gathered over blocks of queries in order.
 */
import type { AttentionBackwardKernel, Launch } from '@clipin/kernel';
import { foldLanes } from './attention';
import { type Area, AttentionParts, padded, type Sums } from './attention-parts';
import { type Code, f32x4, fillZero, i32, load, op, plus, storeVector } from './code';
import { type CompiledKernel, elementAddress } from './frame';
import { panelColumns } from './gemm';
import { exp2Below127, madd, type Target } from './math';
import { loadVector } from './memory-access';
import type { Local, ModuleBuilder } from './module';

/** `Σ_d gradient[d] · result[d]` of one query into all lanes of `sum`. */
function delta(parts: AttentionParts, kernel: AttentionBackwardKernel, query: Local, sum: Local): Code {
  const { f, target, frame } = parts;
  const { heads, queries, dim } = kernel;
  const gradient = f.local('i32');
  const result = f.local('i32');
  const stride = kernel.gradient.index.strides[3] ?? 0;
  const strides = [queries * heads * dim, dim, heads * dim];
  const vectors = Array.from({ length: Math.ceil(dim / 4) }, (_, u) => {
    const lanes = Math.min(4, dim - 4 * u);
    const a = loadVector(f, plus(gradient.get, 16 * u * stride), stride, lanes);
    return sum.set(madd(target, a, loadVector(f, plus(result.get, 16 * u), 1, lanes), sum.get));
  });
  return [
    gradient.set(parts.at(kernel.gradient, query.get)),
    result.set(
      elementAddress(
        (frame.inputs[kernel.result] as Local).get,
        [parts.batch.get, parts.head.get, query.get],
        strides,
      ),
    ),
    sum.set(f32x4(0)),
    vectors,
    foldLanes(sum, (a, b) => op('f32x4.add', a, b)),
  ];
}

/** Turns scores into weights, and the gradients of weights, `apart` bytes further, into those of scores. */
function gradientsOfScores(
  parts: AttentionParts,
  kernel: AttentionBackwardKernel,
  scores: Sums,
  apart: number,
): Code {
  const { f, target, frame } = parts;
  const row = f.local('i32');
  const query = f.local('i32');
  const at = f.local('i32');
  const weight = f.local('v128');
  const sum = f.local('v128');
  const logSumExp = f.local('v128');
  const logAt = elementAddress(
    (frame.inputs[kernel.logSumExp] as Local).get,
    [parts.batch.get, parts.head.get, query.get],
    [kernel.heads * kernel.queries, kernel.queries, 1],
  );
  const visit = (from: Local, hidden: Code | undefined): Code => {
    const exponent = madd(
      target,
      load('v128.load', from.get),
      f32x4(kernel.scale * Math.LOG2E),
      logSumExp.get,
    );
    const gradient = load('v128.load', plus(from.get, apart));
    return [
      weight.set(exp2Below127(f, target, exponent)),
      hidden ? weight.set(op('v128.andnot', weight.get, hidden)) : [],
      storeVector(from.get, weight.get),
      storeVector(
        plus(from.get, apart),
        op('f32x4.mul', op('f32x4.mul', weight.get, f32x4(kernel.scale)), op('f32x4.sub', gradient, sum.get)),
      ),
    ];
  };
  return [
    at.set(scores.address),
    f.loop(row, i32(0), parts.rows.get, [
      query.set(op('i32.add', parts.first.get, row.get)),
      delta(parts, kernel, query, sum),
      logSumExp.set(op('f32x4.mul', load('v128.load32_splat', logAt), f32x4(-Math.LOG2E))),
      parts.alongKeys(query, at, visit, [0, apart]),
      at.add(scores.row),
    ]),
  ];
}

/**
 * Where the gradients of keys and values are gathered: in the output, or, where that has no whole panels or some keys may be
 * seen by no query of a block, in scratch memory that starts as zero.
 */
class Gathered {
  private readonly area: Area | undefined;

  constructor(
    private readonly parts: AttentionParts,
    private readonly output: number,
  ) {
    const { kernel, blocks } = parts;
    const { keys, dim, causal, queries } = kernel;
    const allSeen = !causal || (blocks === 1 && queries >= keys);
    this.area = dim % panelColumns === 0 && allSeen ? undefined : parts.area(keys * padded(dim));
  }

  get sums(): Sums {
    const { parts, area } = this;
    const { heads, dim } = parts.kernel;
    return area
      ? { address: parts.address(area), row: 4 * padded(dim) }
      : { address: parts.rowOf(this.output, i32(0), parts.kernel.keys), row: 4 * heads * dim };
  }

  /** What a block's product is added to: what is there, unless it is the first of all that is written. */
  get accumulate(): Code {
    return this.area ? i32(1) : this.parts.first.get;
  }

  before(): Code {
    const { keys, dim } = this.parts.kernel;
    return this.area ? fillZero(this.parts.address(this.area), i32(4 * keys * padded(dim))) : [];
  }

  after(): Code {
    const { keys } = this.parts.kernel;
    return this.area
      ? this.parts.storeRows(this.output, this.parts.address(this.area), i32(0), keys, i32(keys))
      : [];
  }
}

/** Code for the derivative of attention. */
export function compileAttentionBackward(
  launch: Launch,
  kernel: AttentionBackwardKernel,
  target: Target,
  module: ModuleBuilder,
): CompiledKernel {
  const parts = new AttentionParts(launch, kernel, module, target);
  const { f, frame } = parts;
  const { batch, heads, queries, keys, dim } = kernel;
  const width = padded(keys);
  const columns = padded(dim);
  const { first, rows, limit } = parts;
  const weightArea = parts.area(parts.block * width);
  const scoreArea = parts.area(parts.block * width);
  const weights = { address: parts.address(weightArea), row: 4 * width };
  const scores = { address: parts.address(scoreArea), row: 4 * width };
  const gradKey = new Gathered(parts, 1);
  const gradValue = new Gathered(parts, 2);
  const whole = dim % panelColumns === 0;
  const queryArea = whole ? undefined : parts.area(parts.block * columns);
  const gradQuery = queryArea
    ? { address: parts.address(queryArea), row: 4 * columns }
    : { address: parts.rowOf(0, first.get, queries), row: 4 * heads * dim };
  const queryRows = parts.leftRows(kernel.query, first.get, rows.get);
  const gradientRows = parts.leftRows(kernel.gradient, first.get, rows.get);
  const transposed = ({ address, row }: Sums) => ({ address, row: 4, step: row });
  const tails = parts.queryTails;
  const fromRows = { rows: rows.get, columns: parts.columns.get, steps: i32(dim), tails };
  const overQueries = { rows: limit.get, columns: i32(dim), steps: rows.get, tails: parts.keyTails };

  const oneBlock = [
    parts.bounds(),
    queryRows.code,
    gradientRows.code,
    parts.product(queryRows.rows, parts.right(kernel.key, 'tokens'), weights, fromRows),
    parts.product(gradientRows.rows, parts.right(kernel.value, 'tokens'), scores, fromRows),
    gradientsOfScores(parts, kernel, weights, scoreArea.offset - weightArea.offset),
    parts.product(transposed(weights), parts.right(kernel.gradient, 'elements', first.get), gradValue.sums, {
      ...overQueries,
      accumulate: gradValue.accumulate,
    }),
    parts.product(transposed(scores), parts.right(kernel.query, 'elements', first.get), gradKey.sums, {
      ...overQueries,
      accumulate: gradKey.accumulate,
    }),
    parts.product({ ...scores, step: 4 }, parts.right(kernel.key, 'elements'), gradQuery, {
      rows: rows.get,
      columns: i32(dim),
      steps: limit.get,
      tails,
    }),
    queryArea ? parts.storeRows(0, gradQuery.address, first.get, queries, rows.get) : [],
  ];

  const result = {
    input: kernel.result,
    index: { offset: 0, strides: [queries * heads * dim, dim, heads * dim, 1] },
  };

  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [batch, heads]);
    const [outer, head] = indices as [Local, Local];
    return [
      code,
      parts.batch.set(outer.get),
      parts.head.set(head.get),
      parts.bringNear([kernel.query, kernel.key, kernel.value, kernel.gradient, result]),
      gradKey.before(),
      gradValue.before(),
      f.loop(first, i32(0), i32(queries), oneBlock, parts.block),
      gradKey.after(),
      gradValue.after(),
    ];
  };
  const cost = queries * keys * (0.25 * dim + 3);
  return { stages: [frame.close(body, batch * heads, cost)], sharedBytes: 0, threadBytes: parts.threadBytes };
}
