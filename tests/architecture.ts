/**
 * The rules of the house: who may import whom. Reads the manifests and sources below a folder and says, one sentence
 * a breach, where they are broken. Type-only imports count like all others.
 *
 * Not here: whether an import resolves (the compiler says so).
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';

/** From the ground up. A package imports only from floors below its own. */
const floors = [
  ['@clipin/kernel'],
  ['@clipin/wasm', '@clipin/webgpu'],
  ['@clipin/tensor'],
  ['@clipin/autograd'],
  ['@clipin/data', '@clipin/nn', '@clipin/optim'],
  ['clip-in'],
  ['@clipin/examples'],
];
/** Imports none of ours: data yields typed arrays and knows nothing of tensors. */
const standsAlone = '@clipin/data';
/** Serves the tests of every floor and is imported by nothing else. */
const testHelpers = '@clipin/testing';

interface Manifest {
  name: string;
  exports?: string | Record<string, unknown>;
  /** Names that begin with `#`, each a file or, by condition, several. */
  imports?: Record<string, Target>;
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

type Target = string | { [condition: string]: Target };

interface SourceFile {
  path: string;
  text: string;
  imports: string[];
  isTest: boolean;
}

interface Package {
  folder: string;
  manifest: Manifest;
  files: SourceFile[];
}

/** Every breach of the rules in the monorepo at `root`; none when the house is in order. */
export function architectureProblems(root: string): string[] {
  const packages = readPackages(root);
  const rootDependencies = Object.keys(readManifest(root).devDependencies ?? {});
  const problems = packages.flatMap((owner) => [
    ...floorProblems(owner),
    ...insidePathProblems(owner, packages),
    ...dependencyProblems(owner, rootDependencies),
    ...cycleProblems(owner),
  ]);
  return problems.map((problem) => problem.replaceAll(`${root}/`, ''));
}

function readPackages(root: string): Package[] {
  const folders = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name));
  return [...folders, join(root, 'examples')]
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => ({ folder, manifest: readManifest(folder), files: readSources(folder) }));
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
}

function readSources(folder: string): SourceFile[] {
  const inside = existsSync(join(folder, 'src')) ? join(folder, 'src') : folder;
  return readdirSync(inside, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/(^|\/)(node_modules|dist)\//.test(name))
    .map((name) => {
      const text = readFileSync(join(inside, name), 'utf8');
      const imports = ts.preProcessFile(text, true, true).importedFiles.map((file) => file.fileName);
      return { path: join(inside, name), text, imports, isTest: /\.test[.-]/.test(name) };
    });
}

function floorProblems({ folder, manifest, files }: Package): string[] {
  const floor = floorOf(manifest.name);
  if (manifest.name === testHelpers) return [];
  if (floor < 0)
    return [`${folder}: ${manifest.name} stands on no floor; give it one in tests/architecture.ts`];
  return files.flatMap((file) =>
    packageImports(file).flatMap(({ name }) => {
      if (name === testHelpers && !file.isTest) return [`${file.path} imports ${name}, which is for tests`];
      if (name === manifest.name || floorOf(name) < 0) return [];
      if (manifest.name === standsAlone)
        return [`${file.path} imports ${name}, but ${standsAlone} stands alone`];
      return floorOf(name) < floor ? [] : [`${file.path} imports ${name}, which is not on a floor below`];
    }),
  );
}

function floorOf(name: string): number {
  return floors.findIndex((floor) => floor.includes(name));
}

function insidePathProblems({ folder, files }: Package, packages: Package[]): string[] {
  return files.flatMap((file) => [
    ...file.imports
      .filter((specifier) => specifier.startsWith('.'))
      .filter((specifier) => relative(folder, resolve(dirname(file.path), specifier)).startsWith('..'))
      .map((specifier) => `${file.path} reaches out of its package by '${specifier}'`),
    ...packageImports(file)
      .filter(({ name, subpath }) => {
        const imported = packages.find((other) => other.manifest.name === name);
        return imported !== undefined && !isExported(imported.manifest, subpath);
      })
      .map(({ specifier }) => `${file.path} imports '${specifier}', an inside path of another package`),
  ]);
}

function isExported({ exports = '.' }: Manifest, subpath: string): boolean {
  return typeof exports === 'string' ? subpath === '.' : subpath in exports;
}

function dependencyProblems({ folder, manifest, files }: Package, rootDependencies: string[]): string[] {
  const { dependencies = {}, peerDependencies, optionalDependencies, devDependencies } = manifest;
  const forSources = Object.keys({ ...dependencies, ...peerDependencies, ...optionalDependencies });
  const forTests = [
    ...forSources,
    ...Object.keys({ ...devDependencies }),
    ...rootDependencies,
    manifest.name,
  ];
  const undeclared = files.flatMap((file) =>
    packageImports(file)
      .filter(({ name }) => !(file.isTest ? forTests : forSources).includes(name) && name !== manifest.name)
      .map(({ name }) => `${file.path} imports ${name}, which ${folder}/package.json does not declare`),
  );
  // A data file of a package is found by its name in a string, not by an import.
  const sources = files.filter((file) => !file.isTest).map((file) => file.text);
  const unused = Object.keys(dependencies)
    .filter((name) => !sources.some((text) => new RegExp(`['"\`]${name}['"\`/]`).test(text)))
    .map((name) => `${folder}/package.json declares ${name}, which no source imports`);
  return [...undeclared, ...unused];
}

function packageImports(file: SourceFile): { specifier: string; name: string; subpath: string }[] {
  return file.imports
    .filter((specifier) => !/^(\.|#|node:)/.test(specifier))
    .map((specifier) => {
      const name = /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
      return { specifier, name, subpath: `.${specifier.slice(name.length)}` };
    });
}

/** Depth-first over the files of a package; an edge back to a file still on the way closes a circle. */
function cycleProblems(owner: Package): string[] {
  const byPath = new Map(owner.files.map((file) => [file.path, file]));
  const problems: string[] = [];
  const finished = new Set<string>();
  const visit = (path: string, way: string[]) => {
    const file = byPath.get(path);
    const start = way.indexOf(path);
    if (start >= 0) problems.push(`a circle of imports: ${[...way.slice(start), path].join(' -> ')}`);
    if (start >= 0 || finished.has(path) || !file) return;
    for (const specifier of file.imports) {
      for (const target of targetsInside(owner, path, specifier)) visit(target, [...way, path]);
    }
    finished.add(path);
  };
  for (const path of byPath.keys()) visit(path, []);
  return problems;
}

/** The paths in the package that a specifier may mean; those that are no file of it lead nowhere. */
function targetsInside({ folder, manifest }: Package, from: string, specifier: string): string[] {
  if (specifier === manifest.name) return [join(folder, 'src/index.ts')];
  if (specifier.startsWith('#'))
    return filesOf(manifest.imports?.[specifier]).map((file) => join(folder, file));
  if (!specifier.startsWith('.')) return [];
  const target = resolve(dirname(from), specifier).replace(/\.[jt]s$/, '');
  return [`${target}.ts`, `${target}/index.ts`];
}

function filesOf(target: Target = {}): string[] {
  return typeof target === 'string' ? [target] : Object.values(target).flatMap(filesOf);
}
