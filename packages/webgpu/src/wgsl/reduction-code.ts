/**
 * Loop kernels with a reduction. Three ways to share the work, chosen by layout and profile:
 * four lanes along the reduction's last axis (sums of rows), four lanes along the last outer axis (sums of columns), or
 * plain scalars; and on hardware a whole workgroup for each output. The order of every fold is fixed.
 */
import type { LoopKernel, Reduction } from '@clipin/kernel';
import { sizeOf } from '@clipin/kernel';
import { collapseLoop } from './collapse';
import { laneGroups, writeIndices } from './loop-code';
import type { Profile } from './profile';
import {
  type Scope,
  unpackFor,
  unpackStores,
  type Value,
  widen,
  writeBody,
  writeProgram,
} from './program-code';
import { foldCode, startCode } from './scalar-code';
import { type Lanes, Shader, typeName } from './shader';
import { axisMasks, type Dispatch, placesOf, type Task } from './task';

/** The four lanes of a reduction: along its own last axis, along the last outer axis, or none. */
export type ReductionLanes = 'inner' | 'outer' | 'none';

/** Chooses the lanes by what the loads walk along; the task must be collapsed. */
export function reductionLanes({ kernel }: Task<LoopKernel>): ReductionLanes {
  const reduction = kernel.reduction as Reduction;
  const rank = kernel.axes.length;
  const lastOuter = rank - 1;
  const lastInner = rank + reduction.axes.length - 1;
  const along = (axis: number) =>
    reduction.program.filter((step) => step.op === 'load' && step.index.strides[axis] === 1).length;
  const innerFits = (reduction.axes[reduction.axes.length - 1] ?? 0) % 4 === 0 && reduction.axes.length > 0;
  const outerFits = rank > 0 && (kernel.axes[lastOuter] as number) >= 4;
  const inner = reduction.axes.length > 0 ? along(lastInner) : 0;
  const outer = outerFits ? along(lastOuter) : 0;
  if (innerFits && inner >= outer) return 'inner';
  return outer > inner ? 'outer' : 'none';
}

/** Invocations that share one output: more than one only on hardware, for sums along rows. */
export function sharers(lanes: ReductionLanes, points: number, profile: Profile): number {
  if (!profile.workgroupMemory || lanes === 'outer' || points < 64) return 1;
  return points >= 2048 ? 256 : 64;
}

/** Size of a workgroup whose invocations do not work together. */
export const plainWorkgroup = (profile: Profile): number => (profile.workgroupMemory ? 64 : 16);

/** The dispatch of a loop with a reduction. */
export function reductionCode(given: Task<LoopKernel>, profile: Profile): Dispatch {
  const task = collapseLoop(given);
  const { kernel } = task;
  const reduction = kernel.reduction as Reduction;
  const places = placesOf(task);
  const rank = kernel.axes.length;
  const last = rank - 1;
  const kind = reductionLanes(task);
  const points = sizeOf(reduction.axes);
  const shared = sharers(kind, points, profile);
  const size = shared > 1 ? shared : plainWorkgroup(profile);
  const shader = new Shader(task);

  const outerLane = kind === 'outer' ? last : undefined;
  const innerLane = kind === 'inner' ? rank + reduction.axes.length - 1 : undefined;
  const foldLane = outerLane ?? innerLane;
  const n = kernel.axes[last] ?? 1;
  const groups = laneGroups(n, rank === 1 && given.places === undefined);
  const ragged = outerLane !== undefined && groups.ragged;
  const lanes: Lanes = foldLane === undefined ? 1 : 4;
  const type = typeName(reduction.dtype, lanes);
  const result: Value = { name: 'total', lanes: outerLane === undefined ? 1 : 4, dtype: reduction.dtype };
  unpackFor(shader, reduction.program, { laneAxis: foldLane });
  unpackFor(shader, kernel.program, { laneAxis: outerLane, reduced: result });
  unpackStores(shader, places, outerLane, ragged);

  // Which output.
  const sizes = outerLane === undefined ? kernel.axes : [...kernel.axes.slice(0, last), groups.count];
  const total = sizeOf(sizes);
  const flat = shared > 1 ? 'group' : 'id';
  if (shared === 1) {
    shader.line(`let id = group * ${size}u + lane;`);
    shader.line(`if (id >= u32(${shader.param(total)})) { return; }`);
  }
  const outer = writeIndices(shader, flat, sizes);
  if (outerLane !== undefined) outer[last] = shader.let('i', `${outer[last]} * 4`);

  // The fold over the points `from` to `to`, counted in groups of lanes along the inner axis.
  const perStep = innerLane === undefined ? 1 : 4;
  const innerSizes = reduction.axes.map((axis, i) =>
    i === reduction.axes.length - 1 ? axis / perStep : axis,
  );
  const end = shader.param(points / perStep);
  let from = '0';
  let to = end;
  if (task.chunk) {
    const chunk = shader.param(task.chunk / perStep);
    from = shader.let('f', `${outer[0]} * ${chunk}`);
    to = shader.let('t', `min(${from} + ${chunk}, ${end})`);
  }
  const innerMask = axisMasks(reduction.program).map((mask) => mask >> rank !== 0);
  const scope: Scope = { shader, indices: [...outer], laneAxis: foldLane };
  const values = writeProgram(scope, reduction.program, (at) => !innerMask[at]);
  shader.line(`var acc = ${type}(${startCode(shader, reduction.op, reduction.dtype)});`);
  const first = shared > 1 ? `${from} + i32(lane)` : from;
  shader.line(`for (var point = ${first}; point < ${to}; point += ${shared}) {`);
  const inner = writeIndices(shader, 'u32(point)', innerSizes);
  if (innerLane !== undefined) inner[inner.length - 1] = shader.let('i', `${inner[inner.length - 1]} * 4`);
  const insideScope: Scope = { shader, indices: [...outer, ...inner], laneAxis: foldLane };
  writeProgram(insideScope, reduction.program, (at) => innerMask[at] === true, values);
  const value = values[values.length - 1] as Value;
  shader.line(`acc = ${foldCode(shader, reduction.op, reduction.dtype, lanes, 'acc', widen(value, lanes))};`);
  shader.line('}');

  const fold = (a: string, b: string, foldLanes: Lanes) =>
    foldCode(shader, reduction.op, reduction.dtype, foldLanes, a, b);
  if (shared > 1) {
    // Subgroups pass on numbers, not truth values.
    const subgroup = reduction.dtype === 'bool' ? 0 : profile.subgroup;
    writeTree(shader, type, { size: shared, subgroup }, (a, b) => fold(a, b, lanes));
  }
  if (innerLane !== undefined) {
    const left = shader.let('h', fold('acc.x', 'acc.y', 1));
    const right = shader.let('h', fold('acc.z', 'acc.w', 1));
    shader.line(`let total = ${fold(left, right, 1)};`);
  } else {
    shader.line('let total = acc;');
  }
  const bodyScope: Scope = { shader, indices: outer, laneAxis: outerLane, reduced: result };
  const laneEnd = ragged ? { index: outer[last] as string, size: shader.param(n) } : undefined;
  writeBody(bodyScope, kernel, places, laneEnd);
  return shader.finish(shared > 1 ? total : Math.ceil(total / size), size);
}

/**
 * Folds a variable over the subgroups of a workgroup, if their size is known, without workgroup memory.
 *
 * @returns how many neighbours hold the same result now
 */
export function foldSubgroups(
  shader: Shader,
  name: string,
  { size, subgroup }: { size: number; subgroup: number },
  fold: (a: string, b: string) => string,
): number {
  const folded = Math.max(1, Math.min(subgroup, size));
  for (let half = folded / 2; half >= 1; half /= 2) {
    const other = shader.let('h', `${shader.needSubgroups('subgroupShuffleXor')}(${name}, ${half}u)`);
    shader.line(`${name} = ${fold(name, other)};`);
  }
  return folded;
}

/**
 * Folds the accumulators of a workgroup pairwise into that of its first invocation; the others return. Subgroups of a
 * known size are folded first, without workgroup memory; a barrier is then needed for fewer halvings.
 */
function writeTree(
  shader: Shader,
  type: string,
  { size, subgroup }: { size: number; subgroup: number },
  fold: (a: string, b: string) => string,
): void {
  const folded = foldSubgroups(shader, 'acc', { size, subgroup }, fold);
  if (folded < size) {
    shader.declare(`var<workgroup> partial: array<${type}, ${size}>;`);
    shader.line('partial[lane] = acc;');
    shader.line('workgroupBarrier();');
    shader.line(`for (var half = ${size / 2}u; half >= ${folded}u; half /= 2u) {`);
    shader.line(`if (lane < half) { partial[lane] = ${fold('partial[lane]', 'partial[lane + half]')}; }`);
    shader.line('workgroupBarrier();');
    shader.line('}');
  }
  shader.line('if (lane > 0u) { return; }');
  if (folded < size) shader.line('acc = partial[0];');
}
