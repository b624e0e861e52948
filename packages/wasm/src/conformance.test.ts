/** Everything that any device must do, on one thread and on two, by our own code alone; with a BLAS: `blas.test.ts`. */
import { deviceConformance } from '@clipin/testing';
import { createWasmDevice } from './index';

deviceConformance('wasm, 1 thread', () => createWasmDevice({ threads: 1, blas: false }));
deviceConformance('wasm, 2 threads', () => createWasmDevice({ threads: 2, blas: false }));
