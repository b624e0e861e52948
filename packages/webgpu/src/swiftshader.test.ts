/** The software driver is found and unpacked. */
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { unpackSwiftshader } from './swiftshader';

test('SwiftShader is unpacked, and so is a Vulkan loader', () => {
  const found = unpackSwiftshader();
  if (!('driver' in found)) throw new Error(found.missing);
  const files = readdirSync(dirname(found.driver));
  expect(files).toEqual(expect.arrayContaining(['libvk_swiftshader.so', 'libvulkan.so.1']));
});
