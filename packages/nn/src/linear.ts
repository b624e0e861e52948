/** Affine maps of the last axis, and tables of embeddings. */
import { type Tensor, zeros } from '@clipin/tensor';
import { checkInput, checkSizes } from './check';
import { type Initializer, lecunNormal, scaledNormal } from './initializers';
import { type Layer, layer } from './layer';

/** Parameters of `linear`. */
export interface LinearParams {
  /** `[inputs, outputs]` */
  readonly weight: Tensor;
  /** `[outputs]` */
  readonly bias?: Tensor;
}

/** Options of `linear`. */
export interface LinearOptions {
  /** Default: true. */
  readonly bias?: boolean;
  /** First values of the weight; the bias starts at 0. Default: `lecunNormal`. */
  readonly init?: Initializer;
}

/** `y = x W + b`: `[..., rows, inputs]` → `[..., rows, outputs]`. */
export function linear(
  inputs: number,
  outputs: number,
  { bias = true, init = lecunNormal }: LinearOptions = {},
): Layer<LinearParams, [x: Tensor], Tensor> {
  checkSizes('linear', { inputs, outputs });
  return layer({
    init: (key): LinearParams => ({
      weight: init(key, [inputs, outputs]),
      ...(bias && { bias: zeros([outputs], { device: key.device }) }),
    }),
    apply(params, x: Tensor) {
      checkInput('linear', x, ['...', 'rows', inputs]);
      const product = x.matmul(params.weight);
      return params.bias ? product.add(params.bias) : product;
    },
  });
}

/** Parameters of `embedding`. */
export interface EmbeddingParams {
  /** `[count, width]` */
  readonly weight: Tensor;
}

/** Options of `embedding`. */
export interface EmbeddingOptions {
  /** First values of the table. Default: normal with deviation 0.02, as in CLIP. */
  readonly init?: Initializer;
}

/** Row `i` of a table for each id: i32 or u32 `[...]` → `[..., width]`. An id out of range gives zeros. */
export function embedding(
  count: number,
  width: number,
  { init = scaledNormal(0.02) }: EmbeddingOptions = {},
): Layer<EmbeddingParams, [ids: Tensor], Tensor> {
  checkSizes('embedding', { count, width });
  return layer({
    init: (key): EmbeddingParams => ({ weight: init(key, [count, width]) }),
    apply(params, ids: Tensor) {
      checkInput('embedding', ids, ['...'], ['i32', 'u32']);
      return params.weight.gather(ids);
    },
  });
}
