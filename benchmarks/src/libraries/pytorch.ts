/** Finds a Python that has PyTorch; what it does is in `torch_worker.py`. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const script = fileURLToPath(new URL('torch_worker.py', import.meta.url));

/** The command that starts PyTorch with so many threads. @throws Error saying which Pythons were asked */
export async function pytorch(threads: number): Promise<readonly [string, ...string[]]> {
  const names = process.platform === 'win32' ? ['python.exe'] : ['python3', 'python'];
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .filter((path) => existsSync(path));
  const missing: string[] = [];
  for (const python of new Set(found)) {
    try {
      await promisify(execFile)(python, ['-c', 'import torch, numpy']);
      return [python, script, String(threads)];
    } catch {
      missing.push(python);
    }
  }
  throw new Error(
    missing.length > 0 ? `no torch and numpy in ${missing.join(', ')}` : 'no Python on the PATH',
  );
}
