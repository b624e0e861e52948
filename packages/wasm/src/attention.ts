/** Attention: for each batch element, head and block of queries, scores, softmax and weighted values in scratch memory. */
import type { AttentionKernel, Launch } from '@clipin/kernel';
import { AttentionParts, padded } from './attention-parts';
import { type Code, f32x4, i32, load, op, shuffle, storeLane, storeVector, times } from './code';
import { type CompiledKernel, elementAddress } from './frame';
import { panelColumns } from './gemm';
import { expBelow88, log, type Target } from './math';
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

/** Rows of scores to unnormalised weights; leaves `1 / Σ` of each row in `factors` and stores `logSumExp`. */
function softmax(parts: AttentionParts, scores: Code, width: number, factors: Code): Code {
  const { f, target, kernel, frame } = parts;
  const row = f.local('i32');
  const query = f.local('i32');
  const at = f.local('i32');
  const value = f.local('v128');
  const highest = f.local('v128');
  const sum = f.local('v128');
  const scale = f32x4(kernel.scale);
  const highestOf = (from: Local, hidden: Code | undefined): Code => {
    const score = op('f32x4.mul', load('v128.load', from.get), scale);
    const seen = hidden ? op('v128.bitselect', f32x4(-Infinity), score, hidden) : score;
    return highest.set(max(highest.get, seen));
  };
  const weights = (from: Local, hidden: Code | undefined): Code => {
    const score = op('f32x4.mul', load('v128.load', from.get), scale);
    const weight = expBelow88(f, target, op('f32x4.sub', score, highest.get));
    return [
      value.set(hidden ? op('v128.andnot', weight, hidden) : weight),
      storeVector(from.get, value.get),
      sum.set(add(sum.get, value.get)),
    ];
  };
  const logSumExp = elementAddress(
    (frame.outputs[1] as Local).get,
    [parts.batch.get, parts.head.get, query.get],
    [kernel.heads * kernel.queries, kernel.queries, 1],
  );
  return [
    at.set(scores),
    f.loop(row, i32(0), parts.rows.get, [
      query.set(op('i32.add', parts.first.get, row.get)),
      highest.set(f32x4(-Infinity)),
      parts.alongKeys(query, at, highestOf, []),
      foldLanes(highest, max),
      // A query that sees nothing: weights exp(−∞ − 0) are 0, the sum is 0, its logarithm −∞.
      highest.set(op('v128.bitselect', f32x4(0), highest.get, op('f32x4.eq', highest.get, f32x4(-Infinity)))),
      sum.set(f32x4(0)),
      parts.alongKeys(query, at, weights, [0]),
      foldLanes(sum, add),
      value.set(add(highest.get, log(f, target, sum.get))),
      storeLane(32, logSumExp, value.get, 0),
      value.set(op('f32x4.div', f32x4(1), sum.get)),
      value.set(op('v128.andnot', value.get, op('f32x4.eq', sum.get, f32x4(0)))),
      storeVector(op('i32.add', factors, times(row.get, 16)), value.get),
      at.add(4 * width),
    ]),
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
  const keyPanels = parts.area(width * dim);
  const valuePanels = parts.area(padded(dim) * keys);
  const scores = parts.area(parts.block * width);
  const results = parts.area(parts.block * padded(dim));
  const factors = parts.area(parts.block * 4);
  const query = parts.leftRows(kernel.query, parts.first.get, parts.rows.get);
  const [, , keyToken = 0, keyDim = 0] = kernel.key.index.strides;
  const [, , valueToken = 0, valueDim = 0] = kernel.value.index.strides;
  const limit = parts.limit.get;

  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [batch, heads, parts.blocks]);
    const [outer, head, block] = indices as [Local, Local, Local];
    return [
      code,
      parts.batch.set(outer.get),
      parts.head.set(head.get),
      parts.first.set(times(block.get, parts.block)),
      parts.bounds(),
      parts.pack(parts.at(kernel.key), { across: keyToken, along: keyDim }, keyPanels, {
        width: 8,
        size: keys,
        count: limit,
        steps: i32(dim),
        mostSteps: dim,
      }),
      parts.pack(parts.at(kernel.value), { across: valueDim, along: valueToken }, valuePanels, {
        width: 8,
        size: dim,
        count: i32(dim),
        steps: limit,
        mostSteps: keys,
      }),
      query.code,
      parts.product(
        query.rows,
        { address: parts.address(keyPanels), panel: 4 * panelColumns * dim },
        parts.address(scores),
        width,
        {
          rows: parts.rows.get,
          columns: limit,
          steps: i32(dim),
          accumulate: false,
        },
      ),
      softmax(parts, parts.address(scores), width, parts.address(factors)),
      parts.product(
        { address: parts.address(scores), row: 4 * width, step: 4 },
        { address: parts.address(valuePanels), panel: 4 * panelColumns * keys },
        parts.address(results),
        padded(dim),
        { rows: parts.rows.get, columns: i32(dim), steps: limit, accumulate: false },
      ),
      parts.storeRows(0, parts.address(results), parts.first.get, kernel.queries, parts.rows.get, (row) =>
        load('v128.load', op('i32.add', parts.address(factors), times(row.get, 16))),
      ),
    ];
  };
  const cost = parts.block * keys * (0.2 * dim + 4);
  return {
    stages: [frame.close(body, batch * heads * parts.blocks, cost)],
    sharedBytes: 0,
    threadBytes: parts.threadBytes,
  };
}
