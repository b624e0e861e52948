/**
 * A Vulkan driver that needs no GPU and no administrator: SwiftShader and a Vulkan loader as they lie in the npm package
 * `@sparticuz/chromium`. Unpacks them once, where Dawn finds them. Node only; for tests, continuous integration and
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
 * Unpacks SwiftShader and links the Vulkan loader, if `@sparticuz/chromium` is installed.
 *
 * @returns the driver's description file, for `VK_ICD_FILENAMES`, or why there is none
 */
export function unpackSwiftshader(): { readonly driver: string } | { readonly missing: string } {
  const require = createRequire(import.meta.url);
  const platform = `${process.platform}-${process.arch}`;
  if (platform !== 'linux-x64')
    return { missing: `${npmPackage} has SwiftShader for linux-x64, not ${platform}` };
  let entry: string;
  try {
    entry = require.resolve(npmPackage);
  } catch {
    return { missing: `${npmPackage} (SwiftShader) is not installed` };
  }
  const modules = modulesFolder(entry);
  const folder = join(modules, '.cache', 'clipin-swiftshader');
  unpack(join(modules, npmPackage, 'bin', 'swiftshader.tar.br'), folder);
  linkLoader(folder, join(dirname(require.resolve('webgpu')), 'dist', platform));
  return { driver: join(folder, icd) };
}
