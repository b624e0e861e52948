/**
 * The code of a markdown document, as programs that can be run.
 *
 * A TypeScript block that begins with an import starts a program; a block without one goes on with the program above it.
 * A program keeps the line numbers of its document, so that a stack trace points at the line a reader sees.
 */
export interface Program {
  /** First line of the program in the document, from 1. */
  line: number;
  text: string;
}

interface Block {
  language: string;
  /** First line of code, from 1. */
  line: number;
  code: string[];
}

/** The fenced blocks of a document; a fence that is never closed is an error. */
function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^\s*```(.*)$/.exec(line);
    if (!fence) open?.code.push(line);
    else if (open) open = undefined;
    else {
      open = { language: fence[1]!.trim(), line: index + 2, code: [] };
      blocks.push(open);
    }
  }
  if (open) throw new Error(`the block at line ${open.line - 1} is never closed`);
  return blocks;
}

/** The TypeScript programs of a document. A block that says more than its language, such as `ts no-run`, is an error. */
export function programsOf(markdown: string): Program[] {
  const programs: Program[] = [];
  for (const { language, line, code } of blocksOf(markdown)) {
    if (!/^(ts|typescript)\b/.test(language)) continue;
    if (language !== 'ts')
      throw new Error(`the block at line ${line - 1} says '${language}'; it must say 'ts'`);
    const above = programs.at(-1);
    if (above && !code.some((text) => text.startsWith('import '))) {
      above.text += padding(above.text, line) + code.join('\n');
    } else programs.push({ line, text: padding('', line) + code.join('\n') });
  }
  return programs;
}

/** The newlines after `text` that put what follows on line `line`. */
function padding(text: string, line: number): string {
  return '\n'.repeat(line - text.split('\n').length);
}

/** The npm scripts and files that shell commands anywhere in a document name. */
export function namesInCommands(markdown: string): { scripts: string[]; files: string[] } {
  const scripts = [...markdown.matchAll(/\bnpm (?:run (?:-s )?([a-z][a-z:-]*)|(test)\b)/g)];
  const files = [...markdown.matchAll(/\b(?:npm run example|vitest run|tsx|node) (?:-- )?([\w/.-]+\.ts)\b/g)];
  return {
    scripts: scripts.map((match) => (match[1] ?? match[2])!),
    files: files.map((match) => match[1]!),
  };
}
