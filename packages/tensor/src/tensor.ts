/**
 * `Tensor`: what a user holds. Its methods check their arguments, record a node of the lazy graph, and compute nothing;
 * `data()` and `item()` do. Compositions of these methods live in `functions.ts`.
 */
import {
  type Device,
  type DType,
  dtypes,
  emptyArray,
  formatShape,
  type ReduceOp,
  type ScalarOp,
  type Shape,
  sameShape,
  scalarResult,
  sizeOf,
  type TypedArray,
} from '@clipin/kernel';
import { collectBeforeGrowing } from './collect';
import { realize, storageOf } from './evaluate';
import { type Call, Node, type Operation, operationName, type Routine } from './node';
import {
  type Axis,
  checkAxes,
  checkAxis,
  checkBroadcast,
  checkExpand,
  checkGather,
  checkMatmul,
  checkPad,
  checkPermutation,
  checkReshape,
  checkScatterAdd,
  checkShape,
  checkSlice,
  checkValue,
  type Range,
} from './operations';
import { isDestroyed } from './storage';

/** A tensor, or a number that takes its dtype and shape from the other operand. */
export type Operand = Tensor | number;

/** What a recorder is told about each primitive as it is called. */
export interface Entry {
  readonly operation: Operation;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/** Listens to primitives: the tape of `@clipin/autograd` is one. */
export interface Recorder {
  record(entry: Entry): void;
}

let recorders: readonly Recorder[] = [];

/** Runs `run` while `active` (and only these recorders) listen. */
export function withRecorders<T>(active: readonly Recorder[], run: () => T): T {
  const before = recorders;
  recorders = active;
  try {
    return run();
  } finally {
    recorders = before;
  }
}

/** The recorders that listen now, outermost first. */
export const activeRecorders = (): readonly Recorder[] => recorders;

/** Options of reductions. */
export interface ReduceOptions {
  /** Keep reduced axes with size 1. Default: false. */
  readonly keepDims?: boolean;
}

/** An n-dimensional array on a device, perhaps not computed yet. */
export class Tensor extends Node {
  #disposed = false;

  /**
   * Records a primitive; for those who write operations. Everybody else calls methods and functions.
   * @internal
   */
  static record(
    operation: Operation,
    inputs: readonly Tensor[],
    shape: Shape,
    dtype: DType,
    device?: Device,
  ): Tensor {
    const home = device ?? deviceOf(operationName(operation), inputs);
    const output = new Tensor(home, dtype, shape, operation, inputs);
    if (inputs.length > 0)
      for (const recorder of recorders) recorder.record({ operation, inputs, outputs: [output] });
    return output;
  }

  /** Records a routine with several results. @internal */
  static recordCall(
    routine: Routine,
    inputs: readonly Tensor[],
    results: readonly { readonly shape: Shape; readonly dtype: DType }[],
  ): Tensor[] {
    const device = deviceOf(routine.kind, inputs);
    const call: Call = { routine, outputs: [] };
    const outputs = results.map(
      ({ shape, dtype }, output) =>
        new Tensor(device, dtype, shape, { kind: 'routine', call, output }, inputs),
    );
    call.outputs.push(...outputs);
    const [first] = outputs;
    if (first)
      for (const recorder of recorders) recorder.record({ operation: first.operation, inputs, outputs });
    return outputs;
  }

  /** What became of the tensor. @internal */
  get fate(): 'live' | 'disposed' | 'donated' {
    return this.#disposed ? 'disposed' : (this.storage?.fate ?? 'live');
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  // Elementwise arithmetic; shapes broadcast by NumPy's rule, dtypes must be equal, but that f16 counts as f32.

  add(other: Operand): Tensor {
    return binary('add', this, other);
  }
  sub(other: Operand): Tensor {
    return binary('subtract', this, other);
  }
  mul(other: Operand): Tensor {
    return binary('multiply', this, other);
  }
  /** Quotient; integers truncate, and an integer divided by zero is 0. */
  div(other: Operand): Tensor {
    return binary('divide', this, other);
  }
  /** Remainder of integers, with the sign of the dividend; 0 for a divisor of 0. */
  remainder(other: Operand): Tensor {
    return binary('remainder', this, other);
  }
  /** The larger of the two, NaN if either is. */
  maximum(other: Operand): Tensor {
    return binary('max', this, other);
  }
  /** The smaller of the two, NaN if either is. */
  minimum(other: Operand): Tensor {
    return binary('min', this, other);
  }

  // Comparisons, which give bool.

  less(other: Operand): Tensor {
    return binary('less', this, other);
  }
  lessEqual(other: Operand): Tensor {
    return binary('lessEqual', this, other);
  }
  greater(other: Operand): Tensor {
    return binary('less', constantLike('greater', this, other), this);
  }
  greaterEqual(other: Operand): Tensor {
    return binary('lessEqual', constantLike('greaterEqual', this, other), this);
  }
  equal(other: Operand): Tensor {
    return binary('equal', this, other);
  }
  notEqual(other: Operand): Tensor {
    return this.equal(other).not();
  }

  // Bits of integers, truth of bools.

  and(other: Operand): Tensor {
    return binary('and', this, other);
  }
  or(other: Operand): Tensor {
    return binary('or', this, other);
  }
  xor(other: Operand): Tensor {
    return binary('xor', this, other);
  }
  not(): Tensor {
    return unary('not', this);
  }
  /** Shift of integers, modulo 32. */
  shiftLeft(other: Operand): Tensor {
    return binary('shiftLeft', this, other);
  }
  /** Shift of integers, modulo 32; i32 keeps its sign. */
  shiftRight(other: Operand): Tensor {
    return binary('shiftRight', this, other);
  }

  // Elementwise functions.

  neg(): Tensor {
    return unary('negate', this);
  }
  abs(): Tensor {
    return unary('abs', this);
  }
  floor(): Tensor {
    return unary('floor', this);
  }
  sqrt(): Tensor {
    return unary('sqrt', this);
  }
  exp(): Tensor {
    return unary('exp', this);
  }
  log(): Tensor {
    return unary('log', this);
  }
  sin(): Tensor {
    return unary('sin', this);
  }
  cos(): Tensor {
    return unary('cos', this);
  }
  tanh(): Tensor {
    return unary('tanh', this);
  }
  erf(): Tensor {
    return unary('erf', this);
  }
  square(): Tensor {
    return this.mul(this);
  }
  /**
   * Another dtype: floats truncate and saturate to integers (NaN gives 0), to bool asks for "not zero". To f16 rounds to
   * nearest, ties to even, beyond 65504 to infinity. Computing with an f16 tensor casts it to f32, exactly, and gives f32.
   */
  cast(dtype: DType): Tensor {
    return dtype === this.dtype ? this : unary('cast', this, dtype);
  }
  /** The same 32 bits read as another dtype (f32, i32, u32). */
  bitcast(dtype: DType): Tensor {
    return unary('bitcast', this, dtype);
  }

  // Reductions. Without axes, over all of them.

  /** Sum; 0 over nothing. */
  sum(axes?: Axis | readonly Axis[], options?: ReduceOptions): Tensor {
    return reduce('sum', this, axes, options);
  }
  /** Product; 1 over nothing. */
  product(axes?: Axis | readonly Axis[], options?: ReduceOptions): Tensor {
    return reduce('product', this, axes, options);
  }
  /** Largest element. @throws RangeError over nothing. */
  max(axes?: Axis | readonly Axis[], options?: ReduceOptions): Tensor {
    return reduce('max', this, axes, options);
  }
  /** Smallest element. @throws RangeError over nothing. */
  min(axes?: Axis | readonly Axis[], options?: ReduceOptions): Tensor {
    return reduce('min', this, axes, options);
  }
  /** Arithmetic mean; NaN over nothing. */
  mean(axes?: Axis | readonly Axis[], options?: ReduceOptions): Tensor {
    const over = checkAxes('mean', axes, this.shape);
    const count = sizeOf(over.map((axis) => this.shape[axis] as number));
    return this.sum(over, options).div(count);
  }

  // Movement: no data is copied, the kernels that read the result see through it.

  /** The same elements in row-major order in another shape; one size may be -1. */
  reshape(shape: Shape): Tensor {
    const to = checkReshape(this.shape, shape);
    return sameShape(to, this.shape) ? this : Tensor.record({ kind: 'reshape' }, [this], to, this.dtype);
  }
  /** Axes in another order; without an order, reversed. */
  transpose(order: readonly Axis[] = this.shape.map((_, axis) => -1 - axis)): Tensor {
    const axes = checkPermutation(order, this.shape);
    const shape = axes.map((axis) => this.shape[axis] as number);
    return Tensor.record({ kind: 'permute', order: axes }, [this], shape, this.dtype);
  }
  /** Two axes exchanged. */
  swapAxes(first: Axis, second: Axis): Tensor {
    const [a, b] = [checkAxis('swapAxes', first, this.shape), checkAxis('swapAxes', second, this.shape)];
    return this.transpose(this.shape.map((_, axis) => (axis === a ? b : axis === b ? a : axis)));
  }
  /** Broadcast to a larger shape. */
  expand(shape: Shape): Tensor {
    if (sameShape(shape, this.shape)) return this;
    checkShape('expand', shape);
    checkExpand(this.shape, shape);
    if (this.operation.kind === 'constant')
      return Tensor.record(this.operation, [], shape, this.dtype, this.device);
    const padded = [...new Array<number>(shape.length - this.rank).fill(1), ...this.shape];
    const aligned = this.reshape(padded);
    return sameShape(padded, shape)
      ? aligned
      : Tensor.record({ kind: 'expand' }, [aligned], shape, this.dtype);
  }
  /** Ranges `[start, stop, step]` of the first axes, as Python's slices; `undefined` keeps an axis whole. */
  slice(...ranges: readonly (Range | undefined)[]): Tensor {
    const { shape, start, step } = checkSlice(ranges, this.shape);
    return Tensor.record({ kind: 'slice', start, step }, [this], shape, this.dtype);
  }
  /** Reversed along axes. */
  flip(axes?: Axis | readonly Axis[]): Tensor {
    const flipped = checkAxes('flip', axes, this.shape);
    return this.slice(
      ...this.shape.map((_, axis): Range => (flipped.includes(axis) ? [undefined, undefined, -1] : [])),
    );
  }
  /** Zeros (false) before and after each axis: `[before, after]` an axis. */
  pad(widths: readonly (readonly [before: number, after: number])[]): Tensor {
    const shape = checkPad(widths, this.shape);
    return Tensor.record(
      { kind: 'pad', before: widths.map(([before]) => before) },
      [this],
      shape,
      this.dtype,
    );
  }
  /** A new axis of size 1 at `axis` of the result. */
  expandDims(axis: Axis): Tensor {
    const at = checkAxis('expandDims', axis, [...this.shape, 1]);
    return this.reshape([...this.shape.slice(0, at), 1, ...this.shape.slice(at)]);
  }
  /** Without axes of size 1: the named ones, or all. */
  squeeze(axes?: Axis | readonly Axis[]): Tensor {
    const named = axes === undefined ? undefined : checkAxes('squeeze', axes, this.shape);
    const wrong = named?.find((axis) => this.shape[axis] !== 1);
    if (wrong !== undefined) {
      throw new RangeError(
        `squeeze: axis ${wrong} of ${formatShape(this.shape)} has size ${this.shape[wrong]}, not 1`,
      );
    }
    return this.reshape(this.shape.filter((n, axis) => (named ? !named.includes(axis) : n !== 1)));
  }

  // Products and lookups.

  /**
   * Matrix product `[..., m, k] × [..., k, n]` → `[..., m, n]` in f32; leading axes broadcast. Operands are f32 or f16, and
   * f16 ones are read as they are: no copy in f32 is made.
   */
  matmul(other: Tensor): Tensor {
    const { batch, m, k, n } = checkMatmul(this.shape, other.shape);
    if (dtypes[this.dtype].kind !== 'float' || dtypes[other.dtype].kind !== 'float') {
      throw new TypeError(
        `matmul: got ${this.dtype} × ${other.dtype}, wants f32 or f16 of each; convert with cast`,
      );
    }
    if (other.rank === 2 && this.rank > 2) {
      // One tall product instead of a batch of small ones.
      return this.reshape([sizeOf(batch) * m, k])
        .matmul(other)
        .reshape([...batch, m, n]);
    }
    const inputs = [this.expand([...batch, m, k]), other.expand([...batch, k, n])];
    return Tensor.record({ kind: 'matmul' }, inputs, [...batch, m, n], 'f32');
  }
  /**
   * Rows of this tensor: `x[batch…, rows, rest…]` at `indices[batch…, count…]` gives `[batch…, count…, rest…]`.
   * An index out of range gives zeros.
   */
  gather(indices: Tensor, { batchDims = 0 }: { readonly batchDims?: number } = {}): Tensor {
    const shape = checkGather(this.shape, indices.shape, batchDims);
    if (dtypes[indices.dtype].kind !== 'int') {
      throw new TypeError(`gather: indices are ${indices.dtype}, wants i32 or u32; convert with cast`);
    }
    return Tensor.record({ kind: 'gather', batchDims }, [this, indices], shape, this.dtype);
  }
  /**
   * The transpose of `gather`: `updates[batch…, count…, rest…]` (this tensor) summed into zeros
   * `[batch…, rows, rest…]` at `indices[batch…, count…]`, in order. An index out of range is dropped.
   */
  scatterAdd(indices: Tensor, rows: number, { batchDims = 0 }: { readonly batchDims?: number } = {}): Tensor {
    const shape = checkScatterAdd(this.shape, indices.shape, rows, batchDims);
    if (this.dtype === 'bool' || dtypes[indices.dtype].kind !== 'int') {
      throw new TypeError(
        `scatterAdd: updates are ${this.dtype}, indices ${indices.dtype}; wants f32, f16, i32 or u32 at i32 or u32`,
      );
    }
    const routine: Routine = { kind: 'scatterAdd', batchDims, rows };
    const updates = widened(this);
    return Tensor.recordCall(routine, [indices, updates], [{ shape, dtype: updates.dtype }])[0] as Tensor;
  }

  // Values.

  /**
   * Computes the tensor and copies it to the host, row-major: f32 and f16 as Float32Array, from the reference device as
   * Float64Array.
   */
  async data(): Promise<TypedArray> {
    const device = deviceOf('data', [this]);
    if (this.size === 0) return emptyArray(this.dtype, 0);
    realize([this]);
    const [values] = await Promise.all([device.read(storageOf(this).buffer), collectBeforeGrowing(device)]);
    return values;
  }
  /** The only element. @throws RangeError when there are more or none. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new RangeError(
        `item: a tensor of shape ${formatShape(this.shape)} has ${this.size} elements, not 1`,
      );
    return (await this.data())[0] as number;
  }
  /**
   * Frees the memory now instead of when the garbage collector comes by. Using the tensor afterwards is an error; what was
   * made of it before can still be computed if the tensor itself never was.
   */
  dispose(): void {
    this.#disposed = true;
    this.storage?.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
  override toString(): string {
    return `Tensor(${this.dtype}${formatShape(this.shape)} on ${this.device.kind})`;
  }
}

/**
 * The device of an operation's inputs.
 *
 * @throws Error for a tensor that is gone, or tensors of several devices
 * @internal
 */
export function deviceOf(operation: string, inputs: readonly Tensor[]): Device {
  const [first] = inputs;
  if (!first) throw new Error(`${operation}: has no inputs, so its device must be named`);
  for (const input of inputs) {
    const { fate, device } = input;
    if (fate === 'disposed') throw new Error(`${operation}: ${String(input)} was disposed of`);
    if (fate === 'donated') {
      throw new Error(
        `${operation}: ${String(input)} was donated to a jitted function; use what that function returned`,
      );
    }
    if (isDestroyed(device))
      throw new Error(`${operation}: ${String(input)} is gone, its device was destroyed`);
    if (device !== first.device) {
      throw new Error(
        `${operation}: ${String(first)} and ${String(input)} are on different devices; copy one with tensor(await x.data(), ...)`,
      );
    }
  }
  return first.device;
}

/** What is computed with: f16 is a format of storage, and becomes f32 without loss. */
export const widened = (x: Tensor): Tensor => (x.dtype === 'f16' ? x.cast('f32') : x);

/** `value` as a constant tensor of the dtype (of f16, of f32) and shape of `like`; tensors pass. */
function constantLike(operation: string, like: Tensor, value: Operand): Tensor {
  if (typeof value !== 'number') return value;
  const dtype = like.dtype === 'f16' ? 'f32' : like.dtype;
  const constant = checkValue(operation, value, dtype);
  return Tensor.record({ kind: 'constant', value: constant }, [], like.shape, dtype, like.device);
}

function unary(op: ScalarOp, input: Tensor, target?: DType): Tensor {
  const x = op === 'cast' || op === 'bitcast' ? input : widened(input);
  return Tensor.record({ kind: 'scalar', op }, [x], x.shape, scalarResult(op, [x.dtype], target));
}

function binary(op: ScalarOp, a: Tensor, b: Operand): Tensor {
  const inputs = [a, constantLike(op, a, b)].map(widened);
  const shape = checkBroadcast(op, ...inputs.map((input) => input.shape));
  const dtype = scalarResult(
    op,
    inputs.map((input) => input.dtype),
  );
  const expanded = inputs.map((input) => input.expand(shape));
  return Tensor.record({ kind: 'scalar', op }, expanded, shape, dtype);
}

/** Elements of `a` where the bool `condition` is true, else of `b`; all three broadcast. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const like = typeof a !== 'number' ? a : typeof b !== 'number' ? b : undefined;
  if (!like) throw new TypeError('where: one of the two values must be a tensor, so that the dtype is known');
  const [first, second] = [widened(constantLike('where', like, a)), widened(constantLike('where', like, b))];
  const shape = checkBroadcast('where', condition.shape, first.shape, second.shape);
  const dtype = scalarResult('select', [condition.dtype, first.dtype, second.dtype]);
  const inputs = [condition, first, second].map((x) => x.expand(shape));
  return Tensor.record({ kind: 'scalar', op: 'select' }, inputs, shape, dtype);
}

function reduce(
  op: ReduceOp,
  input: Tensor,
  named: Axis | readonly Axis[] | undefined,
  options: ReduceOptions = {},
): Tensor {
  const x = widened(input);
  if (x.dtype === 'bool') throw new TypeError(`${op}: of bool; convert with cast('i32') first`);
  const axes = checkAxes(op, named, x.shape);
  if ((op === 'max' || op === 'min') && axes.some((axis) => x.shape[axis] === 0)) {
    throw new RangeError(`${op}: over an empty axis of ${formatShape(x.shape)} there is no ${op}`);
  }
  const shape = x.shape.filter((_, axis) => !axes.includes(axis));
  const result = axes.length === 0 ? x : Tensor.record({ kind: 'reduce', op, axes }, [x], shape, x.dtype);
  return options.keepDims ? result.reshape(x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n))) : result;
}
