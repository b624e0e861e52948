/** Elementwise nonlinearities. */
import { elementwise } from '@clipin/autograd';
import { sigmoid, type Tensor } from '@clipin/tensor';

/** An elementwise function of any shape. */
export type Activation = (x: Tensor) => Tensor;

/** `max(x, 0)`. */
export const relu: Activation = (x) => x.maximum(0);

/** `x Φ(x) = x/2 (1 + erf(x/√2))`, exact (Hendrycks and Gimpel 2016). */
export const gelu: Activation = elementwise((x) => x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1)));

/** `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, the approximation of gelu that SigLIP uses. */
export const geluTanh: Activation = elementwise((x) => {
  const inner = x
    .square()
    .mul(0.044715)
    .add(1)
    .mul(x)
    .mul(Math.sqrt(2 / Math.PI));
  return x.mul(0.5).mul(inner.tanh().add(1));
});

/** `x σ(1.702 x)`, the approximation of gelu that OpenAI's CLIP uses. */
export const quickGelu: Activation = elementwise((x) => x.mul(sigmoid(x.mul(1.702))));

/** `x σ(x)`, also known as swish. */
export const silu: Activation = elementwise((x) => x.mul(sigmoid(x)));

/** The activations by name, for configurations that are written to files. */
export const activations = { relu, gelu, geluTanh, quickGelu, silu } as const;

/** Names of activations. */
export type ActivationName = keyof typeof activations;
