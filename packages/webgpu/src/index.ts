/**
 * The WebGPU device: kernel descriptions to WGSL, run by Dawn in Node and by the browser.
 *
 * @module
 */
export { createWebgpuDevice, type WebgpuOptions } from './create';
