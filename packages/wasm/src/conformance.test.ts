/** Everything that any device must do, on one thread and on two. */
import { deviceConformance } from '@clipin/testing';
import { createWasmDevice } from './index';

deviceConformance('wasm, 1 thread', () => createWasmDevice({ threads: 1 }));
deviceConformance('wasm, 2 threads', () => createWasmDevice({ threads: 2 }));
