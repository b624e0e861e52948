/**
 * Attention in one pass over the keys (Dao et al. 2022, FlashAttention): a workgroup owns a tile of queries, walks over
 * tiles of keys and values, and keeps for each query the highest score so far and sums relative to it, which it scales
 * down when a higher one comes. No score leaves the workgroup.
 */
import { hiddenScore } from './attention-tasks';
import {
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
import type { Dispatch, FlashKernel, Task } from './task';

/** The dispatch of attention. */
export function flashCode(task: Task<FlashKernel>): Dispatch {
  const { query, key, value, causal, scale, dim, tiling } = task.kernel;
  const { own, walked, across } = tiling;
  const plan = planFlash(task, 'query', [query, key, value]);
  const { shader, first, counts } = plan;
  const result = shader.outputNumber(0);
  if (dim % 4 !== 0) shader.unpack(result);
  shader.unpack(shader.outputNumber(1));
  declareTile(plan, 'own', own);
  // A tile of keys, then one of values in its place.
  declareTile(plan, 'walked', walked);
  declareWeights(plan, 'weights');
  shader.declare(`var<workgroup> shared_rows: array<vec4<f32>, ${(own / 4) * across}>;`);

  const loadQuery = tileLoader(plan, query, 'query', shader.let('scale', shader.floatParam(scale)));
  const loadKey = tileLoader(plan, key, 'key');
  const loadValue = tileLoader(plan, value, 'key');
  loadQuery('own', own, first);
  const sums = declareSums(plan);
  shader.line(`var highest = vec4<f32>(${hiddenScore});`);
  shader.line('var total = vec4<f32>(0.0);');
  const end = causal ? `min(${counts.key}, ${first} + ${own})` : counts.key;
  shader.line(`let end = ${end};`);
  shader.line(`for (var from_key = 0; from_key < end; from_key += ${walked}) {`);
  loadKey('walked', walked, 'from_key');
  shader.line('workgroupBarrier();');
  const scores = writeProducts(plan, 'own', 'walked');
  writeWeights(plan, scores, () => loadValue('walked', walked, 'from_key'));
  for (const [r, parts] of sums.entries()) {
    for (const sum of parts) shader.line(`${sum} *= decay.${'xyzw'[r]};`);
  }
  writeAdd(plan, 'weights', 'walked', sums);
  shader.line('workgroupBarrier();');
  shader.line('}');
  writeShared(plan, 'total', (other) => `total += ${other};`, 'total = vec4<f32>(0.0);');
  shader.line('let none = total == vec4<f32>(0.0);');
  shader.line('let divisor = select(total, vec4<f32>(1.0), none);');
  // Where no key is seen, the sums are 0.
  writeRows(plan, result, sums, (sum, row) => `${sum} / divisor.${'xyzw'[row]}`);
  writeLogSumExp(plan);
  return finishFlash(plan);
}

/** From scores to weights relative to the highest score so far, in workgroup memory; all invocations have read the keys. */
function writeWeights(plan: FlashPlan, scores: readonly string[], loadValues: () => void): void {
  const { shader } = plan;
  const seen = writeSeen(plan, 'from_key');
  const exp = shader.helper('exp_nan_4');
  const hidden = `vec4<f32>(${hiddenScore})`;
  shader.line(`var top = ${hidden};`);
  scores.forEach((score, i) => {
    shader.line(`top = max(top, select(${hidden}, ${score}, ${seen[i]}));`);
  });
  writeShared(plan, 'top', (other) => `top = max(top, ${other});`, 'top = highest;');
  shader.line('let decay = exp(highest - top);');
  shader.line('highest = top;');
  shader.line('total *= decay;');
  for (const i of columns(plan)) {
    const weight = shader.let('w', `select(vec4<f32>(0.0), ${exp}(${scores[i]} - top), ${seen[i]})`);
    shader.line(`total += ${weight};`);
    writeWeight(plan, 'weights', i, weight);
  }
  loadValues();
  shader.line('workgroupBarrier();');
}

/** Joins, in a fixed order, what the invocations that share rows have; afterwards each has the result. */
function writeShared(
  { shader, tiling }: FlashPlan,
  name: string,
  join: (other: string) => string,
  start: string,
): void {
  const { across } = tiling;
  shader.line(`shared_rows[down * ${across} + along] = ${name};`);
  shader.line('workgroupBarrier();');
  shader.line(start);
  shader.line(`for (var i = 0; i < ${across}; i++) { ${join(`shared_rows[down * ${across} + i]`)} }`);
}

function writeLogSumExp({ task, shader, outer, counts, rows }: FlashPlan): void {
  const [b, h] = outer;
  const infinity = `${shader.helper('from_bits_4')}(vec4<u32>(0xff800000u))`;
  shader.line('if (along == 0) {');
  shader.line(`let logs = select(highest + ${shader.helper('log_nan_4')}(divisor), ${infinity}, none);`);
  const base = shader.let('at', `(${b} * ${shader.param(task.kernel.heads)} + ${h}) * ${counts.query}`);
  for (const r of range(4)) {
    const row = `${rows}.${'xyzw'[r]}`;
    shader.line(`if (${row} < ${counts.query}) {`);
    shader.store(shader.outputNumber(1), `${base} + ${row}`, `logs.${'xyzw'[r]}`);
    shader.line('}');
  }
  shader.line('}');
}
