/**
 * One program over many tensors: as many in one dispatch as an adapter binds buffers, one text for each such number. A
 * workgroup belongs to one part; a switch finds the part's buffers for its loads and its stores, and the program between
 * stands once. Always four neighbours at a time: what a last run has too many falls in the padding of buffers.
 */
import { type Affine, type ForeachKernel, foreachPart, type Launch } from '@clipin/kernel';
import { type Scope, type Value, widen, writeProgram } from './program-code';
import { Shader, typeName } from './shader';
import type { Dispatch, Task } from './task';

const workgroup = 64;

type ForeachTask = Task<ForeachKernel>;

const isFixed = ({ strides }: Affine): boolean => strides.every((stride) => stride === 0);

/** The tasks of a launch, each of which touches at most `most` buffers. */
export function foreachTasks(
  { kernel, inputs, inputTypes, outputs, outputTypes }: Launch & { kernel: ForeachKernel },
  most: number,
): ForeachTask[] {
  const { lengths, shared, own, stores } = kernel;
  const common = inputs.slice(0, shared);
  const tasks: ForeachTask[] = [];
  let parts: number[] = [];
  let touched = new Set(common);
  const close = () => {
    if (parts.length === 0) return;
    const ofParts = parts.map((part) => foreachPart(kernel, part));
    const pick = <T>(all: readonly T[], numbers: readonly number[]) => numbers.map((at) => all[at] as T);
    tasks.push({
      kernel: { ...kernel, lengths: parts.map((part) => lengths[part] as number) },
      inputs: [...common, ...ofParts.flatMap((part) => pick(inputs, part.inputs.slice(shared)))],
      inputTypes: inputTypes.slice(0, shared + parts.length * own),
      outputs: ofParts.flatMap((part) => pick(outputs, part.outputs)),
      outputTypes: outputTypes.slice(0, parts.length * stores.length),
    });
    parts = [];
    touched = new Set(common);
  };
  lengths.forEach((length, number) => {
    if (length === 0) return;
    const part = foreachPart(kernel, number);
    const buffers = [
      ...part.inputs.map((at) => inputs[at] as number),
      ...part.outputs.map((at) => outputs[at] as number),
    ];
    if (parts.length > 0 && new Set([...touched, ...buffers]).size > most) close();
    for (const buffer of buffers) touched.add(buffer);
    parts.push(number);
  });
  close();
  return tasks;
}

/** The dispatch of a part of a foreach. */
export function foreachCode(task: ForeachTask): Dispatch {
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
  shader.line('var part = 0;');
  shader.line('var first = 0u;');
  groups.forEach((count, part) => {
    if (part > 0) {
      const start = shader.let('f', `u32(${shader.param(total)})`);
      shader.line(`if (group >= ${start}) { part = ${part}; first = ${start}; }`);
    }
    total += count;
  });
  const sizes = lengths.map((length) => shader.param(length));
  shader.line(`let element = i32((group - first) * ${workgroup}u + lane) * 4;`);
  /** A switch over the parts. */
  const perPart = (write: (part: number) => void): void => {
    if (parts.length === 1) return write(0);
    shader.line('switch part {');
    parts.forEach((_, part) => {
      shader.line(part < parts.length - 1 ? `case ${part}: {` : 'default: {');
      write(part);
      shader.line('}');
    });
    shader.line('}');
  };
  shader.line(`var size = ${sizes[0]};`);
  if (parts.length > 1) perPart((part) => shader.line(`size = ${sizes[part]};`));
  shader.line('if (element >= size) { return; }');
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
