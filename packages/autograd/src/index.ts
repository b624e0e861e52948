/**
 * Derivatives: a tape records primitives while a function runs and is walked back with one rule a primitive.
 *
 * @module
 */

export { checkpoint, customVjp, elementwise, stopGradient } from './custom';
export { type GradOptions, grad, valueAndGrad, vjp } from './transform';
