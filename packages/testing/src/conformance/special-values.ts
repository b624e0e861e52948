/** Every scalar operation on the values where implementations differ, compared with `evaluateScalar` one by one. */
import {
  type Device,
  type DType,
  dtypes,
  emptyArray,
  evaluateScalar,
  type Instruction,
  type ScalarOp,
  scalarOps,
  type TypedArray,
} from '@clipin/kernel';
import { functionError } from './estimate';
import { runLaunches } from './run-case';

const smallestNormal = 2 ** -126;
const largest = Math.fround(3.4028234663852886e38);

/** Numbers around which rounding to f16 decides: ties, the ends, the subnormal halves. */
const aroundHalves = [
  ...[
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    1 + 2 ** -11 + 2 ** -23,
    2047.5,
    2048.5,
    2049,
    65504,
    65519.99,
    65520,
    65536,
  ],
  ...[
    2 ** -14,
    2 ** -14 - 2 ** -25,
    2 ** -14 - 2 ** -24,
    2 ** -24,
    2 ** -25,
    2 ** -25 + 2 ** -40,
    3 * 2 ** -25,
  ],
].map(Math.fround);

const values: Record<DType, readonly number[]> = {
  f32: [
    ...[0, -0, 1, -1, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.1, 3, -7, 20, 88, -88, 100, -104].map(Math.fround),
    ...[1e-20, 1e-40, -1e-40, smallestNormal, 2 ** 24 + 2, -(2 ** 31), 2 ** 31, 3e9, -3e9, 2 ** 32].map(
      Math.fround,
    ),
    ...[...aroundHalves, ...aroundHalves.map((value) => -value)],
    ...[largest, -largest, Infinity, -Infinity, NaN],
  ],
  f16: [
    ...[
      0,
      -0,
      1,
      -1,
      0.5,
      -1.5,
      2.5,
      3,
      -7,
      0.0999755859375,
      2050,
      2 ** -14,
      2 ** -24,
      -3 * 2 ** -24,
      65504,
      -65504,
    ],
    ...[Infinity, -Infinity, NaN],
  ],
  i32: [0, 1, -1, 2, -2, 3, 7, -7, 31, 32, 33, -31, 65535, 65536, 2 ** 24 + 1, 2 ** 31 - 1, -(2 ** 31)],
  u32: [0, 1, 2, 3, 7, 31, 32, 33, 65535, 65536, 2 ** 24 + 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1],
  bool: [0, 1],
};

/** An operation with the dtypes of its value arguments and its result. */
interface Typed {
  readonly op: ScalarOp;
  readonly from: DType;
  readonly to: DType;
}

const kindOf = (dtype: DType): string => dtypes[dtype].kind;

function typedOps(arity: number, from: DType): Typed[] {
  return (Object.keys(scalarOps) as ScalarOp[]).flatMap((op): Typed[] => {
    const { arity: wanted, kinds, result } = scalarOps[op];
    if (from === 'f16' && op !== 'cast' && op !== 'select') return [];
    if (wanted !== arity || !(kinds as readonly string[]).includes(kindOf(from))) return [];
    if (result !== 'target') return [{ op, from, to: result === 'bool' ? 'bool' : from }];
    const targets: DType[] = op === 'bitcast' ? ['f32', 'i32', 'u32'] : (Object.keys(dtypes) as DType[]);
    return targets.map((to) => ({ op, from, to }));
  });
}

/** All tuples of special values for `arity` arguments, as columns. */
function columnsOf(arity: number, from: DType): number[][] {
  const own = values[from];
  if (arity === 1) return [[...own]];
  const pairs = own.flatMap((a) => own.map((b) => [a, b] as const));
  const columns = [pairs.map(([a]) => a), pairs.map(([, b]) => b)];
  return arity === 2 ? columns : [pairs.map((_, i) => i % 2), ...columns];
}

const isOrdinary = (value: number): boolean =>
  Number.isFinite(value) &&
  !Object.is(value, -0) &&
  Math.abs(value) <= largest &&
  (value === 0 || Math.abs(value) >= smallestNormal);

/** Angles beyond this are not promised. */
const mostAngle = 1000;

/** How far a result may be from `wanted`; `undefined` where nothing is promised. */
function allowed(
  { op, from, to }: Typed,
  args: readonly number[],
  wanted: number,
  ieee: boolean,
): number | undefined {
  const isFloat = (dtype: DType) => dtypes[dtype].kind === 'float';
  const floats = [...(isFloat(from) ? args : []), ...(isFloat(to) ? [wanted] : [])];
  if (!ieee && !floats.every(isOrdinary)) return undefined;
  // The bits of a NaN are not promised anywhere, nor is the NaN that bits make.
  if (op === 'bitcast' && (Number.isNaN(args[0]) || Number.isNaN(wanted))) return undefined;
  if (op === 'bitcast' && !ieee && !isOrdinary(wanted)) return undefined;
  if (to !== 'f32') return 0;
  const x = Math.abs(args[0] as number);
  if ((op === 'sin' || op === 'cos') && x > mostAngle && Number.isFinite(x)) return undefined;
  // The square root and the quotient are rounded correctly by IEEE 754 machines, and a few units off on GPUs.
  if (op in functionError && !(op === 'sqrt' && ieee))
    return functionError[op as keyof typeof functionError](x, Math.abs(wanted)) + smallestNormal;
  return !ieee && (op === 'divide' || (op === 'cast' && from !== 'f16')) ? Math.abs(wanted) * 2 ** -22 : 0;
}

/** Zeros of operations whose result's sign is a matter of its own are compared by value. */
const zeroSignMatters = (op: ScalarOp): boolean => op === 'negate' || op === 'abs' || op === 'select';

function checkColumn(typed: Typed, columns: readonly number[][], actual: TypedArray, ieee: boolean): void {
  const { op, from, to } = typed;
  for (let i = 0; i < actual.length; i++) {
    const args = columns.map((column) => column[i] as number);
    const exact = evaluateScalar(op, from, to, args);
    const wanted = to === 'f32' ? Math.fround(exact) : exact;
    const error = allowed(typed, args, wanted, ieee);
    // Without effect on f32 devices; the reference device gives what it has before rounding.
    const came = to === 'f32' ? Math.fround(actual[i] as number) : (actual[i] as number);
    if (error === undefined || Object.is(came, wanted)) continue;
    const close = zeroSignMatters(op) && ieee ? wanted !== 0 : true;
    if (!(close && Math.abs(came - wanted) <= error)) {
      const what = `${op}(${args.join(', ')}) of ${from}`;
      throw new Error(`${what} is ${came} as ${to}, expected ${wanted}${error ? ` within ${error}` : ''}`);
    }
  }
}

const outputsAtOnce = 4;

/** Runs all operations of `arity` arguments of dtype `from` on all their special values. */
export async function checkSpecialValues(
  device: Device,
  arity: number,
  from: DType,
  ieee: boolean,
): Promise<void> {
  const columns = columnsOf(arity, from);
  const types = columns.map((_, i): DType => (arity === 3 && i === 0 ? 'bool' : from));
  const count = columns[0]?.length ?? 0;
  const all = typedOps(arity, from);
  for (let start = 0; start < all.length; start += outputsAtOnce) {
    const group = all.slice(start, start + outputsAtOnce);
    const index = { offset: 0, strides: [1] };
    const loads = types.map((dtype, input): Instruction => ({ op: 'load', dtype, input, index, guards: [] }));
    const args = types.map((_, i) => i);
    const results = group.map(({ op, to }): Instruction => ({ op, dtype: to, args }));
    const actual = await runLaunches(
      device,
      [
        {
          kernel: {
            kind: 'loop',
            axes: [count],
            program: [...loads, ...results],
            stores: group.map((_, i) => arity + i),
          },
          inputs: args,
          inputTypes: types,
          outputs: group.map((_, i) => arity + i),
          outputTypes: group.map(({ to }) => to),
        },
      ],
      [
        ...columns.map((column, i) => ({
          dtype: types[i] as DType,
          data: filled(types[i] as DType, column),
        })),
        ...group.map(({ to }) => ({ dtype: to, data: emptyArray(to, count) })),
      ],
      group.map((_, i) => arity + i),
    );
    group.forEach((typed, i) => {
      checkColumn(typed, columns, actual[i] as TypedArray, ieee);
    });
  }
}

function filled(dtype: DType, column: readonly number[]): TypedArray {
  const data = emptyArray(dtype, column.length);
  data.set(column);
  return data;
}
