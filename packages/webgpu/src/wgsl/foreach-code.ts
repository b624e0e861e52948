/**
 * One program over many tensors: as many in one dispatch as an adapter binds buffers, one text for each such number. A
 * workgroup belongs to one part, whose buffers it loads from and stores to by a branch each, and the program between
 * stands once. Always four neighbours at a time: what a last run has too many falls in the padding of buffers.
 */
import { type Affine, type ForeachKernel, foreachPart } from '@clipin/kernel';
import { type Scope, type Value, widen, writeProgram } from './program-code';
import { Shader, typeName } from './shader';
import type { Dispatch, Task } from './task';

const workgroup = 64;

const isFixed = ({ strides }: Affine): boolean => strides.every((stride) => stride === 0);

/** The dispatch of a foreach whose buffers can all be bound. */
export function foreachCode(task: Task<ForeachKernel>): Dispatch {
  const { kernel } = task;
  const { lengths, program, stores, shared } = kernel;
  const shader = new Shader(task);
  const parts = lengths.map((_, part) => foreachPart(kernel, part));
  for (const step of program) {
    if (step.op !== 'load' || !isFixed(step.index)) continue;
    for (const { inputs } of parts) shader.unpack(shader.inputNumber(inputs[step.input] as number));
  }
  const groups = lengths.map((length) => Math.ceil(length / (4 * workgroup)));
  let total = 0;
  let start = '0u';
  let [part, first, size] = ['0', start, shader.param(lengths[0] as number)];
  groups.forEach((count, number) => {
    if (number > 0) {
      start = shader.let('start', `u32(${shader.param(total)})`);
      const isIn = shader.let('in', `group >= ${start}`);
      part = shader.let('part', `select(${part}, ${number}, ${isIn})`);
      first = shader.let('first', `select(${first}, ${start}, ${isIn})`);
      size = shader.let('size', `select(${size}, ${shader.param(lengths[number] as number)}, ${isIn})`);
    }
    total += count;
  });
  shader.line(`let element = i32((group - ${first}) * ${workgroup}u + lane) * 4;`);
  shader.line(`if (element >= ${size}) { return; }`);
  /** What differs between parts. */
  const perPart = (write: (number: number) => void): void => {
    parts.forEach((_, number) => {
      const isLast = number === parts.length - 1;
      if (parts.length > 1) {
        shader.line(`${number > 0 ? '} else ' : ''}${isLast ? '' : `if (${part} == ${number}) `}{`);
      }
      write(number);
    });
    if (parts.length > 1) shader.line('}');
  };
  const scope: Scope = { shader, indices: ['element'], laneAxis: 0 };

  // Shared inputs are read by the program; own ones before it.
  const loads = program.flatMap((step, number) =>
    step.op === 'load' && step.input >= shared ? [{ step, number }] : [],
  );
  const values: (Value | undefined)[] = [];
  for (const { step, number } of loads) {
    const lanes = isFixed(step.index) ? 1 : 4;
    const name = shader.name('own');
    shader.line(`var ${name}: ${typeName(step.dtype, lanes)};`);
    values[number] = { name, lanes, dtype: step.dtype };
  }
  const offsets = loads.map(({ step }) => (isFixed(step.index) ? shader.param(step.index.offset) : ''));
  if (loads.length > 0) {
    perPart((part) => {
      loads.forEach(({ step, number }, i) => {
        const buffer = shader.inputNumber((parts[part] as (typeof parts)[0]).inputs[step.input] as number);
        const loaded = isFixed(step.index)
          ? shader.load(buffer, offsets[i] as string)
          : shader.loadRun(buffer, 'element');
        shader.line(`${(values[number] as Value).name} = ${loaded};`);
      });
    });
  }
  const isOwnLoad = new Set(loads.map(({ number }) => number));
  writeProgram(scope, program, (number) => !isOwnLoad.has(number), values);
  perPart((part) => {
    stores.forEach((number, i) => {
      const buffer = shader.outputNumber((parts[part] as (typeof parts)[0]).outputs[i] as number);
      shader.storePacked(buffer, 'element', widen(values[number] as Value, 4));
    });
  });
  return shader.finish(total, workgroup);
}
