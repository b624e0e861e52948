/**
 * `clip-in classify`, `index`, `search` and `heatmap` as processes: what they print and write, what is left of a run that is killed or
 * stopped, two at a time, and what is refused.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Scene } from '@clipin/data';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Ended, startCli } from '../cli.test-helpers';
import { commandLine } from '../commandLine';
import { hasIndex, openIndex } from '../use/picture-index';
import { sceneDrawer, tinyPicture } from '../use/pictures.test-helpers';
import { commands } from '.';

let place: string;
const at = (...parts: string[]) => join(place, ...parts);
const start = (args: readonly string[], strike?: NodeJS.Signals, number = 0) => {
  const first = strike === undefined ? [] : ['--import', at('strike.mjs')];
  const env = { STRIKE: strike ?? '', STRIKE_AT: String(number) };
  return startCli([...args, '--device', 'wasm', '--threads', '1'], { first, env });
};
const clipIn = (...args: string[]): Promise<Ended> => start(args).ended;
const small = ['--model', 'small-world'];

const scene = (item: string, background: Scene['background']): Scene => ({
  background,
  objects: [{ item, place: 'center', size: 'large', mirrored: false, upsideDown: false, shift: [0, 0] }],
});

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), 'use-commands-'));
  await mkdir(at('pictures', 'fruit'), { recursive: true });
  const draw = sceneDrawer(96);
  await writeFile(at('pictures', 'fruit', 'red.png'), draw(scene('red-apple', 'white')));
  await writeFile(at('pictures', 'fruit', 'green.png'), draw(scene('green-apple', 'white')));
  await writeFile(at('pictures', 'star.png'), draw(scene('star', 'blue')));
  await writeFile(at('pictures', 'broken.jpg'), 'no picture');
  await writeFile(at('strike.mjs'), STRIKE);
  await mkdir(at('many'));
  for (let i = 0; i < MANY; i++) {
    const file = at('many', `${String(i).padStart(4, '0')}.png`);
    await writeFile(file, tinyPicture(i));
    // Long past, so that none is read again for its youth.
    await utimes(file, 1e9, 1e9);
  }
});
afterAll(() => rm(place, { recursive: true }));

const MANY = 240;

/** Loaded before the command: at the picture that is read as number STRIKE_AT, it sends itself STRIKE. */
const STRIKE = `
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
let count = 0;
const { readFile } = fs.promises;
fs.promises.readFile = (path, ...rest) => {
  if (String(path).endsWith('.png') && ++count === Number(process.env.STRIKE_AT)) process.kill(process.pid, process.env.STRIKE);
  return readFile(path, ...rest);
};
syncBuiltinESMExports();
`;

describe('indexing and searching', () => {
  const index = () => ['--index', at('index')];

  it('embeds a folder, skips and reports, and finds', { timeout: 60_000 }, async () => {
    const first = await clipIn('index', at('pictures'), ...small, ...index());
    expect(first).toMatchObject({ code: 0, signal: null });
    expect(first.stdout).toBe(
      `${at('pictures')}: 4 pictures; 3 embedded, 1 skipped\nindex   ${at('index')}\n`,
    );
    expect(first.stderr).toMatch(/^device: wasm, 1 thread/);
    expect(first.stderr).toContain('skipped broken.jpg: ');
    const html = at('found.html');
    const found = await clipIn('search', 'a red apple', ...index(), '--top', '2', '--html', html);
    expect(found.code).toBe(0);
    const lines = found.stdout.trim().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^0\.\d{3} {2}.*fruit.red\.png$/);
    expect(found.stderr).toContain(`contact sheet  ${html}`);
    expect(await readFile(html, 'utf8')).toContain('2 of 3 pictures in <b>pictures</b>');
    const json = await clipIn('search', '--like', at('pictures', 'star.png'), ...index(), '--json');
    const [best] = JSON.parse(json.stdout);
    expect(best).toEqual({ path: at('pictures', 'star.png'), score: expect.closeTo(1, 5) });
  });

  it('goes on after a kill at any moment, and embeds nothing twice', { timeout: 60_000 }, async () => {
    const args = ['index', at('many'), ...small, '--index', at('killed')];
    let before = 0;
    for (let life = 0; life < 2; life++) {
      const { signal } = await start(args, 'SIGKILL', 90).ended;
      expect(signal).toBe('SIGKILL');
      using index = await openIndex(at('killed'));
      expect(index.description.complete).toBe(false);
      expect(index.count()).toBeGreaterThan(before);
      expect(index.count()).toBeLessThan(MANY);
      before = index.count();
    }
    const search = await clipIn('search', 'a star', '--index', at('killed'), '--top', '3');
    expect(search).toMatchObject({ code: 0 });
    expect(search.stderr).toContain('warning: the index is not complete');
    const last = await clipIn(...args);
    expect(last).toMatchObject({ code: 0 });
    expect(last.stdout).toContain(`${MANY} pictures; ${MANY - before} embedded, ${before} unchanged\n`);
  });

  it('is done by one process at a time, and keeps what is done when it is stopped', {
    timeout: 60_000,
  }, async () => {
    const args = ['index', at('many'), ...small, '--index', at('stopped')];
    const { child, ended } = start(args, 'SIGSTOP', 120);
    await filesIn('stopped', 1);
    const second = await clipIn(...args);
    expect(second).toMatchObject({ code: 1, stdout: '' });
    expect(second.stderr).toContain('another process is indexing into it; wait until that has ended');
    child.kill('SIGINT');
    child.kill('SIGCONT');
    const stopped = await ended;
    expect(stopped).toMatchObject({ code: 130, signal: null });
    expect(stopped.stdout).toContain(`stopped; what is embedded is kept in ${at('stopped')}`);
    using index = await openIndex(at('stopped'));
    expect(index.count()).toBeGreaterThan(0);
  });
});

it('ends quietly when nobody reads on', async () => {
  const { child, ended } = start(['search', 'a star', '--index', at('index'), '--json']);
  child.stdout.destroy();
  const { code, stderr } = await ended;
  expect(code).toBe(0);
  expect(stderr).toMatch(/^device: .*\n$/);
});

describe('classifying', () => {
  it('prints a table, and JSON', { timeout: 60_000 }, async () => {
    const labels = ['--labels', 'a red apple, a star,a pig'];
    const images = [at('pictures', 'star.png'), at('pictures', 'fruit', 'red.png')];
    const table = await clipIn('classify', ...images, ...small, ...labels, '--top', '2');
    expect(table.code).toBe(0);
    const rows = table.stdout.split('\n');
    expect(rows[1]).toBe(images[0]);
    expect(rows[2]).toMatch(/^ *[\d.]+ % {2}a star +█+$/);
    expect(rows[6]).toMatch(/^ *[\d.]+ % {2}a red apple/);
    await writeFile(at('labels.txt'), 'star\n\nred apple\n');
    const more = [
      '--labels-file',
      at('labels.txt'),
      '--template',
      'a {}',
      '--template',
      'a picture of a {}',
      '--json',
    ];
    const json = await clipIn('classify', images[0]!, at('pictures', 'broken.jpg'), ...small, ...more);
    expect(json.code).toBe(1);
    const [star, broken] = JSON.parse(json.stdout);
    expect(star.labels.map(({ label }: { label: string }) => label)).toEqual(['star', 'red apple']);
    expect(broken).toEqual({ image: at('pictures', 'broken.jpg'), error: expect.any(String) });
    expect(json.stderr).toContain(`${at('pictures', 'broken.jpg')}: `);
  });
});

it('draws heat maps', async () => {
  const drawn = await clipIn(
    'heatmap',
    at('pictures', 'star.png'),
    'a star',
    ...small,
    '--out',
    at('heat.png'),
  );
  expect(drawn).toMatchObject({ code: 0 });
  expect(drawn.stdout).toMatch(/^cosine 0\.\d{3}; heat maps in .*heat\.png\n$/);
  expect(await sharp(at('heat.png')).metadata()).toMatchObject({ format: 'png', width: 1248, height: 530 });
});

describe('what cannot be done is said in one message', () => {
  beforeAll(async () => {
    await mkdir(at('empty'));
    await clipIn('index', at('pictures'), ...small, '--index', at('cut'));
    await truncate(at('cut', 'pictures.db'), 20_000);
  });
  const refused: [title: string, args: () => string[], message: RegExp][] = [
    ['no model', () => ['index', at('pictures')], /required option '--model <model>' not specified/],
    [
      'no such model',
      () => ['index', at('pictures'), '--model', at('none')],
      /none: there is no such file or folder/,
    ],
    ['no such folder', () => ['index', at('nowhere'), ...small], /nowhere: there is no such folder/],
    [
      'an empty folder',
      () => ['index', at('empty'), ...small, '--index', at('e')],
      /empty: there are no pictures in it/,
    ],
    [
      'no index',
      () => ['search', 'a star', '--index', at('none')],
      /none: holds no index of pictures; make one with/,
    ],
    ['an index cut short', () => ['search', 'a star', '--index', at('cut')], /cut: the index is damaged/],
    [
      'nothing to search for',
      () => ['search'],
      /say what to look for, either with a text or with --like IMAGE/,
    ],
    ['a text and a picture', () => ['search', 'a', '--like', 'b'], /either with a text or with --like IMAGE/],
    [
      'a sheet in no folder',
      () => ['search', 'a', '--html', at('no', 'x.html')],
      /--html .*: cannot write into the folder .*no; make it first/,
    ],
    ['a count that is none', () => ['search', 'a', '--top', '0'], /--top needs a whole number from 1 up/],
    ['no labels', () => ['classify', 'a.png', ...small], /give the labels, either with --labels/],
    ['doubled labels', () => ['classify', 'a.png', ...small, '--labels', 'a,b,a'], /"a" is there twice/],
    ['empty labels', () => ['classify', 'a.png', ...small, '--labels', 'a,,b'], /labels: one is empty/],
    [
      'no such file of labels',
      () => ['classify', 'a.png', ...small, '--labels-file', at('no.txt')],
      /--labels-file: cannot read .*no\.txt/,
    ],
    [
      'an unknown word',
      () => ['classify', at('pictures', 'star.png'), ...small, '--labels', 'a zeppelin'],
      /the model small-world cannot read "a zeppelin"/,
    ],
    [
      'no picture for a heat map',
      () => ['heatmap', at('pictures', 'broken.jpg'), 'a star', ...small, '--out', at('h.png')],
      /broken\.jpg: /,
    ],
  ];
  it.each(refused)('%s', async (_, args, message) => {
    await expect(type([...args(), '--device', 'wasm', '--threads', '1'])).rejects.toThrow(message);
    expect(printed).toEqual([]);
  });

  it('and ends the process with 1', async () => {
    const { code, stdout, stderr } = await clipIn('search', 'a star', '--index', at('none'));
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^clip-in: [^\n]+\n$/);
  });
});

/** Runs a command in this process, and remembers what it prints to standard output. */
async function type(args: readonly string[]): Promise<void> {
  printed = [];
  vi.spyOn(console, 'log').mockImplementation((line) => void printed.push(line));
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const program = commandLine(commands);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeErr: () => undefined });
  }
  await program.parseAsync(args, { from: 'user' }).finally(() => vi.restoreAllMocks());
}
let printed: string[] = [];

/** Waits until an index has so many files. */
async function filesIn(name: string, count: number): Promise<void> {
  for (;;) {
    if (existsSync(at(name)) && hasIndex(at(name))) {
      using index = await openIndex(at(name));
      if (index.count() >= count) return;
    }
    await delay(10);
  }
}
