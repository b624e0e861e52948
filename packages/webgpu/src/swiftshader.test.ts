/** The software driver is found and unpacked. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { expect, test } from 'vitest';
import { useSwiftshader } from './swiftshader';

test('SwiftShader is unpacked once, and named to the Vulkan loader', () => {
  const { ready, report } = useSwiftshader();
  expect(report).toContain('@sparticuz/chromium');
  expect(ready).toBe(true);
  const icd = process.env.VK_ICD_FILENAMES as string;
  expect(existsSync(icd)).toBe(true);
  expect(readdirSync(dirname(icd))).toEqual(
    expect.arrayContaining(['libvk_swiftshader.so', 'libvulkan.so.1']),
  );
  expect(basename(dirname(icd))).toBe('clipin-swiftshader');
});
