/**
 * Random graphs of primitives from a seed: each step is a call of the library and, beside it, its value by the nested
 * loops of `plain.test-helpers.ts`. Nodes are shared, several are asked for, and nothing in a graph is bigger than a
 * few hundred elements.
 */
import { sizeOf } from '@clipin/kernel';
import type { DType, Shape, Tensor } from './index';
import * as lib from './index';
import type { Plain } from './plain.test-helpers';
import * as plain from './plain.test-helpers';

/** One call of the library. */
export interface Step {
  readonly name: string;
  /** Numbers of values: leaves first, then results of steps. */
  readonly inputs: readonly number[];
  readonly results: readonly Plain[];
  run(inputs: readonly Tensor[]): readonly Tensor[];
}

/** A graph and its values. */
export interface Graph {
  readonly leaves: readonly Plain[];
  readonly steps: readonly Step[];
  /** Numbers of the values that are asked for. */
  readonly outputs: readonly number[];
  readonly values: readonly Plain[];
}

/** Random choices from a seed (mulberry32). */
export class Choices {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** A whole number from 0 to n − 1. */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  shuffle<T>(list: readonly T[]): T[] {
    const rest = [...list];
    return list.map(() => rest.splice(this.below(rest.length), 1)[0] as T);
  }
}

const maxSize = 240;

/** A random array; floats are multiples of 1/8, so that many sums are exact. */
export function randomPlain(choices: Choices, dtype: DType, shape: Shape): Plain {
  const element = () => {
    if (dtype === 'bool') return choices.below(2);
    if (dtype === 'u32') return choices.chance(10) ? choices.below(2 ** 32) : choices.below(6);
    if (dtype === 'i32') return choices.chance(10) ? choices.below(2 ** 32) | 0 : choices.below(9) - 3;
    return (choices.below(33) - 16) / 8; // a half too
  };
  return plain.build(dtype, shape, element);
}

/** A random shape of few elements; sizes 0 and 1 among them. */
export function randomShape(choices: Choices, maxRank = 5, maxSize = 60): number[] {
  const shape: number[] = [];
  const rank = choices.below(maxRank + 1);
  while (shape.length < rank) {
    const n = choices.pick([1, 1, 2, 2, 3, 3, 4, 5, 7, choices.chance(15) ? 0 : 2]);
    shape.push(sizeOf([...shape, n]) > maxSize ? 1 : n);
  }
  return shape;
}

/** The library's tensor of a plain array. */
export const toTensor = ({ dtype, shape, data }: Plain): Tensor =>
  plain.isFloat(dtype)
    ? lib.tensor(Float64Array.from(data), shape, { dtype })
    : lib.tensor(dtype === 'i32' ? Int32Array.from(data) : Uint32Array.from(data), shape, { dtype });

/** A random graph. The same numbers give the same graph. */
export function randomGraph(seed: number, length: number): Graph {
  const choices = new Choices(seed);
  const leaves: Plain[] = (['f32', 'f32', 'f32', 'f16', 'f16', 'i32', 'u32', 'bool'] as const).map((dtype) =>
    randomPlain(choices, dtype, randomShape(choices)),
  );
  const values = [...leaves];
  const steps: Step[] = [];
  for (let tries = 0; steps.length < length && tries < length * 20; tries++) {
    const step = choices.pick(makers)(new Source(choices, values));
    if (!step || step.results.some(({ shape }) => shape.length > 8 || sizeOf(shape) > maxSize)) continue;
    steps.push(step);
    values.push(...step.results);
  }
  const made = values.map((_, number) => number).slice(leaves.length);
  const outputs = new Set([values.length - 1, ...made.filter(() => choices.chance(20))]);
  return { leaves, steps, outputs: [...outputs], values };
}

/** Runs a graph on tensors of its leaves; `after` is told of each step's results. */
export function runGraph(
  { steps, outputs }: Graph,
  leaves: readonly Tensor[],
  after: (results: readonly Tensor[]) => void = () => {},
): Tensor[] {
  const values = [...leaves];
  for (const step of steps) {
    const results = step.run(step.inputs.map((number) => values[number] as Tensor));
    after(results);
    values.push(...results);
  }
  return outputs.map((number) => values[number] as Tensor);
}

/** A value of the graph so far and its number. */
interface Found {
  readonly number: number;
  readonly value: Plain;
}

/** Chooses operands, recent ones more often, so that chains grow. */
class Source {
  constructor(
    readonly choices: Choices,
    readonly values: readonly Plain[],
  ) {}

  find(fits: (value: Plain) => boolean): Found | undefined {
    const found = this.values.map((value, number) => ({ number, value })).filter(({ value }) => fits(value));
    if (found.length === 0) return undefined;
    return this.choices.chance(60) ? this.choices.pick(found.slice(-3)) : this.choices.pick(found);
  }

  any = (): Found => this.find(() => true) as Found;
}

type Maker = (source: Source) => Step | undefined;

function step(
  name: string,
  inputs: readonly Found[],
  run: (...inputs: Tensor[]) => Tensor | readonly Tensor[],
  results: Plain | readonly Plain[],
): Step {
  return {
    name,
    inputs: inputs.map(({ number }) => number),
    results: 'dtype' in results ? [results] : results,
    run: (tensors) => {
      const made = run(...tensors);
      return made instanceof lib.Tensor ? [made] : made;
    },
  };
}

const isFloat = ({ dtype }: Plain) => plain.isFloat(dtype);
const isInt = ({ dtype }: Plain) => dtype === 'i32' || dtype === 'u32';

const unary: Maker = (source) => {
  const x = source.find(isFloat);
  if (!x) return undefined;
  const [method, op] = source.choices.pick([
    ['neg', 'negate'],
    ['abs', 'abs'],
    ['floor', 'floor'],
    ['sin', 'sin'],
    ['cos', 'cos'],
    ['tanh', 'tanh'],
  ] as const);
  return step(method, [x], (t) => t[method](), plain.elementwise(op, 'f32', x.value));
};

const exponential: Maker = (source) => {
  const x = source.find(isFloat);
  if (!x) return undefined;
  const two = plain.build('f32', [], () => 2);
  const small = plain.elementwise('min', 'f32', x.value, two);
  return step('minimum exp', [x], (t) => t.minimum(2).exp(), plain.elementwise('exp', 'f32', small));
};

const intUnary: Maker = (source) => {
  const x = source.find((value) => isInt(value) || value.dtype === 'bool');
  return x && step('not', [x], (t) => t.not(), plain.elementwise('not', x.value.dtype, x.value));
};

const methods = {
  f32: ['add', 'sub', 'mul', 'maximum', 'minimum', 'less', 'lessEqual', 'equal'],
  i32: [
    'add',
    'sub',
    'mul',
    'div',
    'remainder',
    'and',
    'or',
    'xor',
    'shiftLeft',
    'shiftRight',
    'less',
    'maximum',
  ],
  u32: [
    'add',
    'sub',
    'mul',
    'div',
    'remainder',
    'and',
    'or',
    'xor',
    'shiftLeft',
    'shiftRight',
    'lessEqual',
    'minimum',
  ],
  bool: ['and', 'or', 'xor', 'equal', 'less'],
} as const;
type Computed = keyof typeof methods;
const renamed = { sub: 'subtract', mul: 'multiply', div: 'divide', maximum: 'max', minimum: 'min' } as const;
type Method = (typeof methods)[Computed][number];
const isRenamed = (method: Method): method is keyof typeof renamed => method in renamed;

const fitsBeside = (a: Shape, b: Shape): boolean => {
  const rank = Math.min(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => [a[a.length - 1 - i], b[b.length - 1 - i]]).every(
    ([m, n]) => m === n || m === 1 || n === 1,
  );
};

const binary: Maker = (source) => {
  const a = source.any();
  const { shape } = a.value;
  const dtype = plain.computed(a.value.dtype) as Computed;
  const method: Method = source.choices.pick<Method>(methods[dtype]);
  const op = isRenamed(method) ? renamed[method] : method;
  const to = op === 'less' || op === 'lessEqual' || op === 'equal' ? 'bool' : dtype;
  if (source.choices.chance(20)) {
    const number = dtype === 'bool' ? 1 : dtype === 'f32' ? 0.75 : 3;
    const constant = plain.build(dtype, [], () => number);
    return step(method, [a], (t) => t[method](number), plain.elementwise(op, to, a.value, constant));
  }
  const b =
    source.find((value) => plain.computed(value.dtype) === dtype && fitsBeside(shape, value.shape)) ?? a;
  return step(method, [a, b], (s, t) => s[method](t), plain.elementwise(op, to, a.value, b.value));
};

const select: Maker = (source) => {
  const condition = source.find(({ dtype }) => dtype === 'bool');
  if (!condition) return undefined;
  const a = source.find(({ shape }) => fitsBeside(shape, condition.value.shape));
  if (!a) return undefined;
  const both = plain.commonShape(condition.value.shape, a.value.shape);
  const type = plain.computed(a.value.dtype);
  const b = source.find(({ dtype, shape }) => plain.computed(dtype) === type && fitsBeside(shape, both)) ?? a;
  const result = plain.elementwise('select', type, condition.value, a.value, b.value);
  return step('where', [condition, a, b], (c, s, t) => lib.where(c, s, t), result);
};

const cast: Maker = (source) => {
  const x = source.any();
  const to = source.choices.pick(['f32', 'f16', 'f16', 'i32', 'u32', 'bool'] as const);
  return step(`cast ${to}`, [x], (t) => t.cast(to), plain.elementwise('cast', to, x.value));
};

/** A random shape with as many elements. */
function regroup(choices: Choices, size: number): number[] {
  if (size === 0) return choices.shuffle([0, choices.below(4), 1]);
  const factors: number[] = [];
  let rest = size;
  for (let p = 2; rest > 1; p++) for (; rest % p === 0; rest /= p) factors.push(p);
  const shape: number[] = [];
  for (const factor of choices.shuffle(factors)) {
    const joins = shape.length > 0 && choices.chance(40);
    if (joins) shape[shape.length - 1] = (shape[shape.length - 1] as number) * factor;
    else shape.push(factor);
  }
  if (choices.chance(30)) shape.splice(choices.below(shape.length + 1), 0, 1);
  return shape;
}

const reshape: Maker = (source) => {
  const x = source.any();
  const shape = regroup(source.choices, sizeOf(x.value.shape));
  return step(`reshape ${shape}`, [x], (t) => t.reshape(shape), plain.reshape(x.value, shape));
};

const transpose: Maker = (source) => {
  const x = source.find(({ shape }) => shape.length > 1);
  if (!x) return undefined;
  const order = source.choices.shuffle(x.value.shape.map((_, axis) => axis));
  return step(`transpose ${order}`, [x], (t) => t.transpose(order), plain.transpose(x.value, order));
};

const expand: Maker = (source) => {
  const x = source.any();
  const { choices } = source;
  const lead = choices.chance(40) && x.value.shape.length < 8 ? [choices.pick([1, 2, 3])] : [];
  const shape = [
    ...lead,
    ...x.value.shape.map((n) => (n === 1 && choices.chance(60) ? choices.pick([2, 3, 5, 0]) : n)),
  ];
  return step(`expand ${shape}`, [x], (t) => t.expand(shape), plain.expand(x.value, shape));
};

const slice: Maker = (source) => {
  const x = source.find(({ shape }) => shape.length > 0);
  if (!x) return undefined;
  const { choices } = source;
  const ranges = x.value.shape.map((n): lib.Range => {
    if (choices.chance(40)) return [];
    const end = () => (choices.chance(30) ? undefined : choices.below(2 * n + 3) - n - 1);
    return [end(), end(), choices.pick([1, 1, 2, 3, -1, -1, -2, -3])];
  });
  const positions = ranges.map(([start, stop, by = 1], axis) =>
    plain.pythonSlice(x.value.shape[axis] as number, start, stop, by),
  );
  return step(
    `slice ${JSON.stringify(ranges)}`,
    [x],
    (t) => t.slice(...ranges),
    plain.take(x.value, positions),
  );
};

const pad: Maker = (source) => {
  const x = source.any();
  const { choices } = source;
  const widths = x.value.shape.map(() => [choices.pick([0, 0, 1, 2]), choices.pick([0, 0, 1, 3])] as const);
  return step(`pad ${JSON.stringify(widths)}`, [x], (t) => t.pad(widths), plain.pad(x.value, widths));
};

const concatenate: Maker = (source) => {
  const x = source.find(({ shape }) => shape.length > 0);
  if (!x) return undefined;
  const axis = source.choices.below(x.value.shape.length);
  const fits = ({ dtype, shape }: Plain) =>
    dtype === x.value.dtype &&
    shape.length === x.value.shape.length &&
    shape.every((n, i) => i === axis || n === x.value.shape[i]);
  const parts = [x, source.find(fits) ?? x, x];
  const total = parts.reduce((sum, { value }) => sum + (value.shape[axis] as number), 0);
  const rows = parts.flatMap(({ value }) =>
    Array.from({ length: value.shape[axis] as number }, (_, i) => ({ value, i })),
  );
  const result = plain.build(
    x.value.dtype,
    x.value.shape.map((n, i) => (i === axis ? total : n)),
    (index) => {
      const row = rows[index[axis] as number];
      return row
        ? plain.at(
            row.value,
            index.map((i, a) => (a === axis ? row.i : i)),
          )
        : 0;
    },
  );
  return step('concatenate', parts, (...ts) => lib.concatenate(ts, axis), result);
};

const reduce: Maker = (source) => {
  const x = source.find(({ dtype }) => dtype !== 'bool');
  if (!x) return undefined;
  const { choices } = source;
  const { shape, dtype } = x.value;
  const axes = shape.map((_, axis) => axis).filter(() => choices.chance(50));
  const nothing = axes.some((axis) => shape[axis] === 0);
  const op = choices.pick(
    nothing ? (['sum', 'product'] as const) : (['sum', 'product', 'max', 'min'] as const),
  );
  const keepDims = choices.chance(50);
  const folded = plain.reduce(op, x.value, axes);
  // Products of many factors leave the range of numbers that any two ways of computing agree on.
  if (op === 'product' && plain.isFloat(dtype) && folded.data.some((value) => Math.abs(value) > 1e6))
    return undefined;
  const kept = plain.reshape(
    folded,
    shape.map((n, axis) => (axes.includes(axis) ? 1 : n)),
  );
  return step(`${op} ${axes}`, [x], (t) => t[op](axes, { keepDims }), keepDims ? kept : folded);
};

/** A value beside a fold of its own last axes: the rows that one kernel may compute. */
const besideFold: Maker = (source) => {
  const x = source.find(({ dtype, shape }) => plain.isFloat(dtype) && shape.length > 0 && sizeOf(shape) > 0);
  if (!x) return undefined;
  const { choices } = source;
  const { shape } = x.value;
  const first = choices.below(shape.length);
  const axes = shape.map((_, axis) => axis).slice(first);
  const op = choices.pick(['sum', 'max', 'min'] as const);
  const method = choices.pick(['add', 'sub', 'maximum', 'less'] as const);
  const kept = shape.map((n, axis) => (axis < first ? n : 1));
  const folded = plain.reshape(plain.reduce(op, x.value, axes), kept);
  const scalar = isRenamed(method) ? renamed[method] : method;
  const result = plain.elementwise(scalar, method === 'less' ? 'bool' : 'f32', x.value, folded);
  return step(`${method} ${op} ${axes}`, [x], (t) => t[method](t[op](axes, { keepDims: true })), result);
};

const matmul: Maker = (source) => {
  const a = source.find(({ dtype, shape }) => plain.isFloat(dtype) && shape.length >= 2);
  if (!a) return undefined;
  const k = a.value.shape[a.value.shape.length - 1];
  const fits = ({ dtype, shape }: Plain) =>
    plain.isFloat(dtype) &&
    shape.length >= 2 &&
    shape[shape.length - 2] === k &&
    fitsBeside(a.value.shape.slice(0, -2), shape.slice(0, -2));
  const b = source.find(fits);
  if (b) return step('matmul', [a, b], (s, t) => s.matmul(t), plain.matmul(a.value, b.value));
  const order = [...a.value.shape.keys()].slice(0, -2);
  const turned = plain.transpose(a.value, [...order, a.value.shape.length - 1, a.value.shape.length - 2]);
  return step('matmul itself', [a], (t) => t.matmul(t.swapAxes(-1, -2)), plain.matmul(a.value, turned));
};

const gather: Maker = (source) => {
  const x = source.find(({ shape }) => shape.length > 0);
  const indices = source.find(isInt);
  if (!x || !indices) return undefined;
  const most = Math.min(x.value.shape.length - 1, indices.value.shape.length);
  let batchDims = 0;
  while (batchDims < most && x.value.shape[batchDims] === indices.value.shape[batchDims]) batchDims++;
  batchDims = source.choices.below(batchDims + 1);
  if (x.value.shape.length + indices.value.shape.length - batchDims - 1 > 8) return undefined;
  const result = plain.gather(x.value, indices.value, batchDims);
  return step(`gather ${batchDims}`, [x, indices], (t, i) => t.gather(i, { batchDims }), result);
};

const scatterAdd: Maker = (source) => {
  const indices = source.find(isInt);
  if (!indices) return undefined;
  const own = indices.value.shape;
  const updates = source.find(
    ({ dtype, shape }) =>
      dtype !== 'bool' && shape.length >= own.length && own.every((n, axis) => n === shape[axis]),
  );
  if (!updates) return undefined;
  const batchDims = source.choices.below(own.length + 1);
  const rows = source.choices.below(5);
  const run = (u: Tensor, i: Tensor) => u.scatterAdd(i, rows, { batchDims });
  return step(
    'scatterAdd',
    [updates, indices],
    run,
    plain.scatterAdd(updates.value, indices.value, rows, batchDims),
  );
};

const attention: Maker = (source) => {
  const x = source.find(
    ({ dtype, shape }) => plain.isFloat(dtype) && sizeOf(shape) > 0 && sizeOf(shape) <= 48,
  );
  if (!x) return undefined;
  const { choices } = source;
  const four = [1, 1, 1, 1];
  for (const factor of regroup(choices, sizeOf(x.value.shape))) {
    const axis = choices.below(4);
    four[axis] = (four[axis] as number) * factor;
  }
  const query = plain.reshape(x.value, four);
  const [batch, tokens, heads] = four as [number, number, number, number];
  const causal = choices.chance(50);
  const mask = choices.chance(50) ? randomPlain(choices, 'bool', [batch, 1, 1, tokens]) : undefined;
  const value = plain.take(query, [
    ...four.slice(0, 3).map((n) => [...Array(n).keys()]),
    [...Array(four[3]).keys()].reverse(),
  ]);
  const options = { scale: 0.5, causal };
  const run = (t: Tensor) => {
    const q = t.reshape(four);
    const masks = mask ? { mask: toTensor(mask).expand([batch, heads, tokens, tokens]) } : {};
    const { result, logSumExp } = lib.attention(q, q, q.flip(3), { ...options, ...masks });
    return [result, logSumExp];
  };
  return step(
    'attention',
    [x],
    run,
    plain.attention([query, query, value], { ...options, ...(mask && { mask }) }),
  );
};

const create: Maker = ({ choices }) => {
  const shape = randomShape(choices, 4, 40);
  if (shape.length === 0 || choices.chance(40)) {
    const dtype = choices.pick(['f32', 'f16', 'i32'] as const);
    return step(
      'full',
      [],
      () => lib.full(shape, 2, { dtype }),
      plain.build(dtype, shape, () => 2),
    );
  }
  const axis = choices.below(shape.length);
  const result = plain.build('i32', shape, (index) => index[axis] as number);
  return step('iota', [], () => lib.iota(shape, axis), result);
};

const makers: readonly Maker[] = [
  ...[
    unary,
    exponential,
    intUnary,
    binary,
    binary,
    binary,
    select,
    cast,
    reshape,
    reshape,
    transpose,
    expand,
    slice,
  ],
  ...[
    slice,
    pad,
    concatenate,
    reduce,
    reduce,
    besideFold,
    besideFold,
    matmul,
    gather,
    scatterAdd,
    attention,
    create,
  ],
];
