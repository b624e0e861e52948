/** Description files of Vulkan drivers are found where the loader finds them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { whyNoVulkan } from './vulkan-drivers';

const top = mkdtempSync(join(tmpdir(), 'vulkan-'));
afterAll(() => rmSync(top, { recursive: true }));

/** A machine with these files, and what is said of it. `$` in a variable stands for the machine's root. */
function answer(files: string[], env: Record<string, string> = {}, platform: NodeJS.Platform = 'linux') {
  const root = mkdtempSync(join(top, 'machine-'));
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), '{}');
  }
  const filled = Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, value.replaceAll('$', root)]),
  );
  return whyNoVulkan({ platform, env: filled, home: join(root, 'home'), root });
}

test('a machine without a description has no driver; what was looked at is said', () => {
  expect(answer([])).toMatch(/no file describes a Vulkan driver \(looked in .*\/usr\/share\/vulkan\/icd\.d/);
  expect(answer(['usr/share/vulkan/icd.d/readme.txt'])).toBeDefined();
  expect(answer([], {}, 'darwin')).toBeUndefined();
  expect(answer([], {}, 'win32')).toBeUndefined();
});

test.each([
  'usr/share/vulkan/icd.d/nvidia_icd.json',
  'usr/local/share/vulkan/icd.d/a.json',
  'etc/vulkan/icd.d/a.json',
  'etc/xdg/vulkan/icd.d/a.json',
  'home/.local/share/vulkan/icd.d/a.json',
  'home/.config/vulkan/icd.d/a.json',
  'run/opengl-driver/share/vulkan/icd.d/a.json',
])('%s is found', (file) => {
  expect(answer([file])).toBeUndefined();
});

test('variables replace the standard folders, or add to them', () => {
  const driver = 'drivers/a.json';
  const standard = 'usr/share/vulkan/icd.d/a.json';
  for (const name of ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES', 'VK_ADD_DRIVER_FILES']) {
    expect(answer([driver], { [name]: '/nowhere.json:$/drivers/a.json' })).toBeUndefined();
    expect(answer([driver], { [name]: '$/drivers' })).toBeUndefined();
  }
  expect(answer([standard], { VK_ICD_FILENAMES: '/nowhere.json' })).toBe(
    'VK_ICD_FILENAMES=/nowhere.json names no file that describes a Vulkan driver',
  );
  expect(answer([standard], { VK_DRIVER_FILES: '/nowhere.json', VK_ICD_FILENAMES: '$/usr' })).toMatch(
    /VK_DRIVER_FILES/,
  );
  expect(answer([standard], { VK_ADD_DRIVER_FILES: '/nowhere.json' })).toBeUndefined();
  expect(answer([standard], { XDG_DATA_DIRS: '/elsewhere' })).toMatch(/\/elsewhere\/vulkan\/icd\.d/);
  expect(answer(['mine/vulkan/icd.d/a.json'], { XDG_DATA_HOME: '$/mine' })).toBeUndefined();
});
