/**
 * Derivatives: a tape records primitives while a function runs and is walked back with one rule a primitive.
 *
 * @module
 */
export { grad, type GradOptions, valueAndGrad, vjp } from './transform';
export { checkpoint, customVjp, stopGradient } from './custom';
