/**
 * scatterAdd: an invocation for each batch and column (or four columns) walks the updates in their order, so every sum
 * has one order. Where that leaves a GPU idle, several walk the same updates and share the output rows among them. The
 * output was filled with zeros by the task before.
 */
import type { ScatterAddKernel } from '@clipin/kernel';
import { writeIndices } from './loop-code';
import type { Profile } from './profile';
import { Shader } from './shader';
import type { Dispatch, Task } from './task';

const workgroup = 16;

/** The dispatch of a scatterAdd. */
export function scatterCode(task: Task<ScatterAddKernel>, profile: Profile): Dispatch {
  const { batch, rows, count, width } = task.kernel;
  const shader = new Shader(task);
  const [indices, updates] = task.inputs as readonly [number, number];
  const output = shader.outputNumber(0);
  const lanes = width % 4 === 0 ? 4 : 1;
  shader.unpack(indices);
  if (lanes === 1) {
    shader.unpack(updates);
    shader.unpack(output);
  }
  const columns = width / lanes;
  const walkers = batch * columns;
  const shares = profile.workgroupMemory ? Math.min(64, Math.ceil(profile.invocations / walkers)) : 1;
  const total = walkers * shares;
  shader.line(`let id = group * ${workgroup}u + lane;`);
  shader.line(`if (id >= u32(${shader.param(total)})) { return; }`);
  const [outer, share, part] = writeIndices(shader, 'id', [batch, shares, columns]);
  const [rowsCode, countCode, widthCode] = [rows, count, width].map((size) => shader.param(size));
  const column = shader.let('c', `${part} * ${lanes}`);
  shader.line(`for (var i = 0; i < ${countCode}; i++) {`);
  const at = shader.let('n', `${outer} * ${countCode} + i`);
  // A negative index is a large one as u32: out of range too.
  const row = shader.let('r', `bitcast<u32>(${shader.load(indices, at)})`);
  const sharesCode = `u32(${shader.param(shares)})`;
  shader.line(`if (${row} < u32(${rowsCode}) && ${row} % ${sharesCode} == u32(${share})) {`);
  const from = `(${at} * ${widthCode} + ${column})`;
  const to = shader.let('t', `(${outer} * ${rowsCode} + i32(${row})) * ${widthCode} + ${column}`);
  if (lanes === 4)
    shader.storePacked(output, to, `${shader.loadRun(output, to)} + ${shader.loadRun(updates, from)}`);
  else shader.store(output, to, `${shader.load(output, to)} + ${shader.load(updates, from)}`);
  shader.line('}');
  shader.line('}');
  return shader.finish(Math.ceil(total / workgroup), workgroup);
}
