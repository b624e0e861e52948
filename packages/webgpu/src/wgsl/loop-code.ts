/** Loop kernels without a reduction: one invocation computes one element, or four neighbours along the last axis. */
import type { LoopKernel } from '@clipin/kernel';
import { collapseLoop } from './collapse';
import { type Scope, unpackFor, unpackStores, writeBody } from './program-code';
import { Shader } from './shader';
import { type Dispatch, placesOf, type Task } from './task';

const workgroup = 64;

/**
 * Finds the loop indices of an invocation.
 *
 * @param shader - where the lines go
 * @param flat - u32 expression: the number of the point, row-major over `sizes`
 * @param sizes - sizes of the axes
 * @returns names of i32 indices
 */
export function writeIndices(shader: Shader, flat: string, sizes: readonly number[]): string[] {
  const names = sizes.map(() => shader.name('i'));
  let rest = flat;
  for (let axis = sizes.length - 1; axis >= 0; axis--) {
    if (axis === 0) {
      shader.line(`let ${names[axis]} = i32(${rest});`);
      break;
    }
    const size = `u32(${shader.param(sizes[axis] as number)})`;
    shader.line(`let ${names[axis]} = i32(${rest} % ${size});`);
    rest = shader.let('r', `${rest} / ${size}`);
  }
  return names;
}

/** How a lane axis of `n` elements is cut into groups of four. */
export function laneGroups(n: number, alone: boolean): { count: number; ragged: boolean } {
  // An output with one axis only ends in the padding of its buffer, so surplus lanes may be stored.
  return { count: Math.ceil(n / 4), ragged: n % 4 !== 0 && !alone };
}

/** The dispatch of a loop without a reduction. */
export function loopCode(given: Task<LoopKernel>): Dispatch {
  const task = collapseLoop(given);
  const { axes } = task.kernel;
  const shader = new Shader(task);
  const last = axes.length - 1;
  const n = axes[last] ?? 1;
  const laneAxis = n >= 4 ? last : undefined;
  const { count, ragged } = laneGroups(n, axes.length === 1 && given.places === undefined);
  unpackFor(shader, task.kernel.program, { laneAxis });
  unpackStores(shader, placesOf(task), laneAxis, ragged);
  const sizes = laneAxis === undefined ? axes : [...axes.slice(0, last), count];
  const total = sizes.reduce((product, size) => product * size, 1);
  shader.line(`let id = group * ${workgroup}u + lane;`);
  shader.line(`if (id >= u32(${shader.param(total)})) { return; }`);
  const indices = writeIndices(shader, 'id', sizes);
  if (laneAxis !== undefined) indices[last] = shader.let('i', `${indices[last]} * 4`);
  const scope: Scope = { shader, indices, laneAxis };
  const end =
    laneAxis !== undefined && ragged ? { index: indices[last] as string, size: shader.param(n) } : undefined;
  writeBody(scope, task.kernel, placesOf(task), end);
  return shader.finish(Math.ceil(total / workgroup), workgroup);
}
