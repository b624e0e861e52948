/**
 * The WebAssembly device: kernel descriptions become SIMD code, run on threads.
 *
 * @module
 */
export { createWasmDevice, type WasmDeviceOptions } from './device';
