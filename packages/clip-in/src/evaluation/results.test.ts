import { describe, expect, it } from 'vitest';
import { mmvpPatterns } from '../benchmarks/published';
import { evaluationReport } from '../report/evaluation-report';
import {
  comparisonOf,
  type EvaluationResults,
  resultsJson,
  resultsMarkdown,
  type TimedResult,
} from './results';

const result = (more: Partial<TimedResult>): TimedResult => ({
  suite: 'nobody-printed',
  title: 'A suite | of mine',
  figures: { main: 12.345, metric: 'right', rows: [{ name: 'right', value: 12.345, count: 81 }] },
  items: 81,
  skipped: [],
  directory: '.',
  seconds: 61,
  ...more,
});
const mmvp = result({
  suite: 'mmvp-vlm',
  title: 'MMVP-VLM',
  chance: 25,
  figures: {
    main: 20,
    metric: 'pairs right, mean of nine patterns',
    rows: [
      ...mmvpPatterns.map((name, i) => ({ name, value: (100 * i) / 9, count: 15 })),
      { name: 'Texts', value: 6.7, count: 15, section: 'Both directions' },
    ],
    notes: ['a <note>'],
  },
  skipped: Array.from({ length: 25 }, (_, i) => ({ skipped: `pair ${i}`, reason: '<broken>' })),
});
const run = (results: readonly TimedResult[]): EvaluationResults => ({
  model: { name: 'my <model>', fingerprint: '0123456789abcdef' },
  device: 'wasm',
  date: '2026-11-25T21:50:00.000Z',
  version: '0.1.0',
  results,
  failures: [{ suite: 'coco', title: 'COCO', reason: 'not there\nexpected: val2014' }],
});

describe('a comparison', () => {
  it('has the patterns of MMVP and their average, of this model and of every published one', () => {
    const { columns, rows } = comparisonOf('mine', mmvp);
    expect(columns).toEqual([...mmvpPatterns, 'average']);
    expect(rows[0]).toEqual({ model: 'mine', values: [...mmvpPatterns.map((_, i) => (100 * i) / 9), 20] });
    expect(rows[1]).toMatchObject({ model: 'OpenAI CLIP ViT-L/14, 224', source: 'MMVP' });
    expect(rows[1]?.values.at(-1)).toBe(19.3);
    expect(rows.find(({ model }) => model === 'EVA02 ViT-bigE/14, 224')?.values).toEqual([
      ...mmvpPatterns.map(() => undefined),
      33.3,
    ]);
  });

  it('leaves out what nobody printed, and shows what this suite does not count', () => {
    const rows = ['image to text, R@1', 'image to text, R@5', 'text to image, R@1'];
    const coco = result({
      suite: 'coco',
      figures: { main: 1, metric: 'm', rows: rows.map((name, value) => ({ name, value, count: 1 })) },
    });
    expect(comparisonOf('mine', coco).columns).toEqual([rows[0], rows[2]]);
    const few = result({
      suite: 'coco',
      figures: { main: 1, metric: 'm', rows: [{ name: rows[2]!, value: 1, count: 1 }] },
    });
    expect(comparisonOf('mine', few).columns).toEqual([rows[2], rows[0]]);
    expect(comparisonOf('mine', few).rows[0]?.values).toEqual([1, undefined]);
    expect(comparisonOf('mine', result({})).columns).toEqual([]);
  });
});

it('Markdown has a line a figure, the skipped items up to a number, and failures', () => {
  const text = resultsMarkdown(run([mmvp, result({})]));
  expect(text).toContain('| MMVP-VLM | pairs right, mean of nine patterns | 20.0 | 81 | **25** |');
  expect(text).toContain('| Both directions: Texts | 6.7 | 15 |');
  expect(text).toContain('| A suite \\| of mine | right | 12.3 | 81 | 0 |');
  expect(text).toContain('**COCO failed:** not there expected: val2014');
  expect(text).toContain('- pair 19: <broken>\n- and 5 more, in results.json');
  expect(text).toContain('| OpenAI CLIP ViT-L/14, 224 | 13.3 |');
});

it('JSON has every skipped item and the published figures', () => {
  const [first] = JSON.parse(resultsJson(run([mmvp]))).results;
  expect(first.skipped).toHaveLength(25);
  expect(first.published[0]).toMatchObject({ main: 19.3, source: 'MMVP' });
});

it('the page says the same, with what others wrote as text', () => {
  const page = evaluationReport(run([mmvp, result({})]));
  expect(page).toContain('my &lt;model&gt;');
  expect(page).toContain('a &lt;note&gt;');
  expect(page).not.toContain('<broken>');
  expect(page).toContain('<b class="warn">25 skipped and in no figure</b>');
  expect(page).toContain('and 5 more, in results.json');
  expect(page).toContain('blind guesses get 25.0');
  expect(page.match(/class="this"/g)).toHaveLength(1);
  expect(page).toContain('Tong et al. 2024');
});
