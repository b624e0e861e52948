/** Every TypeScript block of the READMEs, CONTRIBUTING.md and docs runs, and the commands they name exist. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { namesInCommands, programsOf } from './document-programs';

const root = resolve(import.meta.dirname, '..');
// Inside the repository, so that packages are found; git ignores it.
const workshop = join(root, '.docs-blocks');

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'examples/README.md',
  'benchmarks/README.md',
  // `testing` is not published, and its docstrings say what there is to say.
  ...readdirSync(join(root, 'packages'))
    .filter((name) => name !== 'testing')
    .map((name) => `packages/${name}/README.md`),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => `docs/${name}`),
].filter((path) => path.endsWith('.md') && !path.startsWith('docs/api/'));

beforeAll(() => mkdirSync(workshop, { recursive: true }));
afterAll(() => rmSync(workshop, { recursive: true, force: true }));

describe.each(documents)('%s', (path) => {
  const markdown = readFileSync(join(root, path), 'utf8');
  const programs = programsOf(markdown);

  if (programs.length > 0) {
    test(`its ${programs.length} programs run`, { timeout: 300_000 }, async () => {
      const { code, output } = await runPrograms(path, markdown);
      expect(code, output).toBe(0);
    });
  }

  test('its commands name scripts and files that exist', () => {
    const manifest: { scripts: Record<string, string> } = JSON.parse(
      readFileSync(join(root, 'package.json'), 'utf8'),
    );
    const { scripts, files } = namesInCommands(markdown);
    expect(Object.keys(manifest.scripts)).toEqual(expect.arrayContaining(scripts));
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });
});

test('the programs of all documents have no type errors', { timeout: 120_000 }, () => {
  const files = documents.flatMap((path) => writePrograms(path, readFileSync(join(root, path), 'utf8')));
  expect(typeErrors(files)).toBe('');
});

/** Writes the programs of a document as files, each named after its first line. */
function writePrograms(path: string, markdown: string): string[] {
  return programsOf(markdown).map((program) => {
    const file = join(workshop, `${path.replaceAll('/', '-')}-line-${program.line}.ts`);
    writeFileSync(file, program.text);
    return file;
  });
}

/** Runs the programs of a document one after the other in one process, as a reader with a clone would. */
async function runPrograms(path: string, markdown: string): Promise<{ code: number | null; output: string }> {
  const imports = writePrograms(path, markdown).map((file) => `await import(${JSON.stringify(file)});`);
  const entry = join(workshop, `${path.replaceAll('/', '-')}.ts`);
  writeFileSync(entry, imports.join('\n'));
  const child = spawn(process.execPath, ['--conditions=clipin-source', '--import', 'tsx', entry], {
    cwd: root,
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk));
  const code = await new Promise<number | null>((done) => child.on('close', done));
  return { code, output };
}

function typeErrors(files: string[]): string {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.base.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, files }, ts.sys, root);
  const program = ts.createProgram(files, options);
  const diagnostics = files.flatMap((file) => {
    const source = program.getSourceFile(file);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
  });
  return ts.formatDiagnostics(diagnostics, {
    getCurrentDirectory: () => workshop,
    getCanonicalFileName: (name) => name,
    getNewLine: () => '\n',
  });
}

describe('the check itself', () => {
  const fence = '```';

  test('blocks without an import go on with the program above, on their own lines', () => {
    const markdown = [
      '# A',
      `${fence}ts`,
      `import 'a';`,
      fence,
      'text',
      `${fence}ts`,
      'b();',
      fence,
      `${fence}ts`,
      `import 'c';`,
      fence,
    ].join('\n');
    expect(programsOf(markdown)).toEqual([
      { line: 3, text: `\n\nimport 'a';\n\n\n\nb();` },
      { line: 10, text: `${'\n'.repeat(9)}import 'c';` },
    ]);
  });

  test('a block that asks not to be run is refused', () => {
    expect(() => programsOf(`${fence}ts no-run\nx\n${fence}`)).toThrow("line 1 says 'ts no-run'");
    expect(() => programsOf(`${fence}ts\nx`)).toThrow('line 1 is never closed');
  });

  test('a program that fails is reported with its line in the document', async () => {
    const markdown = `text\n\n${fence}ts\nconst n: number = 1;\nif (n === 1) throw new Error('wrong');\n${fence}`;
    const { code, output } = await runPrograms('failing.md', markdown);
    expect(code).toBe(1);
    expect(output).toMatch(/failing\.md-line-4\.ts:5/);
  });

  test('a program with a wrong type is reported with its line in the document', () => {
    const markdown = `${fence}ts\nimport { sizeOf } from '@clipin/kernel';\n\nsizeOf(['2']);\n${fence}`;
    expect(typeErrors(writePrograms('mistyped.md', markdown))).toMatch(
      /^mistyped\.md-line-2\.ts\(4,9\): error TS2322/,
    );
  });

  test('scripts and files are read off commands', () => {
    const markdown = 'npm install && npm test\n`npm run demo` `npm run example examples/a.ts -- --steps 2`';
    expect(namesInCommands(markdown)).toEqual({
      scripts: ['test', 'demo', 'example'],
      files: ['examples/a.ts'],
    });
  });
});
