/**
 * The WebGPU device: kernel descriptions to WGSL, run by Dawn in Node and by the browser.
 *
 * Sums have a fixed order, so results repeat to the bit on one adapter. Numbers below 2⁻¹²⁶ and the sign of zero may be
 * lost; what holds for NaN and infinities is in the package's README.
 *
 * @module
 */
export { createWebgpuDevice, type WebgpuOptions } from './create';
