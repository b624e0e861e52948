/** Rows of naming tables for the parts that all towers are made of. */
import type { TensorName } from './naming';

/** A norm's gain and bias, which PyTorch calls weight and bias. */
export const norm = (theirs: string, ours: string): TensorName[] => [
  [`${theirs}.weight`, `${ours}.gain`, 'same'],
  [`${theirs}.bias`, `${ours}.bias`, 'same'],
];

/** A linear map, or several in one along the outputs. */
export const linear = (theirs: string, ours: string | readonly string[]): TensorName[] => {
  const all = typeof ours === 'string' ? [ours] : ours;
  return [
    [`${theirs}.weight`, all.map((path) => `${path}.weight`), 'transposed'],
    [`${theirs}.bias`, all.map((path) => `${path}.bias`), 'same'],
  ];
};

/** Queries, keys and values in one, as PyTorch's `MultiheadAttention` has them. */
export const packed = (theirs: string, ours: string): TensorName[] => {
  const parts = ['query', 'key', 'value'].map((part) => `${ours}.${part}`);
  return [
    [`${theirs}.in_proj_weight`, parts.map((part) => `${part}.weight`), 'transposed'],
    [`${theirs}.in_proj_bias`, parts.map((part) => `${part}.bias`), 'same'],
    ...linear(`${theirs}.out_proj`, `${ours}.out`),
  ];
};
