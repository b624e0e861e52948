/**
 * Whether this machine has a Vulkan driver at all, seen from the description files that Vulkan's loader reads. Dawn asked
 * in vain prints warnings to the terminal; where no driver is described there is no need to ask it. Linux only: elsewhere
 * Dawn asks Metal or Direct3D.
 */
import { readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What the answer depends on; a test may set it. */
export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** Put before every absolute path of a standard folder. Default: nothing. */
  readonly root?: string;
}

const thisMachine = (): Machine => ({ platform: process.platform, env: process.env, home: homedir() });

/** Why there can be no Vulkan adapter, for people; undefined if there may be one. */
export function whyNoVulkan(machine: Machine = thisMachine()): string | undefined {
  if (machine.platform !== 'linux') return undefined;
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, VK_ADD_DRIVER_FILES } = machine.env;
  const only = VK_DRIVER_FILES || VK_ICD_FILENAMES;
  if (only) {
    const variable = VK_DRIVER_FILES ? 'VK_DRIVER_FILES' : 'VK_ICD_FILENAMES';
    return split(only).some(hasDescription)
      ? undefined
      : `${variable}=${only} names no file that describes a Vulkan driver`;
  }
  const places = [...split(VK_ADD_DRIVER_FILES), ...standardFolders(machine)];
  return places.some(hasDescription)
    ? undefined
    : `no file describes a Vulkan driver (looked in ${places.join(', ')})`;
}

/**
 * The folders of Vulkan's loader on Linux (Vulkan-Loader, `docs/LoaderDriverInterface.md`, "Driver Discovery on Linux"),
 * and NixOS's.
 */
function standardFolders({ env, home, root = '' }: Machine): string[] {
  const above = [
    env.XDG_CONFIG_HOME || join(home, '.config'),
    ...split(env.XDG_CONFIG_DIRS || '/etc/xdg').map((folder) => root + folder),
    ...['/etc', '/usr/local/etc'].map((folder) => root + folder),
    env.XDG_DATA_HOME || join(home, '.local/share'),
    ...split(env.XDG_DATA_DIRS || '/usr/local/share:/usr/share').map((folder) => root + folder),
    `${root}/run/opengl-driver/share`,
  ];
  return [...new Set(above)].map((folder) => join(folder, 'vulkan/icd.d'));
}

/** Whether a path is a description, or a folder with one. */
function hasDescription(path: string): boolean {
  try {
    if (!statSync(path).isDirectory()) return true;
    return readdirSync(path).some((name) => name.endsWith('.json'));
  } catch {
    return false; // not there, or not to be read: the loader cannot read it either
  }
}

const split = (paths: string | undefined): string[] => (paths ?? '').split(':').filter((path) => path !== '');
