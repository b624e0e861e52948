/**
 * Ground floor: dtypes, shapes, kernel descriptions, the device interface, and the float64 interpreter that is the
 * oracle of every test.
 *
 * @module
 */

export { affinesOf, mapAffines } from './affine';
export type { Device, DeviceBuffer, DeviceLimits, DeviceMemory, Program } from './device';
export { type DType, type DTypeFacts, dtypes, emptyArray, type TypedArray } from './dtype';
export { evaluateScalar } from './evaluate';
export { type ForeachPart, foreachPart } from './foreach';
export { decodeF16, encodeF16, fromF16Bits, roundToF16, toF16Bits } from './half';
export { createReferenceDevice } from './interpreter';
export {
  type Affine,
  type AttentionBackwardKernel,
  type AttentionKernel,
  type AttentionShape,
  type Body,
  type ForeachKernel,
  type Gather,
  type Guard,
  type Instruction,
  type Kernel,
  type Launch,
  type LoopKernel,
  launchKey,
  type MatmulKernel,
  type Operand,
  type Producer,
  type ReduceOp,
  type Reduction,
  type RowFold,
  type RowKernel,
  type ScatterAddKernel,
} from './kernel';
export { argumentsOf, type RowPasses, rowPasses } from './row';
export { type ScalarOp, scalarOps, scalarResult } from './scalar';
export {
  broadcastShapes,
  contiguousStrides,
  formatShape,
  maxRank,
  normalizeAxis,
  type Shape,
  sameShape,
  sizeOf,
} from './shape';
