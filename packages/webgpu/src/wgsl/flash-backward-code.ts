/**
 * Attention's derivative without a score in memory: weights are computed again from the logarithms that the forward
 * kernel stored. One kernel owns queries and walks over keys, for the gradient of the query; the other owns keys and
 * values and walks over queries, for theirs. The two are one text but for who walks: no sum needs an atomic operation.
 */
import {
  columnOf,
  columns,
  declareSums,
  declareTile,
  declareWeights,
  type FlashPlan,
  finishFlash,
  planFlash,
  range,
  tileLoader,
  writeAdd,
  writeProducts,
  writeRows,
  writeSeen,
  writeWeight,
} from './flash-tile-code';
import type { Dispatch, FlashBackwardKernel, Task } from './task';

/** The dispatch of a part of attention's derivative. */
export function flashBackwardCode(task: Task<FlashBackwardKernel>): Dispatch {
  const { query, key, value, gradient, of, causal, dim, tiling, statistics } = task.kernel;
  const plan = planFlash(task, of, [query, key, value, gradient]);
  const { shader, first, counts } = plan;
  const outputs = task.outputs.map((_, i) => shader.outputNumber(i));
  if (dim % 4 !== 0) for (const output of outputs) shader.unpack(output);
  shader.unpack(shader.inputNumber(statistics));
  for (const tile of ['own_score', 'own_weight']) declareTile(plan, tile, tiling.own);
  for (const tile of ['walked_score', 'walked_weight']) declareTile(plan, tile, tiling.walked);
  declareWeights(plan, 'score_gradients');
  if (of === 'key') declareWeights(plan, 'weights');

  const scale = shader.let('scale', shader.floatParam(task.kernel.scale));
  const queries = [tileLoader(plan, query, 'query', scale), tileLoader(plan, gradient, 'query')] as const;
  const keys = [tileLoader(plan, key, 'key'), tileLoader(plan, value, 'key')] as const;
  const [own, walked] = of === 'query' ? [queries, keys] : [keys, queries];
  own[0]('own_score', tiling.own, first);
  own[1]('own_weight', tiling.own, first);
  const readStatistics = writeStatistics(plan, statistics);
  const scoreSums = declareSums(plan);
  const weightSums = of === 'key' ? declareSums(plan) : [];
  const end =
    of === 'key' ? counts.query : causal ? `min(${counts.key}, ${first} + ${tiling.own})` : counts.key;
  // Under a causal mask the first queries see none of the workgroup's keys.
  const start = of === 'key' && causal ? first : '0';
  shader.line(`let end = ${end};`);
  shader.line(`for (var from_row = ${start}; from_row < end; from_row += ${tiling.walked}) {`);
  walked[0]('walked_score', tiling.walked, 'from_row');
  walked[1]('walked_weight', tiling.walked, 'from_row');
  shader.line('workgroupBarrier();');
  writeGradients(plan, readStatistics);
  shader.line('workgroupBarrier();');
  writeAdd(plan, 'score_gradients', 'walked_score', scoreSums);
  if (of === 'key') writeAdd(plan, 'weights', 'walked_weight', weightSums);
  shader.line('workgroupBarrier();');
  shader.line('}');
  const [scores = 0, weights = 0] = outputs;
  // The walked queries were scaled as they were loaded.
  writeRows(plan, scores, scoreSums, (sum) => (of === 'query' ? `${sum} * ${scale}` : sum));
  if (of === 'key') writeRows(plan, weights, weightSums, (sum) => sum);
  return finishFlash(plan);
}

/** Computes the weights of a tile, and the gradients of its scores, into workgroup memory. */
function writeGradients(
  plan: FlashPlan,
  statistics: (i: number) => { readonly logarithms: string; readonly deltas: string },
): void {
  const { shader, own } = plan;
  const scores = writeProducts(plan, 'own_score', 'walked_score');
  const gradients = writeProducts(plan, 'own_weight', 'walked_weight');
  const seen = writeSeen(plan, 'from_row');
  const exp = shader.helper('exp_nan_4');
  const zero = 'vec4<f32>(0.0)';
  for (const i of columns(plan)) {
    const { logarithms, deltas } = statistics(i);
    const weight = shader.let('w', `select(${zero}, ${exp}(${scores[i]} - ${logarithms}), ${seen[i]})`);
    const gradient = `select(${zero}, ${weight} * (${gradients[i]} - ${deltas}), ${seen[i]})`;
    writeWeight(plan, 'score_gradients', i, gradient);
    if (own === 'key') writeWeight(plan, 'weights', i, weight);
  }
}

/**
 * What is known of each query: the logarithm of its denominator, and `Σ gradient · result`. Own queries are read once,
 * walked ones tile by tile. What it gives writes what walked row `i` needs, and gives expressions of vec4 over own rows.
 */
function writeStatistics(
  plan: FlashPlan,
  input: number,
): (i: number) => { logarithms: string; deltas: string } {
  const { task, shader, outer, counts, own, rows } = plan;
  const { batch, heads, queries } = task.kernel;
  const number = shader.inputNumber(input);
  const [b, h] = outer;
  const base = shader.let('stat', `(${b} * ${shader.param(heads)} + ${h}) * ${counts.query}`);
  const second = shader.param(batch * heads * queries);
  if (own === 'query') {
    const inside = `min(${rows}, vec4<i32>(${counts.query} - 1))`;
    const places = shader.let('at', `vec4<i32>(${base}) + ${inside}`);
    const at = range(4).map((lane) => `${places}.${'xyzw'[lane]}`);
    const logarithms = shader.let('lse', shader.loadFour(number, at));
    const deltas = shader.let(
      'delta',
      shader.loadFour(
        number,
        at.map((place) => `${place} + ${second}`),
      ),
    );
    return () => ({ logarithms, deltas });
  }
  return (i) => {
    const at = shader.let('at', `${base} + min(from_row + ${columnOf(plan, i)}, ${counts.query} - 1)`);
    return {
      logarithms: `vec4<f32>(${shader.load(number, at)})`,
      deltas: `vec4<f32>(${shader.load(number, `${at} + ${second}`)})`,
    };
  };
}
