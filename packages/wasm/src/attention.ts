/** Attention: for each batch element, head and block of queries, scores, softmax and weighted values in scratch memory. */
import type { AttentionKernel, Launch } from '@clipin/kernel';
import { type Area, AttentionParts, padded, type Sums } from './attention-parts';
import {
  type Code,
  f32x4,
  i32,
  ifElse,
  load,
  op,
  plus,
  shuffle,
  storeLane,
  storeVector,
  times,
} from './code';
import { type CompiledKernel, elementAddress } from './frame';
import { exp2Below127, log, madd, type Target } from './math';
import { storeVectorLanes } from './memory-access';
import type { Local, ModuleBuilder } from './module';

/** Folds the four lanes of a vector; all lanes hold the result. */
export function foldLanes(vector: Local, combine: (a: Code, b: Code) => Code): Code {
  const half = (lanes: readonly [number, number, number, number]) =>
    vector.set(combine(vector.get, shuffle(vector.get, vector.get, lanes)));
  return [half([2, 3, 0, 1]), half([1, 0, 3, 2])];
}

const add = (a: Code, b: Code): Code => op('f32x4.add', a, b);
// One instruction, unlike `max`; it passes over NaN, which then comes back from the sum of the weights.
const max = (a: Code, b: Code): Code => op('f32x4.pmax', a, b);
const min = (a: Code, b: Code): Code => op('f32x4.pmin', a, b);

/** What `softmax` leaves of each row. */
interface RowSums {
  /** `Σ exp`, then its inverse. */
  readonly sums: Area;
  /** The greatest score in units of `log 2`. */
  readonly highest: Area;
}

/** Rows of scores to weights that are not normalised yet. */
function softmax(parts: AttentionParts, scores: Sums, rowSums: RowSums): Code {
  const { f, target, kernel } = parts;
  const row = f.local('i32');
  const query = f.local('i32');
  const at = f.local('i32');
  const value = f.local('v128');
  const highest = f.local('v128');
  const sum = f.local('v128');
  const scale = f32x4(kernel.scale * Math.LOG2E);
  // With a negative scale the lowest score has the greatest weight.
  const extreme = kernel.scale < 0 ? min : max;
  const nothing = f32x4(kernel.scale < 0 ? Infinity : -Infinity);
  const highestOf = (from: Local, hidden: Code | undefined): Code => {
    const score = load('v128.load', from.get);
    const seen = hidden ? op('v128.bitselect', nothing, score, hidden) : score;
    return highest.set(extreme(highest.get, seen));
  };
  const weights = (from: Local, hidden: Code | undefined): Code => {
    const exponent = madd(target, load('v128.load', from.get), scale, highest.get);
    const weight = exp2Below127(f, target, exponent);
    return [
      value.set(hidden ? op('v128.andnot', weight, hidden) : weight),
      storeVector(from.get, value.get),
      sum.set(add(sum.get, value.get)),
    ];
  };
  const store = (area: Area, vector: Local): Code =>
    storeLane(32, op('i32.add', parts.address(area), times(row.get, 4)), vector.get, 0);
  return [
    at.set(scores.address),
    f.loop(row, i32(0), parts.rows.get, [
      query.set(op('i32.add', parts.first.get, row.get)),
      highest.set(nothing),
      parts.alongKeys(query, at, highestOf, []),
      foldLanes(highest, extreme),
      // A query that sees nothing: its weights are hidden or 2^−∞, their sum is 0, its logarithm −∞.
      highest.set(op('v128.bitselect', f32x4(0), highest.get, op('f32x4.eq', highest.get, nothing))),
      highest.set(op('f32x4.mul', highest.get, f32x4(-kernel.scale * Math.LOG2E))),
      sum.set(f32x4(0)),
      parts.alongKeys(query, at, weights, [0]),
      foldLanes(sum, add),
      store(rowSums.sums, sum),
      store(rowSums.highest, highest),
      at.add(scores.row),
    ]),
  ];
}

/** Stores `logSumExp` of each row, and turns sums into their inverses: 0 of 0. */
function finishRows(parts: AttentionParts, { sums, highest }: RowSums): Code {
  const { f, target, kernel, frame } = parts;
  const row = f.local('i32');
  const at = f.local('i32');
  const to = f.local('i32');
  const sum = f.local('v128');
  const result = f.local('v128');
  const logSumExp = elementAddress(
    (frame.outputs[1] as Local).get,
    [parts.batch.get, parts.head.get, parts.first.get],
    [kernel.heads * kernel.queries, kernel.queries, 1],
  );
  const four = (lanes: number): Code => [
    sum.set(load('v128.load', at.get)),
    result.set(load('v128.load', plus(at.get, highest.offset - sums.offset))),
    result.set(op('f32x4.sub', log(f, target, sum.get), op('f32x4.mul', result.get, f32x4(Math.LN2)))),
    storeVectorLanes(to.get, result.get, lanes),
    result.set(op('f32x4.div', f32x4(1), sum.get)),
    storeVector(at.get, op('v128.andnot', result.get, op('f32x4.eq', sum.get, f32x4(0)))),
    at.add(16),
    to.add(16),
  ];
  const left = op('i32.sub', parts.rows.get, row.get);
  return [
    at.set(parts.address(sums)),
    to.set(logSumExp),
    f.loop(row, i32(0), op('i32.and', parts.rows.get, i32(-4)), four(4), 4),
    [1, 2, 3].map((lanes) => ifElse(op('i32.eq', left, i32(lanes)), four(lanes))),
  ];
}

/** Code for attention. */
export function compileAttention(
  launch: Launch,
  kernel: AttentionKernel,
  target: Target,
  module: ModuleBuilder,
): CompiledKernel {
  const parts = new AttentionParts(launch, kernel, module, target);
  const { frame } = parts;
  const { batch, heads, keys, dim } = kernel;
  const width = padded(keys);
  const scoreArea = parts.area(parts.block * width);
  const resultArea = parts.area(parts.block * padded(dim));
  const rowSums = { sums: parts.area(parts.block), highest: parts.area(parts.block) };
  const query = parts.leftRows(kernel.query, parts.first.get, parts.rows.get);
  const scores = { address: parts.address(scoreArea), row: 4 * width };
  const results = { address: parts.address(resultArea), row: 4 * padded(dim) };
  const tails = parts.queryTails;

  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [batch, heads, parts.blocks]);
    const [outer, head, block] = indices as [Local, Local, Local];
    return [
      code,
      parts.batch.set(outer.get),
      parts.head.set(head.get),
      parts.first.set(times(block.get, parts.block)),
      parts.bounds(),
      parts.bringNear([kernel.query, kernel.key, kernel.value]),
      query.code,
      parts.product(query.rows, parts.right(kernel.key, 'tokens'), scores, {
        rows: parts.rows.get,
        columns: parts.columns.get,
        steps: i32(dim),
        tails,
      }),
      softmax(parts, scores, rowSums),
      finishRows(parts, rowSums),
      parts.product({ ...scores, step: 4 }, parts.right(kernel.value, 'elements'), results, {
        rows: parts.rows.get,
        columns: i32(dim),
        steps: parts.limit.get,
        tails,
      }),
      parts.storeRows(0, results.address, parts.first.get, kernel.queries, parts.rows.get, rowSums.sums),
    ];
  };
  const cost = parts.block * keys * (0.1 * dim + 3);
  return {
    stages: [frame.close(body, batch * heads * parts.blocks, cost)],
    sharedBytes: 0,
    threadBytes: parts.threadBytes,
  };
}
