import { cp, mkdir, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type IndexFolderOptions, indexFolder } from './index-folder';
import { openIndex } from './picture-index';
import { countingEmbedder, noModel, vectorOf } from './pictures.test-helpers';

let place: string;
const folder = () => join(place, 'pictures');
const directory = () => join(place, 'index');

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'index-folder-'));
  await mkdir(folder());
});
afterEach(() => rm(place, { recursive: true }));

/** Writes a file whose time is long past, so that it is not looked at again for its youth. */
async function write(path: string, contents: string, seconds = 1e9): Promise<void> {
  await mkdir(join(folder(), path, '..'), { recursive: true });
  await writeFile(join(folder(), path), contents);
  await utimes(join(folder(), path), seconds, seconds);
}

/** Indexes, and says what was embedded. */
async function update(options: Partial<IndexFolderOptions> = {}) {
  const embedder = countingEmbedder();
  const report = await indexFolder({
    folder: folder(),
    directory: directory(),
    model: noModel,
    embedder,
    ...options,
  });
  return { ...report, seen: embedder.seen };
}

async function contents() {
  using index = await openIndex(directory());
  return index.files().map(({ path }) => path);
}

/** Whether searching for these contents finds exactly these files. */
async function found(text: string): Promise<string[]> {
  using index = await openIndex(directory());
  return index
    .nearest(vectorOf(Buffer.from(text)), 100)
    .filter(({ score }) => score > 0.999999)
    .map(({ path }) => path);
}

describe('embeds only what changed', () => {
  beforeEach(async () => {
    for (const name of ['a', 'b', 'c', 'sub/d']) await write(`${name}.png`, name);
    const first = await update();
    expect(first).toMatchObject({
      pictures: 4,
      embedded: 4,
      known: 0,
      unchanged: 0,
      removed: 0,
      complete: true,
    });
  });

  it('nothing, if nothing changed', async () => {
    expect(await update()).toMatchObject({ embedded: 0, known: 0, unchanged: 4, removed: 0, seen: [] });
  });

  it('one, if one was added', async () => {
    await write('sub/e.png', 'e');
    expect(await update()).toMatchObject({ embedded: 1, unchanged: 4, seen: ['sub/e.png'] });
    expect(await found('e')).toEqual(['sub/e.png']);
  });

  it('one, if one was changed, even to as many bytes', async () => {
    await write('b.png', 'B', 1e9 + 1);
    expect(await update()).toMatchObject({ embedded: 1, unchanged: 3, seen: ['b.png'] });
    expect([await found('b'), await found('B')]).toEqual([[], ['b.png']]);
  });

  it('one that was changed within the same tick of the clock as it was indexed', async () => {
    const now = Date.now() / 1000;
    await write('b.png', 'X', now);
    await update();
    await write('b.png', 'Y', now);
    expect(await update()).toMatchObject({ embedded: 1, seen: ['b.png'] });
    expect([await found('X'), await found('Y')]).toEqual([[], ['b.png']]);
  });

  it('nothing, if one was deleted', async () => {
    await rm(join(folder(), 'b.png'));
    expect(await update()).toMatchObject({ embedded: 0, unchanged: 3, removed: 1, seen: [] });
    expect(await contents()).toEqual(['a.png', 'c.png', 'sub/d.png']);
  });

  it('nothing, if some were renamed, copied or touched', async () => {
    await rename(join(folder(), 'sub'), join(folder(), 'under'));
    await cp(join(folder(), 'a.png'), join(folder(), 'copy.png'));
    await utimes(join(folder(), 'c.png'), 1e9 + 5, 1e9 + 5);
    expect(await update()).toMatchObject({ embedded: 0, known: 3, unchanged: 2, removed: 1, seen: [] });
    expect(await found('sub/d')).toEqual(['under/d.png']);
    expect(await found('a')).toEqual(['a.png', 'copy.png']);
  });

  it('nothing, if the folder was moved', async () => {
    await rename(folder(), join(place, 'moved'));
    const moved = { folder: join(place, 'moved') };
    expect(await update(moved)).toMatchObject({ embedded: 0, unchanged: 4, removed: 0 });
    using index = await openIndex(directory());
    expect(index.description.folder).toMatch(/moved$/);
  });
});

it('embeds contents once that are new in several files', async () => {
  for (const name of ['a', 'b', 'c']) await write(`${name}.png`, 'the same');
  expect(await update()).toMatchObject({ embedded: 1, known: 2, seen: ['a.png'] });
  expect(await found('the same')).toEqual(['a.png', 'b.png', 'c.png']);
});

it('skips and reports what is no picture, and forgets what it was before', async () => {
  await write('a.png', 'a');
  await write('b.png', 'b');
  await update();
  await write('b.png', 'broken now', 1e9 + 1);
  const broken = await update();
  expect(broken).toMatchObject({
    embedded: 0,
    unchanged: 1,
    skipped: [{ path: 'b.png', reason: 'not a picture' }],
  });
  expect(await contents()).toEqual(['a.png']);
  await write('b.png', 'mended', 1e9 + 2);
  expect(await update()).toMatchObject({ embedded: 1, unchanged: 1, skipped: [] });
});

it('keeps what is done when it is stopped, and goes on from there', async () => {
  for (let i = 0; i < 10; i++) await write(`${i}.png`, `${i}`);
  const controller = new AbortController();
  const progress = (done: number) => {
    if (done === 4) controller.abort();
  };
  const stopped = await update({ signal: controller.signal, progress });
  expect(stopped).toMatchObject({ embedded: 4, complete: false, removed: 0 });
  expect(await contents()).toHaveLength(4);
  using index = await openIndex(directory());
  expect(index.description.complete).toBe(false);
  expect(await update()).toMatchObject({ embedded: 6, unchanged: 4, complete: true });
});

it('keeps what is done when the embedder throws what it was aborted with', async () => {
  for (let i = 0; i < 4; i++) await write(`${i}.png`, `${i}`);
  const controller = new AbortController();
  const inner = countingEmbedder();
  const embedder: IndexFolderOptions['embedder'] = {
    async *images(sources) {
      for await (const result of inner.images(sources)) {
        yield result;
        if (inner.seen.length === 2) controller.abort();
        controller.signal.throwIfAborted();
      }
    },
  };
  expect(await update({ signal: controller.signal, embedder })).toMatchObject({
    embedded: 2,
    complete: false,
  });
  const failing: IndexFolderOptions['embedder'] = {
    images: () => {
      throw new Error('the device is lost');
    },
  };
  await expect(update({ embedder: failing })).rejects.toThrow('the device is lost');
  expect(await update()).toMatchObject({ embedded: 2, unchanged: 2 });
});

it('refuses another model and another folder, and explains', async () => {
  await write('a.png', 'a');
  await update();
  const model = { ...noModel, name: 'other', fingerprint: 'fedcba' };
  await expect(update({ model })).rejects.toThrow(
    /was made with the model none \(abcdef012345\), and embeddings of other \(fedcba\) cannot be compared with its own; use --model nowhere/,
  );
  await mkdir(join(place, 'others'));
  await writeFile(join(place, 'others', 'a.png'), 'a');
  await expect(update({ folder: join(place, 'others') })).rejects.toThrow(
    /holds the pictures of .*pictures; give .*others an index of its own with --index/,
  );
  expect(await contents()).toEqual(['a.png']);
});

it('refuses a folder without pictures, and leaves an index as it is', async () => {
  await expect(update()).rejects.toThrow(/pictures: there are no pictures in it \(\.jpg .*\)$/);
  await write('notes.txt', 'x');
  await expect(update()).rejects.toThrow(/no pictures in it .*; it has 1 other file$/);
  await write('a.png', 'a');
  await update();
  await rm(join(folder(), 'a.png'));
  await expect(update()).rejects.toThrow('there are no pictures in it');
  expect(await contents()).toEqual(['a.png']);
  await expect(update({ folder: join(place, 'none') })).rejects.toThrow('there is no such folder');
});

it('is in line with the folder after any changes, and embedded each contents once', () =>
  checkProperty(
    fc.asyncProperty(
      fc.array(
        fc.array(
          fc.tuple(
            fc.constantFrom('a', 'b', 'c/d', 'c/e'),
            fc.constantFrom('', 'one', 'two', 'three', 'broken'),
          ),
          { maxLength: 4 },
        ),
        { minLength: 1, maxLength: 4 },
      ),
      async (rounds) => {
        await rm(folder(), { recursive: true });
        await rm(directory(), { recursive: true, force: true });
        await mkdir(folder());
        await write('always.png', 'always');
        const there = new Map([['always.png', 'always']]);
        let before = new Set<string>();
        let time = 1e9;
        for (const changes of rounds) {
          for (const [name, text] of changes) {
            time++;
            if (text === '') await rm(join(folder(), `${name}.png`), { force: true });
            else await write(`${name}.png`, text, time);
            if (text === '' || text === 'broken') there.delete(`${name}.png`);
            else there.set(`${name}.png`, text);
          }
          const { seen, ...report } = await update();
          const now = new Set(there.values());
          expect(seen).toHaveLength([...now].filter((text) => !before.has(text)).length);
          before = now;
          expect(report.embedded + report.known + report.unchanged + report.skipped.length).toBe(
            report.pictures,
          );
          expect(await contents()).toEqual([...there.keys()].sort());
          for (const text of new Set(there.values())) {
            expect(await found(text)).toEqual(
              [...there]
                .filter(([, one]) => one === text)
                .map(([path]) => path)
                .sort(),
            );
          }
        }
      },
    ),
    { numRuns: 25 },
  ));
