/**
 * A Vulkan driver that needs no GPU and no administrator: SwiftShader and a Vulkan loader as they lie in the npm package
 * `@sparticuz/chromium`. Unpacks them once and makes Dawn find them. Node only; for tests, continuous integration and
 * trying things out.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

const npmPackage = '@sparticuz/chromium';
const icd = 'vk_swiftshader_icd.json';
const loader = 'libvulkan.so.1';

/** Files of a tar archive by name, folders left out. */
function* filesOf(tar: Buffer): Generator<{ name: string; data: Buffer }> {
  const text = (at: number, length: number) => tar.toString('latin1', at, at + length).replace(/\0.*$/s, '');
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12).trim(), 8);
    const isFile = ['', '0'].includes(text(at + 156, 1));
    if (isFile) yield { name: basename(text(at, 100)), data: tar.subarray(at + 512, at + 512 + size) };
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

/** The nearest `node_modules` above a file. */
function modulesFolder(file: string): string {
  let folder = dirname(file);
  while (basename(folder) !== 'node_modules') {
    if (folder === dirname(folder)) throw new Error(`webgpu: ${file} lies in no node_modules folder`);
    folder = dirname(folder);
  }
  return folder;
}

/** Unpacks `archive` into `folder`; several processes may do so at once, the first rename wins. */
function unpack(archive: string, folder: string): void {
  if (existsSync(join(folder, icd))) return;
  mkdirSync(dirname(folder), { recursive: true });
  const draft = mkdtempSync(`${folder}-`);
  for (const { name, data } of filesOf(brotliDecompressSync(readFileSync(archive)))) {
    writeFileSync(join(draft, name), data, { mode: 0o755 });
  }
  try {
    renameSync(draft, folder);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(join(folder, icd))) throw error;
  }
}

/** Puts the loader beside `dawn.node`, where Dawn looks first, unless something is there. */
function linkLoader(folder: string, dawnFolder: string): void {
  const link = join(dawnFolder, loader);
  if (existsSync(link)) return;
  try {
    rmSync(link, { force: true });
    symlinkSync(join(folder, loader), link);
  } catch (error) {
    if (!existsSync(link)) throw error;
  }
}

/**
 * Makes the SwiftShader of `@sparticuz/chromium` the Vulkan driver of this process, if that package is installed.
 * Has to be called before Dawn's `create()`.
 *
 * @returns what was done, or why it could not be, for the error of whoever finds no adapter
 */
export function useSwiftshader(): { ready: boolean; report: string } {
  const require = createRequire(import.meta.url);
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return {
      ready: false,
      report: `${npmPackage} has SwiftShader for linux-x64, not ${process.platform}-${process.arch}`,
    };
  }
  let entry: string;
  try {
    entry = require.resolve(npmPackage);
  } catch {
    return { ready: false, report: `${npmPackage} (SwiftShader) is not installed` };
  }
  const modules = modulesFolder(entry);
  const archive = join(modules, npmPackage, 'bin', 'swiftshader.tar.br');
  const folder = join(modules, '.cache', 'clipin-swiftshader');
  unpack(archive, folder);
  linkLoader(folder, join(dirname(require.resolve('webgpu')), 'dist', `${process.platform}-${process.arch}`));
  process.env.VK_ICD_FILENAMES = join(folder, icd);
  return { ready: true, report: `SwiftShader of ${npmPackage}` };
}
