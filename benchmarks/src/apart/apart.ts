/** Measurements of ours alone, each in a process of its own: `node apart/NAME.ts` prints its result as its last line, in JSON. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { relaxedSimdFlags } from '../limit';

/** Runs a script of this folder. The caller knows what it prints. */
export async function measureApart<T>(
  script: string,
  env: Readonly<Record<string, string>> = {},
): Promise<T> {
  const file = fileURLToPath(new URL(`${script}.ts`, import.meta.url));
  const args = [...process.execArgv, ...relaxedSimdFlags(), file];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as T;
}

/** The result, for the process that waits for it. */
export const print = (result: unknown): never => {
  console.log(JSON.stringify(result));
  process.exit(0);
};
