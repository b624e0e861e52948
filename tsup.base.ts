/** How every package is built, said once: ES modules, declarations and source maps into `dist`. */
import { defineConfig, type Options } from 'tsup';

/** The build of one package; `options` says only what is special about it. */
export const esmPackage = (options: Options = {}) =>
  defineConfig({
    entry: ['src/index.ts'],
    format: 'esm',
    target: 'es2022',
    dts: true,
    sourcemap: true,
    clean: true,
    silent: true,
    ...options,
  });
