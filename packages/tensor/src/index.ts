/**
 * Lazy tensors on a device: operations record a graph, which is fused into kernels when a value is asked for or a `jit`
 * function runs.
 *
 * @module
 */
export { type DeviceName, defaultDevice, destroyDevice, init, type InitOptions, setDefaultDevice } from './device';
export { arange, type CreateOptions, eye, full, iota, type NestedArray, ones, tensor, zeros, zerosLike } from './create';
export {
  activeRecorders,
  type Entry,
  type Operand,
  type Recorder,
  type ReduceOptions,
  Tensor,
  where,
  withRecorders,
} from './tensor';
export type { Call, Node, Operation, Routine } from './node';
export type { Axis, Range } from './operations';
export {
  all,
  any,
  argMax,
  concatenate,
  logSoftmax,
  logSumExp,
  oneHot,
  sigmoid,
  softmax,
  split,
  stack,
  variance,
} from './functions';
export { attention, attentionBackward, type AttentionOptions, type AttentionSaved } from './attention';
export { bernoulli, type Key, normal, randomBits, randomKey, splitKey, uniform } from './random';
export { evaluate, flatten, type Leaf, leaves, mapTree, type Structure, unflatten, withLeaves } from './tree';
export { jit, type JitOptions } from './jit';
export type { Device, DType, Shape, TypedArray } from '@clipin/kernel';
