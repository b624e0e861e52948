/**
 * Kernel descriptions: work, without saying who does it. Plain data; devices turn it into code.
 *
 * A kernel reads `inputs` (buffers) and writes `outputs` (buffers, contiguous and row-major over its axes).
 * Input buffers are reached through affine functions of the loop indices, so transposes, broadcasts, slices,
 * flips and padding cost nothing: they are strides, zero strides, offsets, negative strides and guards.
 *
 * An f16 input is loaded as dtype `f16`, an f16 output stores an instruction of dtype `f16`; in between only `cast` knows that
 * dtype. Loops, rows and products have f16 inputs and outputs, a product's operands among them; the other routines do not.
 */
import type { DType } from './dtype';
import type { ScalarOp } from './scalar';

/** `offset + Σ strides[i] · index[i]` over the loop axes it belongs to (outer axes first, then reduction axes). */
export interface Affine {
  readonly offset: number;
  readonly strides: readonly number[];
}

/** True where `0 ≤ value < size`, with `value` an affine function of the loop indices. */
export interface Guard {
  readonly value: Affine;
  readonly size: number;
}

/**
 * Part of a load's position that is known only at run time: instruction `at` gives an integer `i`, and the load
 * reads `index + i · stride`. Like a guard, `i` outside `0 ≤ i < size` reads 0.
 */
export interface Gather {
  readonly at: number;
  readonly stride: number;
  readonly size: number;
}

/** One step of a scalar program; its number in the program is its name, `args` name earlier steps. */
export type Instruction =
  | { readonly op: 'constant'; readonly dtype: DType; readonly value: number }
  /** An affine function of the loop indices, as i32. */
  | { readonly op: 'index'; readonly dtype: 'i32'; readonly index: Affine }
  /** An element of input `input`; 0 (false) where a guard or the gather is out of range, and then nothing is read. */
  | {
      readonly op: 'load';
      readonly dtype: DType;
      readonly input: number;
      readonly index: Affine;
      readonly guards: readonly Guard[];
      readonly gather?: Gather;
    }
  /** The result of the reduction or of the matrix product, in the program that follows it; in rows, of fold `fold`. */
  | { readonly op: 'reduced'; readonly dtype: DType; readonly fold?: number }
  | { readonly op: ScalarOp; readonly dtype: DType; readonly args: readonly number[] };

/** How values are folded. Over an empty range: `sum` 0, `product` 1, `max` the lowest value, `min` the highest. */
export type ReduceOp = 'sum' | 'product' | 'max' | 'min';

/** A fold over inner axes: `program`'s last instruction is folded at every point of the outer and reduction axes. */
export interface Reduction {
  readonly op: ReduceOp;
  readonly dtype: DType;
  readonly axes: readonly number[];
  readonly program: readonly Instruction[];
}

/**
 * What happens at every point of a kernel's outer axes: run `program`, store instruction `stores[i]` to output `i`.
 */
export interface Body {
  readonly program: readonly Instruction[];
  readonly stores: readonly number[];
}

/** A loop nest over `axes`; with a reduction inside it, its result is the `reduced` instruction of the body. */
export interface LoopKernel extends Body {
  readonly kind: 'loop';
  readonly axes: readonly number[];
  readonly reduction?: Reduction;
}

/**
 * One scalar program over many tensors, each of its own length; PyTorch calls such work foreach, or multi-tensor. At every
 * element of every part run `program`, over one axis, and store `stores` to the part's outputs.
 *
 * The program's inputs are first those that all parts share, then each part's own. A launch has the shared ones, then the own
 * of part after part; its outputs lie part after part. Loads have no guards and no gather: an own input is read at the element itself
 * (offset 0, stride 1) or at a fixed place (stride 0), a shared one at a fixed place.
 */
export interface ForeachKernel extends Body {
  readonly kind: 'foreach';
  /** Elements of each part. */
  readonly lengths: readonly number[];
  /** Inputs that all parts share. */
  readonly shared: number;
  /** Inputs that each part has of its own. */
  readonly own: number;
}

/** A fold along a row: of the values of instruction `of`, with its dtype. */
export interface RowFold {
  readonly op: ReduceOp;
  readonly of: number;
}

/**
 * Work on rows that need folds of themselves: softmax, normalization, their derivatives. At every point of `axes` lies a
 * row, the points of `row`. There is one program over `[...axes, ...row]`; its instruction `reduced` is the result of one
 * of `folds` over the row that the point is in. A fold may depend on folds before it.
 *
 * Outputs: `stores`, elementwise over `[...axes, ...row]`, then `rowStores` over `axes`, of instructions whose value is
 * the same all along the row. The folds of a row are done before any of it is stored, and `rowStores` come last.
 */
export interface RowKernel extends Body {
  readonly kind: 'row';
  readonly axes: readonly number[];
  readonly row: readonly number[];
  readonly folds: readonly RowFold[];
  readonly rowStores: readonly number[];
}

/** An input seen through an affine function. */
export interface Operand {
  readonly input: number;
  readonly index: Affine;
}

/** An operand that is computed where it is read: each element is the last value, f32, of a program without `reduced`. */
export interface Producer {
  readonly program: readonly Instruction[];
}

/**
 * `Σ_k a[batch…, m, k] · b[batch…, k, n]` in f32. Each operand is an f32 or f16 input, or a program: `a` over
 * `[...batch, m, k]`, `b` over `[...batch, k, n]`, inputs affine; any strides, a transpose or a broadcast batch included. The
 * body runs over `[...batch, m, n]`: the epilogue.
 */
export interface MatmulKernel<Of extends Operand | Producer = Operand> extends Body {
  readonly kind: 'matmul';
  readonly batch: readonly number[];
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Of;
  readonly b: Of;
}

/**
 * `output[batch, indices[batch, i], :] += updates[batch, i, :]` on zeros. Inputs: indices `[batch, count]` (i32 or u32),
 * updates `[batch, count, width]`; output `[batch, rows, width]`; all contiguous. An index out of range is dropped.
 * Every sum is taken in the order of `i`, so results do not depend on threads.
 */
export interface ScatterAddKernel {
  readonly kind: 'scatterAdd';
  readonly dtype: 'f32' | 'i32' | 'u32';
  readonly indices: 'i32' | 'u32';
  readonly batch: number;
  readonly rows: number;
  readonly count: number;
  readonly width: number;
}

/** Sizes and masks that attention's two kernels share. */
export interface AttentionShape {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly dim: number;
  /** Factor on the scores, usually `1/√dim`. */
  readonly scale: number;
  /** Query `i` sees keys `0…i` only. */
  readonly causal: boolean;
  /** Affine over `[batch, heads, tokens, dim]`. */
  readonly query: Operand;
  readonly key: Operand;
  readonly value: Operand;
  /** bool, affine over `[batch, heads, queries, keys]`; false hides the key. */
  readonly mask?: Operand;
}

/**
 * `softmax(scale · q kᵀ, masked) v`. Outputs: the result `[batch, queries, heads, dim]` and the logarithm of the
 * softmax's denominator `[batch, heads, queries]`. A query that sees no key gives 0 and −∞.
 */
export interface AttentionKernel extends AttentionShape {
  readonly kind: 'attention';
}

/**
 * Derivative of attention. Beside the operands of the forward kernel: `result` and `logSumExp` as the forward kernel
 * wrote them (contiguous inputs, by number), and `gradient`, affine over `[batch, heads, queries, dim]`.
 * Outputs: the gradients of query, key, value, each `[batch, tokens, heads, dim]`.
 */
export interface AttentionBackwardKernel extends AttentionShape {
  readonly kind: 'attentionBackward';
  readonly result: number;
  readonly logSumExp: number;
  readonly gradient: Operand;
}

/** Work for a device. */
export type Kernel =
  | LoopKernel
  | ForeachKernel
  | RowKernel
  | MatmulKernel<Operand | Producer>
  | ScatterAddKernel
  | AttentionKernel
  | AttentionBackwardKernel;

/** A kernel with its buffers, given as positions in the table that `Program.run` receives. */
export interface Launch {
  readonly kernel: Kernel;
  readonly inputs: readonly number[];
  readonly inputTypes: readonly DType[];
  /**
   * An output may be one of the inputs (an update in place) only where the kernel reads each element of that input
   * before it writes the same element: the caller sees to it. In a foreach that is an own input of the same part, read at stride 1
   * and given to no other part.
   */
  readonly outputs: readonly number[];
  readonly outputTypes: readonly DType[];
}

/** JSON has no NaN, infinities and −0; a constant may be any of them. */
const writeNumber = (_: string, value: unknown): unknown =>
  typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))
    ? `${Object.is(value, -0) ? '-0' : value}`
    : value;

/** A text that is equal for equal launches up to their buffers: the key of code caches. */
export const launchKey = (launch: Launch): string => {
  const inPlace = launch.inputs.map((buffer) => launch.outputs.indexOf(buffer));
  return JSON.stringify([launch.kernel, launch.inputTypes, launch.outputTypes, inPlace], writeNumber);
};
