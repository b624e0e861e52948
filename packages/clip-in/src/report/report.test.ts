import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from 'fast-png';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lineChart } from './chart';
import type { Evaluation, PairScores, ReportData } from './data';
import { html, image, pictureFromUnit } from './html';
import { renderReport, writeReport } from './report';

const evaluation = (share: number): Evaluation => ({
  pairAccuracy: share,
  bothDirections: share / 2,
  perPattern: { 'State and Condition': share - 5, Texts: share + 5 },
  perKind: { state: share - 5, sign: share + 5 },
  retrieval: {
    short: { imageToText: { 1: share, 5: share + 9 }, textToImage: { 1: share, 5: share + 9 } },
    long: { imageToText: { 1: share, 5: share + 9 }, textToImage: { 1: share, 5: share + 9 } },
  },
  classification: share,
});

const red = pictureFromUnit(Float32Array.of(1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0), 2);
const right: PairScores = [0.9, 0.1, 0.2, 0.8];
const wrong: PairScores = [0.9, 0.8, 0.2, 0.3];
const tie: PairScores = [0.5, 0.5, 0.5, 0.5];
const pair = (before: PairScores, after: PairScores) => ({
  pattern: 'Texts',
  instruction: 'make the sign say <b>',
  source: red,
  target: red,
  sourceCaption: 'a "red" sign',
  targetCaption: 'a sign & nothing',
  before,
  after,
});

const data: ReportData = {
  title: 'A <small> model',
  summary: 'It learned.',
  device: 'wasm (2 threads)',
  seconds: 421.4,
  facts: { Seed: '0' },
  config: { training: { loss: 'clip-in', betas: [0.9, 0.98], clipNorm: null } },
  before: evaluation(30),
  after: evaluation(42.25),
  pairCounts: { 'State and Condition': 25, Texts: 50 },
  curves: [
    {
      title: 'Stage 2',
      lines: [
        {
          name: 'short',
          points: [
            [1, 3],
            [2, 2.5],
          ],
        },
        { name: 'long', points: [[1, Number.NaN]] },
      ],
    },
  ],
  pairs: [pair(wrong, right), pair(right, wrong), pair(right, right), pair(wrong, tie)],
  queries: [
    {
      caption: 'a cat',
      found: [
        { picture: red, right: false },
        { picture: red, right: true },
      ],
      rank: 2,
      gallery: 200,
    },
  ],
  classified: [{ picture: red, label: 'a cat', before: 'a dog', after: 'a cat' }],
  credits: ['Drawings: nobody & co.'],
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'report-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Text as a reader sees it. */
const textOf = (page: string): string =>
  page
    .replace(/<style>.*?<\/style>/s, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/[\s\u00a0\u2002\u2009]+/g, ' ');

describe('the page', () => {
  const page = renderReport(data);
  const text = textOf(page);

  it('fetches nothing', () => {
    const sources = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, source]) => source!);
    expect(sources.length).toBeGreaterThan(10);
    for (const source of sources) expect(source).toMatch(/^data:/);
    expect(page).not.toMatch(/https?:|url\(|@import|<script/);
  });

  it('escapes what it is given', () => {
    expect(page).toContain('A &lt;small&gt; model');
    expect(page).toContain('alt="a &quot;red&quot; sign"');
    expect(page).toContain('Make the sign say &lt;b&gt;');
    expect(page).not.toMatch(/undefined|NaN|\[object|>false</);
  });

  it('opens and closes its elements in order', () => {
    const open: string[] = [];
    for (const [, close, name, empty] of page
      .replace('<!doctype html>', '')
      .matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*?(\/?)>/g)) {
      if (close) expect(open.pop()).toBe(name);
      else if (!empty && !['img', 'meta', 'link'].includes(name!)) open.push(name!);
    }
    expect(open).toEqual([]);
  });

  it('says what was measured, before and after', () => {
    expect(text).toContain('Device wasm (2 threads) Duration 7m 01s Seed 0');
    expect(text).toContain('State and Condition 25 25.0 37.3 +12.3');
    expect(text).toContain('Mean of the patterns 75 30.0 42.3 +12.3');
    expect(text).toContain('Long captions, text to picture 30.0 → 42.3 +12.3 39.0 → 51.3 +12.3');
    expect(text).toContain('training.betas 0.9, 0.98');
    expect(text).toContain('Drawings: nobody &amp; co.');
  });

  it('shows right and wrong by mark and word, not by colour alone', () => {
    const verdicts = [...page.matchAll(/<p class="verdict[^>]*>([^<]*)/g)].map(([, verdict]) =>
      verdict!.replace(/\s+/g, ' '),
    );
    expect(verdicts).toEqual([
      '✓ Learned: now right',
      '✗ Lost: no longer right',
      '✓ Right before and after',
      '✗ Wrong before and after',
    ]);
    expect(text).toContain('a sign &amp; nothing before A ✗ (wrong) after B ✓ (right)');
    expect(text).toContain('before B ✓ (right) after A ✗ (wrong)');
    expect(text).toContain('after neither ✗ (wrong)');
    expect(text).toContain('✗ its own picture is number 2 of 200');
    expect(text).toContain('a cat before a dog ✗ (wrong) after right ✓ (right)');
  });

  it('leaves out what there is nothing of', () => {
    const bare = textOf(renderReport({ ...data, pairs: [], queries: [], classified: [], curves: [] }));
    expect(bare).not.toMatch(/Some of the pairs|Finding pictures|Naming single|How it learned|false/);
  });
});

it('writes the page and the figures', async () => {
  const more = { ...data.after, similarities: new Float32Array(4) };
  const paths = await writeReport(join(folder, 'deep/er'), { ...data, after: more });
  expect(await readFile(paths.html, 'utf8')).toBe(renderReport(data));
  const { device, seconds, before, after, config } = data;
  expect(JSON.parse(await readFile(paths.metrics, 'utf8'))).toEqual({
    device,
    seconds,
    before,
    after,
    config,
  });
});

it('pictures survive the way into the page', () => {
  const values = Float32Array.from({ length: 27 }, (_, i) => i / 26);
  const picture = pictureFromUnit(values, 3);
  const [, base64] = /base64,([^"]*)"/.exec(image(picture, '').html)!;
  const png = decode(Buffer.from(base64!, 'base64'));
  expect([png.width, png.height, png.channels, ...png.data]).toEqual([3, 3, 3, ...picture.data]);
  expect([...pictureFromUnit(Float32Array.of(-1, 2, 0.5), 1).data]).toEqual([0, 255, 128]);
  expect(() => pictureFromUnit(values, 2)).toThrow('27 values are not [2, 2, 3]');
});

it('templates escape text and keep HTML', () => {
  expect(html`<p>${'<&"'}${html`<b>${1}</b>`}${[html`a`, html`b`]}${undefined}${false}</p>`.html).toBe(
    '<p>&lt;&amp;&quot;<b>1</b>ab</p>',
  );
});

describe('charts', () => {
  const coordinates = (svg: string) =>
    [...svg.matchAll(/d="M([^"]*)"/g)].map(([, d]) =>
      d!.split('L').map((point) => point.split(' ').map(Number)),
    );

  it('draw steps to the right and larger values higher up', () => {
    const [noise] = coordinates(
      lineChart({
        title: 't',
        lines: [
          {
            name: 'x',
            points: [
              [1, 1],
              [5, 3],
              [10, 2],
            ],
          },
        ],
      }).html,
    );
    const [[x1, y1], [x2, y2], [x3, y3]] = noise as [number[], number[], number[]];
    expect(x1! < x2! && x2! < x3! && y2! < y3! && y3! < y1!).toBe(true);
    expect((x2! - x1!) / (x3! - x1!)).toBeCloseTo(4 / 9, 2);
  });

  it('cope with one point, equal values, thousands of steps and nothing', () => {
    const of = (points: [number, number][]) => lineChart({ title: 't', lines: [{ name: 'x', points }] }).html;
    for (const svg of [
      of([[5, 2]]),
      of([
        [1, 0],
        [2, 0],
      ]),
      of(Array.from({ length: 50_000 }, (_, i) => [i, Math.sin(i)])),
    ]) {
      expect(svg).toContain('<path');
      expect(svg).not.toMatch(/NaN|Infinity/);
      expect(svg.length).toBeLessThan(40_000);
    }
    expect(of([])).toContain('Nothing was recorded');
  });

  it('keep names apart that end at the same height', () => {
    const lines = ['a', 'b', 'c', 'd'].map((name) => ({
      name,
      points: [
        [1, 2],
        [2, name === 'd' ? 3 : 1],
      ] as [number, number][],
    }));
    const svg = lineChart({ title: 't', lines }).html;
    const heights = [...svg.matchAll(/class="name[^>]*y="([\d.]+)"/g)]
      .map(([, y]) => Number(y))
      .sort((a, b) => a - b);
    expect(heights).toHaveLength(4);
    for (let i = 1; i < 4; i++) expect(heights[i]! - heights[i - 1]!).toBeGreaterThanOrEqual(16.9);
  });
});
