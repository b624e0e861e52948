/** What this machine offers to WebAssembly: fused multiply-add, threads, how many. */
import { f32x4, op } from './code';
import { FunctionBuilder, ModuleBuilder } from './module';

/** Whether this is Node, where flags may be set and threads block. */
export const isNode = typeof process !== 'undefined' && process.versions?.node !== undefined;

function compiles(): boolean {
  const f = new FunctionBuilder([], ['v128']);
  f.body = op('f32x4.relaxed_madd', f32x4(1), f32x4(1), f32x4(1));
  const module = new ModuleBuilder();
  module.add(f);
  return WebAssembly.validate(module.bytes(false));
}

/** Whether relaxed SIMD can be compiled; on a Node that hides it behind a flag, the flag is set first. */
export async function probeRelaxedSimd(): Promise<boolean> {
  if (compiles()) return true;
  if (!isNode) return false;
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  return compiles();
}

/** Most threads that a device uses. */
export const mostThreads = 16;

/** Threads that the machine can run at once. */
export async function availableThreads(): Promise<number> {
  if (!isNode) return 1;
  const { availableParallelism } = await import('node:os');
  return Math.min(mostThreads, availableParallelism());
}

/** Cores of the machine, whatever the process may use of them: always the same number on one machine. */
export async function coresOfMachine(): Promise<number> {
  if (!isNode) return 1;
  const { cpus } = await import('node:os');
  return Math.max(1, cpus().length);
}
