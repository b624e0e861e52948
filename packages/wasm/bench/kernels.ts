/**
 * Times kernels on the WebAssembly device: GFLOP/s of matrix products, GB/s of loops, microseconds of attention.
 * Run: `npx tsx --conditions=clipin-source packages/wasm/bench/kernels.ts [threads…]`
 */
import { type DType, type Instruction, type Kernel, type Launch, sizeOf } from '@clipin/kernel';
import { createWasmDevice } from '../src/index';

interface Work {
  readonly name: string;
  readonly kernel: Kernel;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** What one run does, and in which unit a second of it is reported. */
  readonly amount: number;
  readonly unit: 'GFLOP/s' | 'GB/s' | 'us';
}

const load = (input: number, strides: number[], dtype: DType = 'f32'): Instruction => ({
  op: 'load',
  dtype,
  input,
  index: { offset: 0, strides },
  guards: [],
});
const binary = (op: 'add' | 'multiply' | 'subtract' | 'divide', a: number, b: number): Instruction => ({
  op,
  dtype: 'f32',
  args: [a, b],
});
const unary = (op: 'exp' | 'log' | 'tanh' | 'erf' | 'sqrt', a: number): Instruction => ({
  op,
  dtype: 'f32',
  args: [a],
});
const reduced: Instruction = { op: 'reduced', dtype: 'f32' };
const value = (n: number): Instruction => ({ op: 'constant', dtype: 'f32', value: n });

function matmul(
  label: string,
  [m, k, n]: readonly [number, number, number],
  form: 'nn' | 'tn' | 'nt',
  batch: number[] = [],
  program: Instruction[] = [reduced],
): Work {
  const count = sizeOf(batch);
  const outer = (size: number) => batch.map(() => size);
  const a = form === 'tn' ? [1, m] : [k, 1];
  const b = form === 'nt' ? [1, k] : [n, 1];
  return {
    name: `matmul ${label || form} ${batch.length ? `${batch}x` : ''}${m}x${k}x${n}`,
    kernel: {
      kind: 'matmul',
      batch,
      m,
      n,
      k,
      a: { input: 0, index: { offset: 0, strides: [...outer(m * k), ...a] } },
      b: { input: 1, index: { offset: 0, strides: [...outer(k * n), ...b] } },
      program,
      stores: [program.length - 1],
    },
    inputs: [count * m * k, count * k * n, n],
    outputs: [count * m * n],
    amount: 2 * count * m * k * n,
    unit: 'GFLOP/s',
  };
}

const gelu: Instruction[] = [
  reduced,
  load(2, [0, 1]),
  binary('add', 0, 1),
  value(Math.SQRT1_2),
  binary('multiply', 2, 3),
  unary('erf', 4),
  value(1),
  binary('add', 5, 6),
  value(0.5),
  binary('multiply', 2, 8),
  binary('multiply', 9, 7),
];

const n = 5184 * 96;
const map = (
  name: string,
  program: Instruction[],
  inputs: number,
  axes = [n],
  stores = [program.length - 1],
): Work => ({
  name,
  kernel: { kind: 'loop', axes, program, stores },
  inputs: new Array<number>(inputs).fill(sizeOf(axes)),
  outputs: stores.map(() => sizeOf(axes)),
  amount: 4 * (inputs + stores.length) * sizeOf(axes),
  unit: 'GB/s',
});
const reduce = (
  name: string,
  axes: number[],
  over: number[],
  strides: number[],
  program: Instruction[] = [load(0, strides)],
): Work => ({
  name,
  kernel: {
    kind: 'loop',
    axes,
    program: [reduced],
    stores: [0],
    reduction: { op: 'sum', dtype: 'f32', axes: over, program },
  },
  inputs: [sizeOf(axes) * sizeOf(over)],
  outputs: [sizeOf(axes)],
  amount: 4 * sizeOf(axes) * sizeOf(over),
  unit: 'GB/s',
});
const adam: Instruction[] = [
  load(0, [1]),
  load(1, [1]),
  load(2, [1]),
  load(3, [1]),
  value(0.9),
  value(0.1),
  value(0.99),
  value(0.01),
  binary('multiply', 1, 5),
  binary('multiply', 2, 4),
  binary('add', 8, 9),
  binary('multiply', 1, 1),
  binary('multiply', 11, 7),
  binary('multiply', 3, 6),
  binary('add', 12, 13),
  unary('sqrt', 14),
  value(1e-8),
  binary('add', 15, 16),
  binary('divide', 10, 17),
  value(1e-3),
  binary('multiply', 18, 19),
  binary('subtract', 0, 20),
];

function attention(batch: number, heads: number, tokens: number, dim: number): Work[] {
  const strides = [tokens * heads * dim, dim, heads * dim, 1];
  const operand = (input: number) => ({ input, index: { offset: 0, strides } });
  const size = batch * heads * tokens * dim;
  const shape = {
    batch,
    heads,
    queries: tokens,
    keys: tokens,
    dim,
    scale: dim ** -0.5,
    causal: false,
    query: operand(0),
    key: operand(1),
    value: operand(2),
  };
  const label = `${batch}x${heads}x${tokens}x${dim}`;
  return [
    {
      name: `attention ${label}`,
      kernel: { kind: 'attention', ...shape },
      inputs: [size, size, size],
      outputs: [size, batch * heads * tokens],
      amount: 4 * size * tokens,
      unit: 'GFLOP/s',
    },
    {
      name: `attentionBackward ${label}`,
      kernel: { kind: 'attentionBackward', ...shape, result: 3, logSumExp: 4, gradient: operand(5) },
      inputs: [size, size, size, size, batch * heads * tokens, size],
      outputs: [size, size, size],
      amount: 10 * size * tokens,
      unit: 'GFLOP/s',
    },
  ];
}

const works: Work[] = [
  ...[256, 512, 1024].flatMap((s) =>
    (['nn', 'tn', 'nt'] as const).map((form) => matmul('', [s, s, s], form)),
  ),
  ...(['nn', 'tn', 'nt'] as const).map((form) => matmul('', [36, 32, 36], form, [288])),
  matmul('', [5184, 96, 384], 'nn'),
  matmul('gelu', [5184, 96, 384], 'nn', [], gelu),
  matmul('', [5184, 384, 96], 'nn'),
  matmul('', [5184, 96, 96], 'nn'),
  matmul('', [5184, 384, 96], 'nt'),
  matmul('', [5184, 96, 384], 'nt'),
  matmul('', [96, 5184, 384], 'tn'),
  matmul('', [384, 5184, 96], 'tn'),
  matmul('', [96, 5184, 96], 'tn'),
  matmul('', [128, 96, 128], 'nt'),
  map('copy', [load(0, [1])], 1),
  map('add', [load(0, [1]), load(1, [1]), binary('add', 0, 1)], 2),
  map('bias', [load(0, [96, 1]), load(1, [0, 1]), binary('add', 0, 1)], 2, [5184, 96]),
  map('exp', [load(0, [1]), unary('exp', 0)], 1),
  map('log', [load(0, [1]), unary('log', 0)], 1),
  map('tanh', [load(0, [1]), unary('tanh', 0)], 1),
  map('erf', [load(0, [1]), unary('erf', 0)], 1),
  map('adam', adam, 4, [n], [21, 10, 14]),
  map('transpose', [load(0, [1, 5184])], 1, [5184, 96]),
  map('heads', [load(0, [36 * 96, 24, 96, 1])], 1, [144, 4, 36, 24]),
  map('small add 96x96', [load(0, [1]), load(1, [1]), binary('add', 0, 1)], 2, [9216]),
  reduce('row sums 5184x96', [5184], [96], [96, 1]),
  reduce(
    'row variance 5184x96',
    [5184],
    [96],
    [96, 1],
    [load(0, [96, 1]), load(0, [96, 0]), binary('subtract', 0, 1), binary('multiply', 2, 2)],
  ),
  reduce('column sums 5184x96', [96], [5184], [1, 96]),
  reduce('column sums 5184x384', [384], [5184], [1, 384]),
  reduce('sum', [], [n], [1]),
  ...attention(144, 4, 36, 24),
  ...attention(8, 4, 256, 32),
  {
    name: 'scatter 4096 of 2048x96',
    kernel: {
      kind: 'scatterAdd',
      dtype: 'f32',
      indices: 'i32',
      batch: 1,
      rows: 2048,
      count: 4096,
      width: 96,
    },
    inputs: [4096, 4096 * 96],
    outputs: [2048 * 96],
    amount: 4 * 96 * (4096 * 3 + 2048),
    unit: 'GB/s',
  },
];

async function time(threads: number, work: Work): Promise<number> {
  const device = await createWasmDevice({ threads });
  const buffers = [
    ...work.inputs.map((length) => {
      const buffer = device.allocate('f32', length);
      device.write(
        buffer,
        Float32Array.from({ length }, (_, i) => ((i * 37) % 101) / 101 + 0.01),
      );
      return buffer;
    }),
    ...work.outputs.map((length) => device.allocate('f32', length)),
  ];
  const launch: Launch = {
    kernel: work.kernel,
    inputs: work.inputs.map((_, i) => i),
    inputTypes: work.inputs.map(() => 'f32'),
    outputs: work.outputs.map((_, i) => work.inputs.length + i),
    outputTypes: work.outputs.map(() => 'f32'),
  };
  const program = device.load([launch]);
  const warm = performance.now();
  while (performance.now() - warm < 150) program.run(buffers);
  // The best of many short rounds: other processes are seldom away for long.
  let best = Infinity;
  const begin = performance.now();
  for (let round = 0; round < 20 || performance.now() - begin < 400; round++) {
    const start = performance.now();
    const used = process.cpuUsage();
    let runs = 0;
    do {
      program.run(buffers);
      runs++;
    } while (performance.now() - start < 2);
    // With one thread, processor time: it does not count what other processes take.
    const { user, system } = process.cpuUsage(used);
    best = Math.min(best, (threads === 1 ? (user + system) / 1000 : performance.now() - start) / runs);
  }
  device.destroy();
  return best;
}

const wanted = process.argv
  .slice(2)
  .filter((argument) => /^\d+$/.test(argument))
  .map(Number);
const pattern = process.argv.slice(2).find((argument) => !/^\d+$/.test(argument)) ?? '';
const counts = wanted.length > 0 ? wanted : [1, 2];
console.log(
  ['kernel'.padEnd(34), ...counts.map((count) => `${count} thread${count > 1 ? 's' : ''}`.padStart(24))].join(
    '',
  ),
);
async function main(): Promise<void> {
  for (const work of works.filter(({ name }) => name.includes(pattern))) {
    const cells: string[] = [];
    for (const count of counts) {
      const milliseconds = await time(count, work);
      cells.push(
        `${(work.amount / milliseconds / 1e6).toFixed(1)} ${work.unit}, ${(milliseconds * 1000).toFixed(0)} us`.padStart(
          24,
        ),
      );
    }
    console.log(work.name.padEnd(34) + cells.join(''));
  }
}
void main();
