/**
 * The float64 interpreter: the plain, slow reading of every kernel description. It is the oracle of the tests, and
 * as a device it runs whole programs in float64, which is what finite differences need. Not for training.
 */

import type { Device, DeviceBuffer, Program } from './device';
import type { DType, TypedArray } from './dtype';
import { dtypes } from './dtype';
import { evaluateScalar } from './evaluate';
import { foreachPart } from './foreach';
import { decodeF16, roundToF16 } from './half';
import type {
  Affine,
  AttentionBackwardKernel,
  AttentionKernel,
  AttentionShape,
  Body,
  ForeachKernel,
  Instruction,
  Kernel,
  Launch,
  LoopKernel,
  MatmulKernel,
  Operand,
  Producer,
  ReduceOp,
  RowKernel,
  ScatterAddKernel,
} from './kernel';
import { rowPasses } from './row';
import { sizeOf } from './shape';

type Data = Float64Array;

/** Applies `visit` to every index of a loop nest, outermost axis slowest. The array is reused. */
function forEachIndex(axes: readonly number[], visit: (index: number[], flat: number) => void): void {
  const index = new Array<number>(axes.length).fill(0);
  const total = sizeOf(axes);
  for (let flat = 0; flat < total; flat++) {
    visit(index, flat);
    for (let axis = axes.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (axes[axis] as number)) break;
      index[axis] = 0;
    }
  }
}

const at = (affine: Affine, index: readonly number[]): number =>
  affine.strides.reduce((sum, stride, axis) => sum + stride * (index[axis] as number), affine.offset);

function read(inputs: readonly Data[], operand: Operand, index: readonly number[]): number {
  const data = inputs[operand.input];
  const position = at(operand.index, index);
  const value = data?.[position];
  if (value === undefined) {
    throw new RangeError(
      `input ${operand.input} has ${data?.length ?? 0} elements, the kernel reads number ${position}`,
    );
  }
  return value;
}

function runProgram(
  program: readonly Instruction[],
  inputs: readonly Data[],
  index: readonly number[],
  reduced: readonly number[],
): number[] {
  const values: number[] = [];
  const types: DType[] = [];
  for (const step of program) {
    types.push(step.dtype);
    values.push(runInstruction(step, values, types, inputs, index, reduced));
  }
  return values;
}

function runInstruction(
  step: Instruction,
  values: readonly number[],
  types: readonly DType[],
  inputs: readonly Data[],
  index: readonly number[],
  reduced: readonly number[],
): number {
  switch (step.op) {
    case 'constant':
      return step.value;
    case 'index':
      return at(step.index, index);
    case 'reduced':
      return reduced[step.fold ?? 0] ?? Number.NaN;
    case 'load': {
      for (const guard of step.guards) {
        const value = at(guard.value, index);
        if (value < 0 || value >= guard.size) return 0;
      }
      if (!step.gather) return read(inputs, step, index);
      const row = values[step.gather.at] as number;
      if (row < 0 || row >= step.gather.size) return 0;
      const offset = step.index.offset + row * step.gather.stride;
      return read(inputs, { input: step.input, index: { offset, strides: step.index.strides } }, index);
    }
    default: {
      const args = step.args.map((arg) => values[arg] as number);
      const from = types[step.args[step.args.length - 1] as number] as DType;
      return evaluateScalar(step.op, from, step.dtype, args);
    }
  }
}

const folds: Record<ReduceOp, { start: (dtype: DType) => number; fold: (a: number, b: number) => number }> = {
  sum: { start: () => 0, fold: (a, b) => a + b },
  product: { start: () => 1, fold: (a, b) => a * b },
  max: { start: (dtype) => dtypes[dtype].lowest, fold: Math.max },
  min: { start: (dtype) => dtypes[dtype].highest, fold: Math.min },
};

/** The fold of the values that `visit` is given, as integers wrap and floats do not. */
function foldOver(
  op: ReduceOp,
  dtype: DType,
  axes: readonly number[],
  valueAt: (index: readonly number[]) => number,
): number {
  const { start, fold } = folds[op];
  const multiply = op === 'product' && dtype !== 'f32' ? Math.imul : fold;
  let folded = start(dtype);
  forEachIndex(axes, (index) => {
    folded = wrap(multiply(folded, valueAt(index)), dtype);
  });
  return folded;
}

const wrap = (value: number, dtype: DType): number =>
  dtype === 'i32' ? value | 0 : dtype === 'u32' ? value >>> 0 : value;

function store(
  body: Body,
  inputs: readonly Data[],
  outputs: readonly Data[],
  index: readonly number[],
  flat: number,
  reduced: readonly number[] = [],
): void {
  const values = runProgram(body.program, inputs, index, reduced);
  body.stores.forEach((instruction, output) => {
    (outputs[output] as Data)[flat] = values[instruction] as number;
  });
}

function runLoop(kernel: LoopKernel, inputs: readonly Data[], outputs: readonly Data[]): void {
  const { reduction } = kernel;
  forEachIndex(kernel.axes, (index, flat) => {
    const valueAt = (inner: readonly number[]): number => {
      const program = reduction?.program ?? [];
      return runProgram(program, inputs, [...index, ...inner], [])[program.length - 1] as number;
    };
    const reduced = reduction ? [foldOver(reduction.op, reduction.dtype, reduction.axes, valueAt)] : [];
    store(kernel, inputs, outputs, index, flat, reduced);
  });
}

function runForeach(kernel: ForeachKernel, inputs: readonly Data[], outputs: readonly Data[]): void {
  const pick = (buffers: readonly Data[], numbers: readonly number[]) =>
    numbers.map((number) => buffers[number] as Data);
  kernel.lengths.forEach((_, number) => {
    const part = foreachPart(kernel, number);
    runLoop(part.kernel, pick(inputs, part.inputs), pick(outputs, part.outputs));
  });
}

function runRow(kernel: RowKernel, inputs: readonly Data[], outputs: readonly Data[]): void {
  const { program, folds: wanted, row, rowStores, stores } = kernel;
  const length = sizeOf(row);
  const { varies } = rowPasses(kernel);
  const nothing = { op: 'constant', dtype: 'f32', value: 0 } as const;
  const alongRow = program.map((step, at) => (varies[at] ? nothing : step));
  forEachIndex(kernel.axes, (index, flat) => {
    const reduced: number[] = [];
    for (const { op, of } of wanted) {
      const before = program.slice(0, of + 1);
      const valueAt = (inner: readonly number[]): number =>
        runProgram(before, inputs, [...index, ...inner], reduced)[of] as number;
      reduced.push(foldOver(op, (program[of] as Instruction).dtype, row, valueAt));
    }
    const ofRow = runProgram(alongRow, inputs, [...index, ...row.map(() => 0)], reduced);
    forEachIndex(row, (inner, at) => {
      store(kernel, inputs, outputs, [...index, ...inner], flat * length + at, reduced);
    });
    rowStores.forEach((instruction, i) => {
      (outputs[stores.length + i] as Data)[flat] = ofRow[instruction] as number;
    });
  });
}

/** The element of a product's operand. */
function operandAt(operand: Operand | Producer, inputs: readonly Data[], index: readonly number[]): number {
  if ('input' in operand) return read(inputs, operand, index);
  return runProgram(operand.program, inputs, index, []).at(-1) as number;
}

function runMatmul(
  kernel: MatmulKernel<Operand | Producer>,
  inputs: readonly Data[],
  outputs: readonly Data[],
): void {
  const { batch, m, n, k, a, b } = kernel;
  forEachIndex([...batch, m, n], (index, flat) => {
    const outer = index.slice(0, batch.length);
    const [row, column] = index.slice(batch.length);
    let sum = 0;
    for (let i = 0; i < k; i++) {
      sum +=
        operandAt(a, inputs, [...outer, row as number, i]) *
        operandAt(b, inputs, [...outer, i, column as number]);
    }
    store(kernel, inputs, outputs, index, flat, [sum]);
  });
}

function runScatterAdd(kernel: ScatterAddKernel, inputs: readonly Data[], outputs: readonly Data[]): void {
  const { batch, rows, count, width } = kernel;
  const [indices, updates] = inputs as [Data, Data];
  const output = outputs[0] as Data;
  output.fill(0);
  forEachIndex([batch, count], ([outer = 0], flat) => {
    const row = indices[flat] as number;
    if (row < 0 || row >= rows) return;
    for (let column = 0; column < width; column++) {
      const target = (outer * rows + row) * width + column;
      const sum = (output[target] as number) + (updates[flat * width + column] as number);
      output[target] = wrap(sum, kernel.dtype);
    }
  });
}

/** `softmax` inputs of one query: the scaled scores of all keys, −∞ where hidden. */
function scores(
  kernel: AttentionShape,
  inputs: readonly Data[],
  [b, h, i]: readonly [number, number, number],
): number[] {
  const row: number[] = [];
  for (let j = 0; j < kernel.keys; j++) {
    const hidden = (kernel.causal && j > i) || (kernel.mask && read(inputs, kernel.mask, [b, h, i, j]) === 0);
    let sum = 0;
    for (let d = 0; d < kernel.dim; d++) {
      sum += read(inputs, kernel.query, [b, h, i, d]) * read(inputs, kernel.key, [b, h, j, d]);
    }
    row.push(hidden ? -Infinity : sum * kernel.scale);
  }
  return row;
}

function runAttention(kernel: AttentionKernel, inputs: readonly Data[], outputs: readonly Data[]): void {
  const [result, logSumExp] = outputs as [Data, Data];
  forEachIndex([kernel.batch, kernel.heads, kernel.queries], ([b = 0, h = 0, i = 0], flat) => {
    const row = scores(kernel, inputs, [b, h, i]);
    const highest = Math.max(...row);
    const denominator = highest === -Infinity ? 0 : row.reduce((sum, s) => sum + Math.exp(s - highest), 0);
    logSumExp[flat] = highest === -Infinity ? -Infinity : highest + Math.log(denominator);
    for (let d = 0; d < kernel.dim; d++) {
      let sum = 0;
      row.forEach((s, j) => {
        if (s !== -Infinity)
          sum += (Math.exp(s - highest) / denominator) * read(inputs, kernel.value, [b, h, j, d]);
      });
      result[((b * kernel.queries + i) * kernel.heads + h) * kernel.dim + d] = sum;
    }
  });
}

function runAttentionBackward(
  kernel: AttentionBackwardKernel,
  inputs: readonly Data[],
  outputs: readonly Data[],
): void {
  const { batch, heads, queries, keys, dim, scale } = kernel;
  const [gradQuery, gradKey, gradValue] = outputs as [Data, Data, Data];
  const result = inputs[kernel.result] as Data;
  const logSumExp = inputs[kernel.logSumExp] as Data;
  for (const output of outputs) output.fill(0);
  const add = (data: Data, position: number, value: number) => {
    data[position] = (data[position] as number) + value;
  };
  forEachIndex([batch, heads, queries], ([b = 0, h = 0, i = 0], flat) => {
    const row = scores(kernel, inputs, [b, h, i]);
    const queryRow = ((b * queries + i) * heads + h) * dim;
    let delta = 0;
    for (let d = 0; d < dim; d++)
      delta += read(inputs, kernel.gradient, [b, h, i, d]) * (result[queryRow + d] as number);
    row.forEach((s, j) => {
      if (s === -Infinity) return;
      const keyRow = ((b * keys + j) * heads + h) * dim;
      const weight = Math.exp(s - (logSumExp[flat] as number));
      let gradWeight = 0;
      for (let d = 0; d < dim; d++) {
        const gradient = read(inputs, kernel.gradient, [b, h, i, d]);
        gradWeight += gradient * read(inputs, kernel.value, [b, h, j, d]);
        add(gradValue, keyRow + d, weight * gradient);
      }
      const gradScore = weight * (gradWeight - delta) * scale;
      for (let d = 0; d < dim; d++) {
        add(gradQuery, queryRow + d, gradScore * read(inputs, kernel.key, [b, h, j, d]));
        add(gradKey, keyRow + d, gradScore * read(inputs, kernel.query, [b, h, i, d]));
      }
    });
  });
}

function runKernel(kernel: Kernel, inputs: readonly Data[], outputs: readonly Data[]): void {
  switch (kernel.kind) {
    case 'loop':
      return runLoop(kernel, inputs, outputs);
    case 'foreach':
      return runForeach(kernel, inputs, outputs);
    case 'row':
      return runRow(kernel, inputs, outputs);
    case 'matmul':
      return runMatmul(kernel, inputs, outputs);
    case 'scatterAdd':
      return runScatterAdd(kernel, inputs, outputs);
    case 'attention':
      return runAttention(kernel, inputs, outputs);
    case 'attentionBackward':
      return runAttentionBackward(kernel, inputs, outputs);
  }
}

interface ReferenceBuffer extends DeviceBuffer {
  data: Data | undefined;
}

/**
 * The reference device: runs kernels in float64, one element at a time. `read` gives `Float64Array` for f32 and f16.
 */
export function createReferenceDevice(): Device {
  const live = new Map<DeviceBuffer, ReferenceBuffer>();
  let elements = 0;

  const dataOf = (buffer: DeviceBuffer | undefined): Data => {
    const data = buffer && live.get(buffer)?.data;
    if (!data) throw new Error('reference: this buffer was freed or belongs to another device');
    return data;
  };

  return {
    kind: 'reference',
    description: 'reference, float64 interpreter',
    limits: { kernelBuffers: 64, bufferBytes: 2 ** 30, operandBlock: 0 },
    get memory() {
      return { bytes: elements * 8, buffers: live.size };
    },
    allocate(dtype, length) {
      const buffer: ReferenceBuffer = { dtype, length, data: new Float64Array(length) };
      live.set(buffer, buffer);
      elements += length;
      return buffer;
    },
    free(buffer) {
      elements -= dataOf(buffer).length;
      live.delete(buffer);
    },
    write(buffer, data) {
      if (data.length !== buffer.length) {
        throw new RangeError(`write: the buffer has ${buffer.length} elements, the data ${data.length}`);
      }
      const to = dataOf(buffer);
      if (buffer.dtype !== 'f16') to.set(data);
      else to.set(data instanceof Uint16Array ? decodeF16(data) : data.map(roundToF16));
    },
    async read(buffer): Promise<TypedArray> {
      const data = dataOf(buffer);
      if (dtypes[buffer.dtype].kind === 'float') return data.slice();
      return buffer.dtype === 'i32' ? Int32Array.from(data) : Uint32Array.from(data);
    },
    load(launches: readonly Launch[]): Program {
      return {
        run(buffers) {
          for (const { kernel, inputs, outputs } of launches) {
            const pick = (numbers: readonly number[]) => numbers.map((number) => dataOf(buffers[number]));
            runKernel(kernel, pick(inputs), pick(outputs));
          }
        },
        ready: async () => {},
        free() {},
      };
    },
    destroy() {
      live.clear();
      elements = 0;
    },
  };
}
