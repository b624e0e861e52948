import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findPictures } from './find-pictures';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'find-pictures-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function write(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), path);
  }
}

it('finds pictures in folders within folders, by their endings in any case, in order', async () => {
  await write(
    'b.JPG',
    'a.png',
    'deep/er/c.webp',
    'deep/d.tif',
    'e.txt',
    'f',
    'jpg',
    'g.png.bak',
    'ä ö/ü.jpeg',
  );
  const { pictures, unreadable, others } = await findPictures(folder);
  expect(pictures.map(({ path }) => path)).toEqual([
    'a.png',
    'b.JPG',
    'deep/d.tif',
    'deep/er/c.webp',
    'ä ö/ü.jpeg',
  ]);
  expect(pictures.map(({ size }) => size)).toEqual([5, 5, 10, 14, Buffer.byteLength('ä ö/ü.jpeg')]);
  expect(unreadable).toEqual([]);
  expect(others).toBe(4);
});

it('leaves out what is hidden, a folder of its own choice, and circles', async () => {
  await write('.hidden/a.png', '.b.png', 'index/c.png', 'seen/d.png');
  await symlink(folder, join(folder, 'seen', 'circle'));
  await symlink(join(folder, 'seen', 'd.png'), join(folder, 'link.png'));
  const { pictures } = await findPictures(folder, join(folder, 'index'));
  expect(pictures.map(({ path }) => path)).toEqual(['link.png', 'seen/d.png']);
});

it('reports what cannot be read', async () => {
  await write('a.png');
  await symlink(join(folder, 'gone.png'), join(folder, 'dangling.png'));
  const { pictures, unreadable } = await findPictures(folder);
  expect(pictures).toHaveLength(1);
  expect(unreadable).toEqual([{ path: 'dangling.png', reason: 'cannot be read (ENOENT)' }]);
});

it('refuses what is no folder', async () => {
  await write('a.png');
  await expect(findPictures(join(folder, 'none'))).rejects.toThrow(/none: there is no such folder$/);
  await expect(findPictures(join(folder, 'a.png'))).rejects.toThrow(
    /a\.png: is a file; needs a folder of pictures/,
  );
});
