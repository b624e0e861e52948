/** The repository keeps its rules of who imports whom, and the check that says so can fail. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { architectureProblems } from './architecture';

test('packages import downwards only, by name, as declared, and without circles', () => {
  expect(architectureProblems(resolve(import.meta.dirname, '..'))).toEqual([]);
});

const root = mkdtempSync(join(tmpdir(), 'clipin-architecture-'));
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Writes a small monorepo of a kernel and a tensor package in good order, changed by `files`, and checks it. */
function problemsOf(files: Record<string, string>): string[] {
  const tree = {
    'package.json': manifest('root'),
    'packages/kernel/package.json': manifest('@clipin/kernel'),
    'packages/kernel/src/index.ts': `export * from './shape';`,
    'packages/kernel/src/shape.ts': `export const shape = [];`,
    'packages/tensor/package.json': manifest('@clipin/tensor', ['@clipin/kernel']),
    'packages/tensor/src/index.ts': `import { shape } from '@clipin/kernel'; export const tensor = shape;`,
    ...files,
  };
  for (const [path, text] of Object.entries(tree)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return architectureProblems(root);
}

function manifest(name: string, dependencies: string[] = []): string {
  return JSON.stringify({
    name,
    exports: { '.': './src/index.ts' },
    dependencies: Object.fromEntries(dependencies.map((dependency) => [dependency, '0.1.0'])),
  });
}

test('a tree in order has no problems', () => {
  expect(problemsOf({})).toEqual([]);
});

test('an import upwards is found, even of a type in a test', () => {
  const problems = problemsOf({
    'packages/kernel/package.json': manifest('@clipin/kernel', ['@clipin/tensor']),
    'packages/kernel/src/shape.ts': `import { tensor } from '@clipin/tensor'; export const shape = tensor;`,
    'packages/kernel/src/shape.test.ts': `import type { tensor } from '@clipin/tensor';`,
  });
  expect(problems).toHaveLength(2);
  expect(problems).toContain(
    'packages/kernel/src/shape.ts imports @clipin/tensor, which is not on a floor below',
  );
});

test('an import between neighbours on one floor is found', () => {
  const problems = problemsOf({
    'packages/nn/package.json': manifest('@clipin/nn', ['@clipin/optim']),
    'packages/nn/src/index.ts': `export type { Rule } from '@clipin/optim';`,
  });
  expect(problems).toEqual(['packages/nn/src/index.ts imports @clipin/optim, which is not on a floor below']);
});

test('data that imports any package of ours is found', () => {
  const problems = problemsOf({
    'packages/data/package.json': manifest('@clipin/data', ['@clipin/kernel']),
    'packages/data/src/index.ts': `export * from '@clipin/kernel';`,
  });
  expect(problems).toEqual([
    'packages/data/src/index.ts imports @clipin/kernel, but @clipin/data stands alone',
  ]);
});

test('an inside path of another package is found, by its name or by a relative path', () => {
  const problems = problemsOf({
    'packages/tensor/src/index.ts': `export * from '@clipin/kernel/src/shape';`,
    'packages/tensor/src/near.ts': `export const near = () => import('../../kernel/src/shape');`,
  });
  expect(problems).toEqual([
    "packages/tensor/src/index.ts imports '@clipin/kernel/src/shape', an inside path of another package",
    "packages/tensor/src/near.ts reaches out of its package by '../../kernel/src/shape'",
  ]);
});

test('circles of files are found: of types, through an index, and of a package with itself', () => {
  const problems = problemsOf({
    'packages/kernel/src/shape.ts': `import type { A } from './a'; export const shape = [];`,
    'packages/kernel/src/a/index.ts': `export type A = import('../shape').A;`,
    'packages/tensor/src/index.ts': `export * from '@clipin/kernel'; export * from './self';`,
    'packages/tensor/src/self.ts': `export { tensor } from '@clipin/tensor';`,
  });
  expect(problems).toHaveLength(2);
  expect(problems[0]).toMatch(/^a circle of imports: packages\/kernel\/src\/.* -> /);
  expect(problems[1]).toMatch(/^a circle of imports: packages\/tensor\/src\/.* -> /);
});

test('a circle by way of a name for a file of the package is found', () => {
  const imports = { '#gpu': { node: './src/gpu-node.ts', default: './src/gpu-browser.ts' } };
  const problems = problemsOf({
    'packages/webgpu/package.json': JSON.stringify({ name: '@clipin/webgpu', imports }),
    'packages/webgpu/src/index.ts': `export * from '#gpu';`,
    'packages/webgpu/src/gpu-node.ts': `export const gpu = 1;`,
    'packages/webgpu/src/gpu-browser.ts': `export * from './index';`,
  });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatch(/^a circle of imports: .*gpu-browser\.ts/);
});

test('dependencies that are missing, unused, or for tests only are found', () => {
  const problems = problemsOf({
    'packages/tensor/package.json': manifest('@clipin/tensor', ['@clipin/kernel', '@clipin/wasm']),
    'packages/tensor/src/tree.ts': `import { glob } from 'glob'; import { checkProperty } from '@clipin/testing';`,
  });
  expect(problems.sort()).toEqual([
    'packages/tensor/package.json declares @clipin/wasm, which no source imports',
    'packages/tensor/src/tree.ts imports @clipin/testing, which is for tests',
    'packages/tensor/src/tree.ts imports @clipin/testing, which packages/tensor/package.json does not declare',
    'packages/tensor/src/tree.ts imports glob, which packages/tensor/package.json does not declare',
  ]);
});

test('a package without a floor is found', () => {
  expect(problemsOf({ 'packages/attic/package.json': manifest('@clipin/attic') })).toEqual([
    'packages/attic: @clipin/attic stands on no floor; give it one in tests/architecture.ts',
  ]);
});
