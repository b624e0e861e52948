/** The two-layer perceptron of transformer blocks. */
import type { Tensor } from '@clipin/tensor';
import { type Activation, gelu } from './activations';
import { type Initializer, lecunNormal } from './initializers';
import { initEach, type Layer, layer } from './layer';
import { type LinearParams, linear } from './linear';

/** Parameters of `mlp`. */
export interface MlpParams {
  /** `[inputs, hidden]` */
  readonly up: LinearParams;
  /** `[hidden, outputs]` */
  readonly down: LinearParams;
}

/** Options of `mlp`. */
export interface MlpOptions {
  readonly inputs: number;
  readonly hidden: number;
  /** Default: as many as inputs. */
  readonly outputs?: number;
  /** Default: `gelu`. */
  readonly activation?: Activation;
  /** First values of the two weights. Default: `lecunNormal`. */
  readonly init?: { readonly up: Initializer; readonly down: Initializer };
}

/** `y = f(x W₁ + b₁) W₂ + b₂`: `[..., inputs]` → `[..., outputs]`. */
export function mlp({
  inputs,
  hidden,
  outputs = inputs,
  activation = gelu,
  init = { up: lecunNormal, down: lecunNormal },
}: MlpOptions): Layer<MlpParams, [x: Tensor], Tensor> {
  const up = linear(inputs, hidden, { init: init.up });
  const down = linear(hidden, outputs, { init: init.down });
  return layer({
    init: (key): MlpParams => initEach(key, { up, down }),
    apply: (params, x: Tensor) => down.apply(params.down, activation(up.apply(params.up, x))),
  });
}
