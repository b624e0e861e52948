import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createIndex, type IndexedFile, lockIndex, openIndex } from './picture-index';
import { noModel } from './pictures.test-helpers';

const width = 4;
const about = { folder: '/pictures', model: { ...noModel, width } };
const file = (path: string, hash: string): IndexedFile => ({
  path,
  hash,
  size: 10,
  modified: 1.5e12 + 0.25,
  looked: 2e12,
});
const unit = (values: readonly number[]): Float32Array => {
  const length = Math.hypot(...values);
  return Float32Array.from(values, (value) => value / length);
};
const vectors = fc
  .array(fc.integer({ min: -20, max: 20 }), { minLength: width, maxLength: width })
  .filter((values) => values.some((value) => value !== 0))
  .map(unit);

let directory: string;
let count = 0;
const fresh = () => createIndex(join(directory, String(count++)), about);
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'picture-index-'));
});
afterEach(() => rm(directory, { recursive: true }));

it('keeps what it is given, in the next process too', async () => {
  const made = await fresh();
  expect(made.description).toEqual({ ...about, complete: false });
  made.put(file('a/b.png', 'one'), unit([1, 2, 3, 4]));
  made.put(file('c.png', 'one'));
  made.describe({ complete: true, folder: '/moved' });
  made.close();
  using index = await openIndex(made.directory);
  expect(index.description).toEqual({ ...about, folder: '/moved', complete: true });
  expect(index.files()).toEqual([file('a/b.png', 'one'), file('c.png', 'one')]);
  expect(index.file('c.png')).toEqual(file('c.png', 'one'));
  expect(index.file('d.png')).toBeUndefined();
  expect([index.has('one'), index.has('two'), index.count()]).toEqual([true, false, 2]);
  expect(index.nearest(unit([1, 2, 3, 4]), 5).map(({ path }) => path)).toEqual(['a/b.png', 'c.png']);
});

it('finds the nearest as a comparison with every vector in float64 does', () =>
  checkProperty(
    fc.asyncProperty(
      fc.array(vectors, { maxLength: 30 }),
      vectors,
      fc.integer({ min: 1, max: 40 }),
      async (rows, query, top) => {
        using index = await fresh();
        for (const [i, row] of rows.entries()) index.put(file(`${i}`, `${i}`), row);
        const cosine = (row: Float32Array) =>
          row.reduce((sum, value, i) => sum + value * query[i]!, 0) /
          Math.hypot(...row) /
          Math.hypot(...query);
        const expected = rows
          .map(cosine)
          .sort((a, b) => b - a)
          .slice(0, top);
        const found = index.nearest(query, top);
        expect(found).toHaveLength(expected.length);
        found.forEach(({ path, score }, i) => {
          expect(Math.abs(score - expected[i]!)).toBeLessThan(1e-6);
          expect(Math.abs(score - cosine(rows[Number(path)]!))).toBeLessThan(1e-6);
        });
      },
    ),
    { numRuns: 20 },
  ));

it('holds the files that were put last and not removed, and no embedding without a file after a sweep', () =>
  checkProperty(
    fc.asyncProperty(
      fc.array(
        fc.tuple(
          fc.constantFrom('put', 'remove'),
          fc.constantFrom('a', 'b', 'c'),
          fc.constantFrom('x', 'y', 'z'),
        ),
      ),
      async (steps) => {
        using index = await fresh();
        const expected = new Map<string, string>();
        for (const [what, path, hash] of steps) {
          if (what === 'put') {
            index.put(file(path, hash), unit([1, 0, 0, hash.charCodeAt(0)]));
            expected.set(path, hash);
          } else {
            index.remove(path);
            expected.delete(path);
          }
        }
        index.sweep();
        expect(index.files().map(({ path, hash }) => [path, hash])).toEqual([...expected].sort());
        for (const hash of ['x', 'y', 'z'])
          expect(index.has(hash)).toBe([...expected.values()].includes(hash));
      },
    ),
    { numRuns: 20 },
  ));

it('refuses vectors that it cannot compare', async () => {
  using index = await fresh();
  expect(() => index.put(file('a', 'x'), unit([1, 2]))).toThrow(
    'a: an embedding of 2 numbers; the index has 4',
  );
  expect(() => index.put(file('a', 'x'), Float32Array.of(1, Number.NaN, 0, 0))).toThrow(
    'values that are no numbers',
  );
  expect(() => index.nearest(unit([1]), 1)).toThrow('the query: an embedding of 1 numbers; the index has 4');
  expect(index.count()).toBe(0);
});

it('says what is wrong with a directory', async () => {
  await expect(openIndex(directory)).rejects.toThrow(
    `${directory}: holds no index of pictures; make one with "clip-in index`,
  );
  const made = await fresh();
  for (let i = 0; i < 2000; i++) made.put(file(`${i}`, `${i}`), unit([i + 1, 1, 2, 3]));
  made.close();
  const whole = await readFile(join(made.directory, 'pictures.db'));
  const damages: Record<string, Buffer> = {
    half: whole.subarray(0, whole.length / 2),
    'all but the last page': whole.subarray(0, whole.length - 4096),
    'another file': Buffer.from('no database, '.repeat(1000)),
    'an empty file': Buffer.alloc(0),
    'a later version': Buffer.from(
      whole.toString('latin1').replace('picture index 1', 'picture index 2'),
      'latin1',
    ),
  };
  for (const [name, bytes] of Object.entries(damages)) {
    const damaged = join(directory, name);
    await mkdir(damaged);
    await writeFile(join(damaged, 'pictures.db'), bytes);
    const search = async () => {
      using index = await openIndex(damaged);
      return index.nearest(unit([1, 1, 1, 1]), 3);
    };
    await expect(search(), name).rejects.toThrow(
      /: the index is damaged or of another version \(.*\); delete that directory and index again/,
    );
  }
  using index = await openIndex(made.directory);
  expect(index.nearest(unit([1, 1, 2, 3]), 1)[0]?.path).toBe('0');
});

it('is locked by one at a time', async () => {
  const other = join(directory, 'locked');
  const lock = await lockIndex(other);
  await expect(lockIndex(other)).rejects.toThrow(
    'another process is indexing into it; wait until that has ended',
  );
  lock[Symbol.dispose]();
  (await lockIndex(other))[Symbol.dispose]();
});
