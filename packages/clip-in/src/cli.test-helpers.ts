/** The command line as a process, from source. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import type { Readable } from 'node:stream';

/** How a process ended, and what it printed. */
export interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process that runs. */
export interface Started {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Ended>;
}

const root = resolve(import.meta.dirname, '../../..');
const cli = join(import.meta.dirname, 'cli.ts');

/**
 * Starts `clip-in` in the root of the repository.
 * @param first - arguments of Node before the command
 */
export function startCli(
  args: readonly string[],
  {
    env = {},
    first = [],
  }: { readonly env?: Readonly<Record<string, string>>; readonly first?: readonly string[] } = {},
): Started {
  const { CLIPIN_DEVICE: _, DEBUG: __, ...inherited } = process.env;
  const options = ['--conditions=clipin-source', '--import', 'tsx', ...first, cli, ...args];
  const child = spawn(process.execPath, options, {
    cwd: root,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      printed[name] += text;
    });
  }
  const ended = new Promise<Ended>((done, fail) => {
    child.on('error', fail).on('close', (code, signal) => done({ ...printed, code, signal }));
  });
  return { child, ended };
}
