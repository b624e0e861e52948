/**
 * Lazy tensors on a device: operations record a graph, which is fused into kernels when a value is asked for or a `jit`
 * function runs.
 *
 * @module
 */

export {
  type Device,
  type DType,
  decodeF16,
  encodeF16,
  type Shape,
  type TypedArray,
} from '@clipin/kernel';
export { type AttentionOptions, type AttentionSaved, attention, attentionBackward } from './attention';
export {
  arange,
  type CreateOptions,
  eye,
  full,
  iota,
  type NestedArray,
  ones,
  tensor,
  zeros,
  zerosLike,
} from './create';
export {
  type DeviceName,
  defaultDevice,
  destroyDevice,
  type InitOptions,
  init,
  setDefaultDevice,
  startDevice,
} from './device';
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
export { type JitOptions, type Jitted, jit } from './jit';
export { type Call, type Node, type Operation, operationName, type Routine } from './node';
export type { Axis, Range } from './operations';
export { bernoulli, type Key, normal, randomBits, randomKey, splitKey, uniform } from './random';
export type { Footprint } from './replay';
export type { Storage } from './storage';
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
export { evaluate, flatten, type Leaf, leaves, mapTree, type Structure, unflatten, withLeaves } from './tree';
