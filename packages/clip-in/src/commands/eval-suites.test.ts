/**
 * From a directory to a page: the small world's model on folders of drawn scenes in the layouts of benchmarks, with figures counted another way
 * from pixels and ids; broken files; a process that is killed while it writes, and what the next one then does.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  CLIP_MEAN,
  CLIP_STD,
  classificationSet,
  createRenderer,
  encodeTexts,
  gallery,
  loadArt,
  type Scene,
  testPairs,
} from '@clipin/data';
import { type Device, init } from '@clipin/tensor';
import { encode } from 'fast-png';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodersOf } from '../evaluation/encoders';
import type { EvaluationResults } from '../evaluation/results';
import { cosines, retrieval } from '../metrics';
import { smallWorldCheckpoint } from '../pretrained';
import { loadPretrained, type PretrainedModel } from '../weights/load-pretrained';
import { runEvalSuites } from './eval-suites';

const SCENES = 24;
const hand = 'noto';
const scenes = gallery({ hand, size: SCENES });
const classes = classificationSet({ hand });
const CLASSES = 12;
const pairs = testPairs({ hand, perKind: 1 });

let folder: string;
let data: string;
let pretrained: PretrainedModel;
let printed: string[];
let canvas: number;
let device: Device;
const pixels = new Map<Scene, Uint8Array>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'suites-'));
  data = join(folder, 'benchmarks');
  device = await init({ device: 'wasm', threads: 1 });
  pretrained = await loadPretrained(smallWorldCheckpoint);
  canvas = pretrained.preprocess.size;
  await writeBenchmarks();
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => {
  printed = [];
  vi.spyOn(console, 'log').mockImplementation((line) => void printed.push(String(line)));
  vi.spyOn(console, 'error').mockImplementation((line) => void printed.push(String(line)));
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

/** Scenes in the layouts of Flickr30k (short captions), Urban-1k (long ones), SugarCrepe (captions of edits), and Pets. */
async function writeBenchmarks(): Promise<void> {
  const renderer = createRenderer(loadArt([hand]), { canvas, scale: 'unit' });
  const write = async (path: string, content: string | Uint8Array) => {
    await mkdir(dirname(join(data, path)), { recursive: true });
    await writeFile(join(data, path), content);
  };
  const draw = async (path: string, scene: Scene) => {
    const drawn = Uint8Array.from(renderer.render(scene, hand), (value) =>
      Math.round(Math.min(1, Math.max(0, value)) * 255),
    );
    pixels.set(scene, drawn);
    await write(path, encode({ width: canvas, height: canvas, data: drawn, channels: 3, depth: 8 }));
  };
  const lines = scenes.map(({ short }, i) => `${i}.jpg,${short}`);
  await write('flickr30k/flickr30k_test_karpathy.txt', `image,caption\n${lines.join('\n')}\n`);
  for (const [i, { scene, long }] of scenes.entries()) {
    await draw(`flickr30k/flickr30k-images/${i}.jpg`, scene);
    await draw(`urban-1k/image/${i + 1}.jpg`, scene);
    await write(`urban-1k/caption/${i + 1}.txt`, `${long}\n`);
  }
  const items = pairs.map(({ sourceCaption, targetCaption }, i) => [
    `${i * 2}`,
    { filename: `${i}.jpg`, caption: sourceCaption, negative_caption: targetCaption },
  ]);
  for (const subset of [
    'replace_obj',
    'replace_att',
    'replace_rel',
    'swap_obj',
    'swap_att',
    'add_obj',
    'add_att',
  ]) {
    await write(`sugarcrepe/data/${subset}.json`, JSON.stringify(Object.fromEntries(items)));
  }
  for (const [i, { source }] of pairs.entries()) await draw(`sugarcrepe/val2017/${i}.jpg`, source);
  await write('pets/zeroshot_classification_templates.txt', 'a picture of {c}\n');
  const names = classes.prompts.slice(0, CLASSES).map((prompt) => prompt.replace('a picture of ', ''));
  await write('pets/classnames.txt', names.join('\n'));
  for (let i = 0; i < CLASSES; i++) await draw(`pets/test/${i}/picture.png`, classes.scenes[i]!);
}

const run = async (
  suites: readonly string[],
  more: { out?: string; data?: string; signal?: AbortSignal } = {},
) => {
  const out = more.out ?? (await mkdtemp(join(folder, 'out-')));
  await runEvalSuites({
    model: 'small-world',
    suites,
    data: more.data ?? data,
    out,
    cache: join(out, 'embeddings'),
    device,
    another: () => Promise.reject(new Error('one device is enough')),
    signal: more.signal ?? new AbortController().signal,
  });
  return { out, results: await read(out) };
};

const read = async (out: string): Promise<EvaluationResults> =>
  JSON.parse(await readFile(join(out, 'results.json'), 'utf8'));

const figure = (results: EvaluationResults, suite: string, name: string): number =>
  results.results.find((result) => result.suite === suite)!.figures.rows.find((row) => row.name === name)!
    .value;

/** Straight from the pixels, without files, batches and cache. */
async function directly(pictures: readonly Scene[], texts: readonly string[]): Promise<Float32Array> {
  const { model, params, tokenizer } = pretrained;
  const encoders = encodersOf(model)(params);
  const values = pictures.flatMap((scene) =>
    [...pixels.get(scene)!].map((value, i) => (value / 255 - CLIP_MEAN[i % 3]!) / CLIP_STD[i % 3]!),
  );
  const length = model.config.text.contextLength;
  return cosines(
    await encoders.images(Float32Array.from(values)),
    await encoders.texts(encodeTexts(tokenizer, texts, length), length),
    encoders.width,
  );
}

describe('clip-in eval --suite', () => {
  it('gives the figures that the pixels and ids give, and writes them three times', async () => {
    const { out, results } = await run(['flickr30k', 'urban-1k', 'sugarcrepe', 'pets']);
    const pictures = scenes.map(({ scene }) => scene);
    for (const [suite, texts] of [
      ['flickr30k', scenes.map(({ short }) => short)],
      ['urban-1k', scenes.map(({ long }) => long)],
    ] as const) {
      const want = retrieval(await directly(pictures, texts), SCENES, [1, 5, 10]);
      for (const k of [1, 5, 10]) {
        expect(figure(results, suite, `image to text, R@${k}`)).toBeCloseTo(want.imageToText[k]!, 6);
        expect(figure(results, suite, `text to image, R@${k}`)).toBeCloseTo(want.textToImage[k]!, 6);
      }
    }
    const chosen = await Promise.all(
      pairs.map(async ({ source, sourceCaption, targetCaption }) => {
        const [right = 0, wrong = 0] = await directly([source], [sourceCaption, targetCaption]);
        return right > wrong;
      }),
    );
    expect(figure(results, 'sugarcrepe', 'swap_att')).toBeCloseTo(
      (100 * chosen.filter(Boolean).length) / pairs.length,
      6,
    );
    const scores = await directly(classes.scenes.slice(0, CLASSES), classes.prompts.slice(0, CLASSES));
    const best = Array.from({ length: CLASSES }, (_, i) => {
      const row = [...scores.subarray(i * CLASSES, (i + 1) * CLASSES)];
      return row.indexOf(Math.max(...row)) === i;
    });
    expect(figure(results, 'pets', 'top-1')).toBeCloseTo((100 * best.filter(Boolean).length) / CLASSES, 6);

    const page = await readFile(join(out, 'report.html'), 'utf8');
    const markdown = await readFile(join(out, 'results.md'), 'utf8');
    for (const { title, figures } of results.results) {
      expect(page).toContain(`<h2>${title}</h2>`);
      expect(markdown).toContain(`## ${title}`);
      expect(markdown).toContain(figures.main.toFixed(1));
    }
    expect(page).toContain('CLIP-IN ViT-L/14, 336');
    expect(page).not.toMatch(/(src|href)="(?!data:|#)/);
    expect(printed.join('\n')).toContain('The benchmark has 1,000 items; here are 24.');
    expect(process.exitCode).toBeUndefined();
  });

  it('says what it skipped beside each figure, and goes on after a suite that fails', async () => {
    const broken = join(folder, 'broken');
    await mkdir(join(broken, 'urban-1k', 'image'), { recursive: true });
    await mkdir(join(broken, 'urban-1k', 'caption'), { recursive: true });
    for (const i of [1, 2, 3]) {
      await writeFile(join(broken, 'urban-1k', 'caption', `${i}.txt`), scenes[i]!.long);
      const picture = await readFile(join(data, 'urban-1k', 'image', `${i + 1}.jpg`));
      await writeFile(
        join(broken, 'urban-1k', 'image', `${i}.jpg`),
        i === 2 ? picture.subarray(0, 100) : picture,
      );
    }
    const { out, results } = await run(['coco', 'urban-1k'], { data: broken });
    expect(results.failures.map(({ suite, reason }) => [suite, reason])).toEqual([
      ['coco', expect.stringMatching(/^the captions not found in .*Expected: coco_test_karpathy\.json/)],
    ]);
    const [urban] = results.results;
    expect([urban?.items, urban?.skipped.length, urban?.skipped[0]?.skipped]).toEqual([
      2,
      1,
      join(broken, 'urban-1k', 'image', '2.jpg'),
    ]);
    const page = await readFile(join(out, 'report.html'), 'utf8');
    expect(page).toContain('1 skipped and in no figure');
    expect(page).toContain('failed.');
    expect(await readFile(join(out, 'results.md'), 'utf8')).toContain('1 skipped:');
    expect(printed.join('\n')).toContain('(2 items, 1 SKIPPED');
    expect(process.exitCode).toBe(1);
  });

  it('goes on where Ctrl-C stopped it', async () => {
    const stop = new AbortController();
    const out = await mkdtemp(join(folder, 'out-'));
    const write = vi.spyOn(process.stderr, 'write').mockImplementation(() => {
      stop.abort();
      return true;
    });
    await runEvalSuites({
      model: 'small-world',
      suites: ['flickr30k'],
      data,
      out,
      cache: join(out, 'embeddings'),
      device,
      another: () => Promise.reject(new Error('one device is enough')),
      signal: stop.signal,
    });
    write.mockImplementation(() => true);
    expect(printed.join('\n')).toMatch(/stopped; 16 images and 0 texts .* goes on from there/);
    expect(existsSync(join(out, 'results.json'))).toBe(false);
    const { results } = await run(['flickr30k'], { out });
    const { results: whole } = await run(['flickr30k']);
    expect(results.results[0]?.figures).toEqual(whole.results[0]?.figures);
  });

  it('goes on where a process was killed in the middle of a write', async () => {
    const out = await mkdtemp(join(folder, 'out-'));
    // The third write to the cache, after the heading and a batch of 16, is done by half.
    const preload = join(folder, 'kill.mjs');
    await writeFile(
      preload,
      `import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const { openSync, writeSync } = fs;
const ours = new Set();
let count = 0;
fs.openSync = (path, ...rest) => {
  const file = openSync(path, ...rest);
  if (String(path).endsWith('.embeddings')) ours.add(file);
  return file;
};
fs.writeSync = (file, bytes, offset, length, position) => {
  if (ours.has(file) && ++count === 3) {
    writeSync(file, bytes, offset, Math.floor(length / 2), position);
    process.kill(process.pid, 'SIGKILL');
  }
  return writeSync(file, bytes, offset, length, position);
};
syncBuiltinESMExports();
`,
    );
    const args = [
      'eval',
      'small-world',
      '--suite',
      'flickr30k',
      '--data',
      data,
      '--out',
      out,
      '--device',
      'wasm',
    ];
    const cli = join(import.meta.dirname, '..', 'cli.ts');
    const options = ['--conditions=clipin-source', '--import', 'tsx', '--import', preload, cli, ...args];
    const child = spawn(process.execPath, options, { stdio: 'ignore' });
    const signal = await new Promise((resolve) => child.on('close', (_, by) => resolve(by)));
    expect(signal).toBe('SIGKILL');
    const record = 32 + pretrained.model.config.embedding * 4 + 4;
    const kept = ((await stat(await segment(out))).size - 20) / record;
    // Of the second batch, 8 images, four are whole.
    expect(kept).toBe(16 + 4);
    const { results } = await run(['flickr30k'], { out });
    const { results: whole, out: other } = await run(['flickr30k']);
    expect(results.results[0]?.figures).toEqual(whole.results[0]?.figures);
    const all = ((await stat(await segment(other))).size - 20) / record;
    expect(((await stat(await segment(out, 1))).size - 20) / record).toBe(all - 20);
  });
});

/** The path of the nth file of a cache. */
async function segment(out: string, n = 0): Promise<string> {
  const cache = join(out, 'embeddings');
  const names = (await readdir(cache, { recursive: true }))
    .filter((name) => name.endsWith('.embeddings'))
    .sort();
  return join(cache, names[n]!);
}
