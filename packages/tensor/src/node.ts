/**
 * The lazy graph: a node is an operation on other nodes, with the shape and dtype of its result. Nodes are recorded
 * when operations are called and turned into kernels by `schedule/`. What a user holds is `Tensor`, a node with methods.
 */
import type { Device, DType, ReduceOp, ScalarOp, Shape } from '@clipin/kernel';
import type { Storage } from './storage';

/** Routines are operations with several results or with schedules of their own. */
export type Routine =
  | { readonly kind: 'scatterAdd'; readonly batchDims: number; readonly rows: number }
  | { readonly kind: 'attention'; readonly scale: number; readonly causal: boolean; readonly masked: boolean }
  | {
      readonly kind: 'attentionBackward';
      readonly scale: number;
      readonly causal: boolean;
      readonly masked: boolean;
    };

/** One use of a routine, shared by the nodes that are its results. */
export interface Call {
  readonly routine: Routine;
  readonly outputs: Node[];
}

/** The primitives. Few and orthogonal: everything else is written with them. */
export type Operation =
  /** Data on the device: the node has a storage. */
  | { readonly kind: 'buffer' }
  /** An argument of a function that `jit` traces. */
  | { readonly kind: 'parameter'; readonly index: number }
  /** One number everywhere. */
  | { readonly kind: 'constant'; readonly value: number }
  /** The index along an axis, i32. */
  | { readonly kind: 'iota'; readonly axis: number }
  /** A scalar operation, element by element; inputs have the shape of the result. */
  | { readonly kind: 'scalar'; readonly op: ScalarOp }
  | { readonly kind: 'reshape' }
  /** Axis `i` of the result is axis `order[i]` of the input. */
  | { readonly kind: 'permute'; readonly order: readonly number[] }
  /** Axes of size 1 repeated; same rank. */
  | { readonly kind: 'expand' }
  /** Element `i` of an axis is element `start + i · step` of the input's. */
  | { readonly kind: 'slice'; readonly start: readonly number[]; readonly step: readonly number[] }
  /** Zeros around. */
  | { readonly kind: 'pad'; readonly before: readonly number[] }
  /** A fold over axes, which disappear. */
  | { readonly kind: 'reduce'; readonly op: ReduceOp; readonly axes: readonly number[] }
  /** `[...batch, m, k] × [...batch, k, n]`. */
  | { readonly kind: 'matmul' }
  /** `x[batch…, rows, rest…]` at `indices[batch…, count…]` gives `[batch…, count…, rest…]`; out of range gives 0. */
  | { readonly kind: 'gather'; readonly batchDims: number }
  | { readonly kind: 'routine'; readonly call: Call; readonly output: number };

/** The name under which errors speak of an operation. */
export const operationName = (operation: Operation): string => {
  if (operation.kind === 'scalar' || operation.kind === 'reduce') return operation.op;
  return operation.kind === 'routine' ? operation.call.routine.kind : operation.kind;
};

let created = 0;

/** The number that the next node will get: nodes with smaller numbers exist already. */
export const nextNodeId = (): number => created;

/** A node of the lazy graph. */
export class Node {
  /** Counts up; inputs have smaller numbers than their users. */
  readonly id: number;
  /** @internal */
  storage: Storage | undefined;

  /** @internal */
  constructor(
    readonly device: Device,
    readonly dtype: DType,
    readonly shape: Shape,
    /** @internal */
    public operation: Operation,
    /** @internal */
    public inputs: readonly Node[],
  ) {
    this.id = created++;
  }

  /**
   * The node's value is in this storage from now on; how it was computed is forgotten, so that its inputs can be freed.
   * @internal
   */
  realize(storage: Storage): void {
    this.storage = storage;
    this.operation = { kind: 'buffer' };
    this.inputs = [];
  }
}
