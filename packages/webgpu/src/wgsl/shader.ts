/**
 * The text of one shader while it is being written: buffers, parameters, helper functions, lines. Sizes, strides and
 * offsets are parameters, so that one text (one pipeline) serves many shapes; only structure is in the text.
 */
import type { DType } from '@clipin/kernel';
import { encodeFourHalves, encodeHalf, halfElement, loadFourHalves, loadHalf } from './half-code';
import { helperText } from './helpers';
import { type BufferNumber, type Dispatch, type Task, usedInputs } from './task';

/** Lanes of a value: a scalar, or four neighbours along one axis. */
export type Lanes = 1 | 4;

/** The WGSL type of a value in a program; halves are f32 there. */
export function typeName(dtype: DType, lanes: Lanes): string {
  const element = dtype === 'f16' ? 'f32' : dtype;
  return lanes === 1 ? element : `vec4<${element}>`;
}

interface Binding {
  readonly number: BufferNumber;
  readonly dtype: DType;
  readonly written: boolean;
  /** Whether it is an array of vec4: every access is to four aligned elements. */
  packed: boolean;
}

/** A shader being written. */
export class Shader {
  /** Lines of the entry point. */
  lines: string[] = [];
  private readonly words: number[] = [];
  private readonly helpers = new Set<string>();
  private readonly bindings: Binding[] = [];
  private readonly declarations: string[] = [];
  private names = 0;
  private subgroups = false;
  private matrices = false;

  constructor(private readonly task: Task) {
    const used = usedInputs(task.kernel);
    const inputs = task.inputs.map((number, i) => ({ number, dtype: task.inputTypes[i] as DType }));
    const outputs = task.outputs.map((number, i) => ({ number, dtype: task.outputTypes[i] as DType }));
    for (const { number, dtype } of [...inputs.filter((_, i) => used.has(i)), ...outputs]) {
      if (this.bindings.some((binding) => binding.number === number)) continue;
      this.bindings.push({ number, dtype, written: task.outputs.includes(number), packed: true });
    }
  }

  /** A name that nothing else has. */
  name(prefix: string): string {
    return `${prefix}_${this.names++}`;
  }

  /** Adds a line to the entry point. */
  line(text: string): void {
    this.lines.push(text);
  }

  /** Adds `let` of a fresh name and gives the name. */
  let(prefix: string, expression: string): string {
    const name = this.name(prefix);
    this.line(`let ${name} = ${expression};`);
    return name;
  }

  /** A number that may differ between kernels with the same text, as i32. */
  param(value: number): string {
    if (!Number.isInteger(value) || Math.abs(value) > 2 ** 31 - 1) {
      throw new RangeError(`webgpu: ${value} is out of the range of 32-bit indices; make the tensor smaller`);
    }
    this.words.push(value);
    return `p${this.words.length - 1}`;
  }

  /** The same for a number that is rounded to f32. */
  floatParam(value: number): string {
    this.words.push(new Int32Array(Float32Array.of(value).buffer)[0] as number);
    return `bitcast<f32>(p${this.words.length - 1})`;
  }

  /** Makes a helper function available and gives its name. */
  helper(name: string): string {
    this.helpers.add(name);
    return name;
  }

  /** A builtin of subgroups, by its name; the shader then needs subgroups. */
  needSubgroups(name: string): string {
    this.subgroups = true;
    return name;
  }

  /** Says that subgroups multiply matrices. The entry point then knows `subgroup`, the number of its subgroup (u32). */
  needMatrices(): void {
    this.matrices = true;
  }

  /** A declaration at module scope. */
  declare(text: string): void {
    this.declarations.push(text);
  }

  private binding(number: BufferNumber): Binding {
    return this.bindings.find((binding) => binding.number === number) as Binding;
  }

  /** Input `input`'s buffer. */
  inputNumber(input: number): BufferNumber {
    return this.task.inputs[input] as BufferNumber;
  }

  /** Output `output`'s buffer. */
  outputNumber(output: number): BufferNumber {
    return this.task.outputs[output] as BufferNumber;
  }

  /** Says that a buffer is accessed element by element somewhere: it will not be an array of vec4. */
  unpack(number: BufferNumber): void {
    this.binding(number).packed = false;
  }

  private place(number: BufferNumber): string {
    return `b${this.bindings.indexOf(this.binding(number))}`;
  }

  private decode(number: BufferNumber, expression: string, lanes: Lanes): string {
    const { dtype } = this.binding(number);
    return dtype === 'bool' ? `(${expression} != ${lanes === 1 ? '0u' : 'vec4<u32>(0u)'})` : expression;
  }

  private isHalf(number: BufferNumber): boolean {
    return this.binding(number).dtype === 'f16';
  }

  /** Whether WGSL has f16 on this adapter. */
  private get native(): boolean {
    return this.task.f16 === true;
  }

  private encode(number: BufferNumber, value: string, lanes: Lanes): string {
    if (this.isHalf(number)) return (lanes === 1 ? encodeHalf : encodeFourHalves)(this, this.native, value);
    if (this.binding(number).dtype !== 'bool') return value;
    return lanes === 1 ? `select(0u, 1u, ${value})` : `select(vec4<u32>(0u), vec4<u32>(1u), ${value})`;
  }

  /** One element. The buffer must be unpacked. */
  load(number: BufferNumber, index: string): string {
    const place = this.place(number);
    if (this.isHalf(number)) return loadHalf(this, this.native, place, index);
    return this.decode(number, `${place}[${index}]`, 1);
  }

  /** Four elements at these indices. The buffer must be unpacked. */
  loadFour(number: BufferNumber, indices: readonly string[]): string {
    const { dtype } = this.binding(number);
    const stored = dtype === 'bool' ? 'u32' : dtype;
    if (this.isHalf(number))
      return `vec4<f32>(${indices.map((index) => this.load(number, index)).join(', ')})`;
    const elements = indices.map((index) => `${this.place(number)}[${index}]`);
    return this.decode(number, `vec4<${stored}>(${elements.join(', ')})`, 4);
  }

  /** Four neighbours from `index` on, which is a multiple of 4 if the buffer is packed. */
  loadRun(number: BufferNumber, index: string): string {
    const place = this.place(number);
    if (this.binding(number).packed) {
      if (this.isHalf(number)) return loadFourHalves(this, this.native, place, index);
      return this.decode(number, `${place}[${index} >> 2u]`, 4);
    }
    return this.loadFour(
      number,
      [0, 1, 2, 3].map((lane) => (lane ? `${index} + ${lane}` : index)),
    );
  }

  /** Stores one element. The buffer must be unpacked. */
  store(number: BufferNumber, index: string, value: string): void {
    this.line(`${this.place(number)}[${index}] = ${this.encode(number, value, 1)};`);
  }

  /** Whether the buffer is an array of vec4. */
  isPacked(number: BufferNumber): boolean {
    return this.binding(number).packed;
  }

  /** Stores four neighbours; `index` is a multiple of 4. The buffer must be packed. */
  storePacked(number: BufferNumber, index: string, value: string): void {
    this.line(`${this.place(number)}[${index} >> 2u] = ${this.encode(number, value, 4)};`);
  }

  /**
   * The finished dispatch.
   *
   * The entry point finds `group`, the number of its workgroup, and `lane`, its number in the workgroup (both u32).
   *
   * @param workgroups - how many workgroups there are; the surplus of a two-dimensional grid has returned already
   * @param size - invocations in a workgroup
   */
  finish(workgroups: number, size: number): Dispatch {
    const x = Math.min(workgroups, 65535);
    const y = Math.ceil(workgroups / x);
    if (y > 65535)
      throw new RangeError(`webgpu: ${workgroups} workgroups are too many for one dispatch (65535 · 65535)`);
    const groups = this.param(workgroups);
    const blocks = Math.ceil(this.words.length / 4);
    const storage = this.bindings.map(({ dtype, packed, written }, i) => {
      const scalar = dtype === 'bool' ? 'u32' : dtype;
      const plain = packed ? `vec4<${scalar}>` : scalar;
      const array = `array<${dtype === 'f16' ? halfElement(this.native, packed) : plain}>`;
      return `@group(0) @binding(${i + 1}) var<storage, ${written ? 'read_write' : 'read'}> b${i}: ${array};`;
    });
    const params = this.words.map((_, i) => `let p${i} = params[${i >> 2}].${'xyzw'[i & 3]};`);
    const subgroupLane = this.subgroups ? ', @builtin(subgroup_invocation_id) subgroup_lane: u32' : '';
    const subgroup = this.matrices ? ', @builtin(subgroup_id) subgroup: u32' : '';
    const code = [
      ...(this.native && this.bindings.some(({ dtype }) => dtype === 'f16') ? ['enable f16;'] : []),
      ...(this.subgroups || this.matrices ? ['enable subgroups;'] : []),
      ...(this.matrices ? ['enable chromium_experimental_subgroup_matrix;'] : []),
      `@group(0) @binding(0) var<uniform> params: array<vec4<i32>, ${blocks}>;`,
      ...storage,
      ...this.declarations,
      ...helperText(this.helpers),
      `@compute @workgroup_size(${size})`,
      `fn main(@builtin(workgroup_id) at: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>, @builtin(local_invocation_index) lane: u32${subgroupLane}${subgroup}) {`,
      ...params.map((line) => `  ${line}`),
      '  let group = at.y * grid.x + at.x;',
      `  if (group >= u32(${groups})) { return; }`,
      ...this.lines.map((line) => `  ${line}`),
      '}',
      '',
    ].join('\n');
    const buffers = this.bindings.map(({ number, written }) => ({ number, written }));
    return { code, words: [...this.words], buffers, workgroups: [x, y] };
  }
}
