/**
 * Scalar programs as WGSL: every instruction becomes one `let`. Along one axis, the lane axis, a program may run for
 * four neighbours at once; values that do not vary along it stay scalars.
 */
import type { Affine, Body, DType, Guard, Instruction } from '@clipin/kernel';
import { constantCode, scalarCode } from './scalar-code';
import { type Lanes, type Shader, typeName } from './shader';

/** A value in a shader. */
export interface Value {
  readonly name: string;
  readonly lanes: Lanes;
  readonly dtype: DType;
}

/** Where a program runs. */
export interface Scope {
  readonly shader: Shader;
  /** Names of the i32 loop indices, in the order of the axes; along the lane axis that of the first lane. */
  readonly indices: readonly string[];
  /** The axis along which four lanes run. */
  readonly laneAxis?: number | undefined;
  readonly reduced?: Value;
}

/** A value with this many lanes. */
export const widen = (value: Value, lanes: Lanes): string =>
  value.lanes === lanes ? value.name : `${typeName(value.dtype, lanes)}(${value.name})`;

/** An affine function at the first lane, as an i32 expression. */
export function affineCode({ shader, indices }: Scope, { offset, strides }: Affine): string {
  const terms = strides.flatMap((stride, axis) => {
    if (stride === 0) return [];
    return stride === 1 ? [indices[axis] as string] : [`${indices[axis]} * ${shader.param(stride)}`];
  });
  if (offset !== 0) terms.unshift(shader.param(offset));
  return terms.length ? terms.join(' + ') : '0';
}

const laneStride = (affine: Affine, laneAxis: number | undefined): number =>
  laneAxis === undefined ? 0 : (affine.strides[laneAxis] ?? 0);

/** Whether four lanes of this affine function are four aligned neighbours, at every point. */
export const isAlignedRun = (affine: Affine, laneAxis: number | undefined): boolean =>
  laneStride(affine, laneAxis) === 1 &&
  affine.offset % 4 === 0 &&
  affine.strides.every((stride, axis) => axis === laneAxis || stride % 4 === 0);

/** Whether a guard says the same for all four lanes. */
const guardIsUniform = (guard: Guard, laneAxis: number | undefined): boolean =>
  laneStride(guard.value, laneAxis) === 0 || (isAlignedRun(guard.value, laneAxis) && guard.size % 4 === 0);

type Load = Extract<Instruction, { op: 'load' }>;

/** Whether a load reads four aligned neighbours. */
const loadsRun = (load: Load, laneAxis: number | undefined, gathersLanes: boolean): boolean =>
  isAlignedRun(load.index, laneAxis) &&
  !gathersLanes &&
  (load.gather === undefined || load.gather.stride % 4 === 0) &&
  load.guards.every((guard) => guardIsUniform(guard, laneAxis));

const lanesOf = (
  step: Instruction,
  lanes: readonly Lanes[],
  scope: Pick<Scope, 'laneAxis' | 'reduced'>,
): Lanes => {
  const varies = (affine: Affine) => laneStride(affine, scope.laneAxis) !== 0;
  switch (step.op) {
    case 'constant':
      return 1;
    case 'reduced':
      return scope.reduced?.lanes ?? 1;
    case 'index':
      return varies(step.index) ? 4 : 1;
    case 'load': {
      const guarded = step.guards.some((guard) => !guardIsUniform(guard, scope.laneAxis));
      return varies(step.index) || guarded || (step.gather && lanes[step.gather.at] === 4) ? 4 : 1;
    }
    default:
      return step.args.some((arg) => lanes[arg] === 4) ? 4 : 1;
  }
};

/** Marks the buffers that this program does not read in aligned runs of four alone. */
export function unpackFor(
  shader: Shader,
  program: readonly Instruction[],
  scope: Pick<Scope, 'laneAxis' | 'reduced'>,
): void {
  const lanes: Lanes[] = [];
  for (const step of program) {
    lanes.push(lanesOf(step, lanes, scope));
    if (step.op !== 'load') continue;
    const gathersLanes = step.gather !== undefined && lanes[step.gather.at] === 4;
    if (!loadsRun(step, scope.laneAxis, gathersLanes)) shader.unpack(shader.inputNumber(step.input));
  }
}

/** Expressions of four lanes from that of the first and the stride. */
function laneCodes(shader: Shader, first: string, stride: number): string[] {
  if (stride === 0) return [first, first, first, first];
  if (stride === 1) return [first, `${first} + 1`, `${first} + 2`, `${first} + 3`];
  const step = shader.param(stride);
  return [first, `${first} + ${step}`, `${first} + 2 * ${step}`, `${first} + 3 * ${step}`];
}

function guardCode(scope: Scope, guard: Guard): { code: string; lanes: Lanes } {
  const { shader, laneAxis } = scope;
  const size = `u32(${shader.param(guard.size)})`;
  const value = affineCode(scope, guard.value);
  if (guardIsUniform(guard, laneAxis)) return { code: `(u32(${value}) < ${size})`, lanes: 1 };
  const first = shader.let('g', value);
  const lanes = laneCodes(shader, first, laneStride(guard.value, laneAxis));
  return { code: `(vec4<u32>(vec4<i32>(${lanes.join(', ')})) < vec4<u32>(${size}))`, lanes: 4 };
}

function loadCode(scope: Scope, load: Load, values: readonly (Value | undefined)[], lanes: Lanes): string {
  const { shader, laneAxis } = scope;
  const number = shader.inputNumber(load.input);
  const row = load.gather && (values[load.gather.at] as Value);
  const conditions = load.guards.map((guard) => guardCode(scope, guard));
  let base = affineCode(scope, load.index);
  let rows: string | undefined;
  if (load.gather && row) {
    const asU32 = row.dtype === 'u32' ? row.name : `bitcast<${typeName('u32', row.lanes)}>(${row.name})`;
    const size = `u32(${shader.param(load.gather.size)})`;
    conditions.push({
      code: `(${asU32} < ${row.lanes === 1 ? size : `vec4<u32>(${size})`})`,
      lanes: row.lanes,
    });
    const signed = row.dtype === 'i32' ? row.name : `bitcast<${typeName('i32', row.lanes)}>(${row.name})`;
    const offset = `${signed} * ${shader.param(load.gather.stride)}`;
    if (row.lanes === 1) base = `${base} + ${offset}`;
    else rows = shader.let('g', offset);
  }
  let loaded: string;
  if (lanes === 1) {
    loaded = shader.load(number, base);
  } else if (loadsRun(load, laneAxis, rows !== undefined)) {
    loaded = shader.loadRun(number, `(${base})`);
  } else {
    const stride = laneStride(load.index, laneAxis);
    if (stride === 0 && rows === undefined) {
      loaded = `${typeName(load.dtype, 4)}(${shader.load(number, base)})`;
    } else {
      const first = shader.let('a', base);
      const codes = laneCodes(shader, first, stride);
      loaded = shader.loadFour(
        number,
        codes.map((code, lane) => (rows ? `${code} + ${rows}.${'xyzw'[lane]}` : code)),
      );
    }
  }
  if (!conditions.length) return loaded;
  // Reading out of bounds is harmless in WGSL; `select` then takes the zero.
  const each = conditions.map(({ code, lanes: has }) => (has === lanes ? code : `vec4<bool>(${code})`));
  const zero = constantCode(shader, load.dtype, 0);
  return `select(${lanes === 1 ? zero : `${typeName(load.dtype, 4)}(${zero})`}, ${loaded}, ${each.join(' & ')})`;
}

/**
 * Writes the instructions `wanted` of a program as lines and fills in `values`.
 *
 * @param values - values of the instructions written so far, by number; the others are holes
 * @returns `values`
 */
export function writeProgram(
  scope: Scope,
  program: readonly Instruction[],
  wanted: (at: number) => boolean = () => true,
  values: (Value | undefined)[] = [],
): (Value | undefined)[] {
  const { shader } = scope;
  const known: Lanes[] = [];
  program.forEach((step, at) => {
    const lanes = lanesOf(step, known, scope);
    known.push(lanes);
    if (!wanted(at)) return;
    if (step.op === 'reduced') {
      values[at] = scope.reduced;
      return;
    }
    values[at] = { name: shader.let('v', stepCode(scope, step, lanes, values)), lanes, dtype: step.dtype };
  });
  return values;
}

function stepCode(
  scope: Scope,
  step: Exclude<Instruction, { op: 'reduced' }>,
  lanes: Lanes,
  values: readonly (Value | undefined)[],
): string {
  const { shader } = scope;
  switch (step.op) {
    case 'constant':
      return constantCode(shader, step.dtype, step.value);
    case 'index': {
      const first = affineCode(scope, step.index);
      if (lanes === 1) return first;
      const stride = laneStride(step.index, scope.laneAxis);
      const along = 'vec4<i32>(0, 1, 2, 3)';
      return `vec4<i32>(${first}) + ${stride === 1 ? along : `${along} * ${shader.param(stride)}`}`;
    }
    case 'load':
      return loadCode(scope, step, values, lanes);
    default: {
      const args = step.args.map((arg) => values[arg] as Value);
      const from = (args[args.length - 1] as Value).dtype;
      return scalarCode(
        shader,
        step.op,
        from,
        step.dtype,
        lanes,
        args.map((arg) => widen(arg, lanes)),
      );
    }
  }
}

/** How far the lane axis goes: whole groups of four, or a last group whose surplus lanes are not stored. */
export interface LaneEnd {
  /** Expression of the first lane's index along the lane axis. */
  readonly index: string;
  /** Expression of the lane axis' size; absent where every group is whole or its surplus falls in padding. */
  readonly size?: string;
}

/** Marks the outputs that are not stored in aligned runs of four. */
export function unpackStores(
  shader: Shader,
  places: readonly Affine[],
  laneAxis: number | undefined,
  ragged: boolean,
): void {
  places.forEach((place, output) => {
    if (ragged || !isAlignedRun(place, laneAxis)) shader.unpack(shader.outputNumber(output));
  });
}

/** Writes a body: its program, then its stores at `places`. */
export function writeBody(scope: Scope, body: Body, places: readonly Affine[], end?: LaneEnd): void {
  const { shader } = scope;
  const values = writeProgram(scope, body.program);
  body.stores.forEach((instruction, output) => {
    writeStore(
      scope,
      values[instruction] as Value,
      shader.outputNumber(output),
      places[output] as Affine,
      end,
    );
  });
}

/** Writes the store of one value at the place that the scope's indices give. */
export function writeStore(scope: Scope, value: Value, number: number, place: Affine, end?: LaneEnd): void {
  const { shader, laneAxis } = scope;
  const first = affineCode(scope, place);
  if (laneAxis === undefined) {
    shader.store(number, first, value.name);
  } else if (shader.isPacked(number)) {
    shader.storePacked(number, `(${first})`, widen(value, 4));
  } else {
    const four = shader.let('s', widen(value, 4));
    const codes = laneCodes(shader, shader.let('a', first), laneStride(place, laneAxis));
    codes.forEach((code, lane) => {
      const guarded = end?.size !== undefined && lane > 0;
      if (guarded) shader.line(`if (${end.index} + ${lane} < ${end.size}) {`);
      shader.store(number, code, `${four}.${'xyzw'[lane]}`);
      if (guarded) shader.line('}');
    });
  }
}
