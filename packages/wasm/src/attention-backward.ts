/**
 * The derivative of attention: for each batch element and head, weights are computed again from `logSumExp`, and the
 * gradients of key and value gathered over blocks of queries in order.
 */
import type { AttentionBackwardKernel, Launch } from '@clipin/kernel';
import { foldLanes } from './attention';
import { AttentionParts, padded } from './attention-parts';
import { type Code, f32x4, fillZero, i32, load, op, plus, storeVector } from './code';
import { type CompiledKernel, elementAddress } from './frame';
import { panelColumns } from './gemm';
import { expBelow88, madd, type Target } from './math';
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
  scores: Code,
  width: number,
  apart: number,
): Code {
  const { f, target, frame } = parts;
  const row = f.local('i32');
  const query = f.local('i32');
  const at = f.local('i32');
  const weight = f.local('v128');
  const sum = f.local('v128');
  const logSumExp = f.local('v128');
  const scale = f32x4(kernel.scale);
  const logAt = elementAddress(
    (frame.inputs[kernel.logSumExp] as Local).get,
    [parts.batch.get, parts.head.get, query.get],
    [kernel.heads * kernel.queries, kernel.queries, 1],
  );
  const visit = (from: Local, hidden: Code | undefined): Code => {
    const score = op('f32x4.sub', op('f32x4.mul', load('v128.load', from.get), scale), logSumExp.get);
    const gradient = load('v128.load', plus(from.get, apart));
    return [
      weight.set(expBelow88(f, target, score)),
      hidden ? weight.set(op('v128.andnot', weight.get, hidden)) : [],
      storeVector(from.get, weight.get),
      storeVector(
        plus(from.get, apart),
        op('f32x4.mul', op('f32x4.mul', weight.get, scale), op('f32x4.sub', gradient, sum.get)),
      ),
    ];
  };
  return [
    at.set(scores),
    f.loop(row, i32(0), parts.rows.get, [
      query.set(op('i32.add', parts.first.get, row.get)),
      delta(parts, kernel, query, sum),
      logSumExp.set(load('v128.load32_splat', logAt)),
      parts.alongKeys(query, at, visit, [0, apart]),
      at.add(4 * width),
    ]),
  ];
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
  const area = {
    keyByToken: parts.area(width * dim),
    valueByToken: parts.area(width * dim),
    keyByDim: parts.area(columns * keys),
    query: parts.area(columns * parts.block),
    gradient: parts.area(columns * parts.block),
    weights: parts.area(parts.block * width),
    scores: parts.area(parts.block * width),
    gradQuery: parts.area(parts.block * columns),
    gradKey: parts.area(keys * columns),
    gradValue: parts.area(keys * columns),
  };
  const { first, rows, limit } = parts;
  const strides = (operand: { readonly index: { readonly strides: readonly number[] } }) => {
    const [, , token = 0, element = 0] = operand.index.strides;
    return { byToken: { across: token, along: element }, byDim: { across: element, along: token } };
  };
  const tokens = { width: 8, size: keys, count: i32(keys), steps: i32(dim), mostSteps: dim } as const;
  const block = { width: 8, size: dim, count: i32(dim), steps: rows.get, mostSteps: parts.block } as const;
  const queryRows = parts.leftRows(kernel.query, first.get, rows.get);
  const gradientRows = parts.leftRows(kernel.gradient, first.get, rows.get);
  const panels = (place: { offset: number }, steps: number) => ({
    address: parts.address(place),
    panel: 4 * panelColumns * steps,
  });
  const transposed = (place: { offset: number }) => ({
    address: parts.address(place),
    row: 4,
    step: 4 * width,
  });
  const fromScores = { rows: rows.get, columns: limit.get, steps: i32(dim), accumulate: false };
  const overQueries = { rows: limit.get, columns: i32(dim), steps: rows.get, accumulate: true };

  const oneBlock = [
    parts.bounds(),
    parts.pack(parts.at(kernel.query, first.get), strides(kernel.query).byDim, area.query, block),
    parts.pack(parts.at(kernel.gradient, first.get), strides(kernel.gradient).byDim, area.gradient, block),
    queryRows.code,
    gradientRows.code,
    parts.product(
      queryRows.rows,
      panels(area.keyByToken, dim),
      parts.address(area.weights),
      width,
      fromScores,
    ),
    parts.product(
      gradientRows.rows,
      panels(area.valueByToken, dim),
      parts.address(area.scores),
      width,
      fromScores,
    ),
    gradientsOfScores(
      parts,
      kernel,
      parts.address(area.weights),
      width,
      area.scores.offset - area.weights.offset,
    ),
    parts.product(
      transposed(area.weights),
      panels(area.gradient, parts.block),
      parts.address(area.gradValue),
      columns,
      overQueries,
    ),
    parts.product(
      transposed(area.scores),
      panels(area.query, parts.block),
      parts.address(area.gradKey),
      columns,
      overQueries,
    ),
    parts.product(
      { address: parts.address(area.scores), row: 4 * width, step: 4 },
      panels(area.keyByDim, keys),
      parts.address(area.gradQuery),
      columns,
      { rows: rows.get, columns: i32(dim), steps: limit.get, accumulate: false },
    ),
    parts.storeRows(0, parts.address(area.gradQuery), first.get, queries, rows.get),
  ];

  const body = (item: Local): Code => {
    const { indices, code } = frame.split(item.get, [batch, heads]);
    const [outer, head] = indices as [Local, Local];
    return [
      code,
      parts.batch.set(outer.get),
      parts.head.set(head.get),
      parts.pack(parts.at(kernel.key), strides(kernel.key).byToken, area.keyByToken, tokens),
      parts.pack(parts.at(kernel.value), strides(kernel.value).byToken, area.valueByToken, tokens),
      parts.pack(parts.at(kernel.key), strides(kernel.key).byDim, area.keyByDim, {
        width: 8,
        size: dim,
        count: i32(dim),
        steps: i32(keys),
        mostSteps: keys,
      }),
      fillZero(parts.address(area.gradKey), i32(4 * keys * columns)),
      fillZero(parts.address(area.gradValue), i32(4 * keys * columns)),
      f.loop(first, i32(0), i32(queries), oneBlock, parts.block),
      parts.storeRows(1, parts.address(area.gradKey), i32(0), keys, i32(keys)),
      parts.storeRows(2, parts.address(area.gradValue), i32(0), keys, i32(keys)),
    ];
  };
  const cost = queries * keys * (0.5 * dim + 4);
  return { stages: [frame.close(body, batch * heads, cost)], sharedBytes: 0, threadBytes: parts.threadBytes };
}
