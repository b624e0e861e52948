/** The results as one page: tables and charts, nothing to load. Charts are drawn here, so the page needs no script. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { Verdict } from './goals';
import { percent, type Row } from './report';

/** What is shown. */
export interface Results {
  readonly rows: readonly Row[];
  readonly verdicts: readonly Verdict[];
  readonly machine: string;
  /** Rounds and load. */
  readonly note: string;
}

const { document } = parseHTML('<!doctype html><html><body></body></html>');
/** Ours first; colours that people with any eyes tell apart (Okabe and Ito 2008). */
const palette = ['#0072b2', '#e69f00', '#56b4e9', '#009e73', '#f0e442', '#d55e00', '#cc79a7'];

/** The page. */
export function page({ rows, verdicts, machine, note }: Results): string {
  const groups = new Map<string, Row[]>();
  for (const row of rows.filter(({ growth }) => !growth)) {
    groups.set(groupOf(row), [...(groups.get(groupOf(row)) ?? []), row]);
  }
  const sections = [...groups].map(
    ([title, own]) => `<h2>${escaped(title)}</h2>${title.startsWith('On ') ? chartOf(own) : ''}${table(own)}`,
  );
  const growth = rows.filter((row) => row.growth);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>clip-in: benchmarks</title><style>${style}</style></head><body>
<h1>clip-in beside its peers</h1>
<p>${escaped(machine)}. ${escaped(note)}</p>
${verdicts.length > 0 ? `<h2>Bars</h2>${verdictTable(verdicts)}` : ''}
${sections.join('\n')}
${growth.length > 0 ? growthSection(growth) : ''}
</body></html>
`;
}

const style = `
body { font: 15px/1.5 system-ui, sans-serif; max-width: 90rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff; }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
small { color: #666; } .scroll { overflow-x: auto; } td small { display: block; } .short { color: #b00020; } .charts { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; }`;

/** Rows that belong in one table: those of all threads and of one have the same peers. */
function groupOf({ device, work }: Row): string {
  const apart = ['memory peak', 'host cost', 'first step'].find((name) => work.startsWith(name));
  if (apart) return apart[0]?.toUpperCase() + apart.slice(1);
  return device.startsWith('wasm') ? 'On the processor' : `On ${device}`;
}

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

interface Point {
  readonly work: string;
  readonly peer: string;
  /** As a multiple of ours on the first device. */
  readonly speed: number;
}

/** The peers beside our first device, and beside it our others with as many threads. */
function pointsOf(rows: readonly Row[], first: string): Point[] {
  return rows.flatMap(({ work, device, unit, ours, ratios }): Point[] => {
    if (device === first)
      return Object.entries(ratios).map(([peer, ratio]) => ({ work, peer, speed: 1 / ratio }));
    const base = rows.find((row) => row.work === work && row.device === first);
    if (!base || device.endsWith(' 1 thread')) return [];
    const speed = unit === 'ms' ? base.ours / ours : ours / base.ours;
    return [{ work, peer: `clip-in on ${device}`, speed }];
  });
}

/** How many times as good as ours each library is; nothing for a single work. */
function chartOf(rows: readonly Row[]): string {
  const first = rows[0]?.device ?? '';
  const shown = pointsOf(rows, first);
  if (new Set(shown.map(({ work }) => work)).size < 2) return '';
  const peers = [...new Set(shown.map(({ peer }) => peer))];
  const chart = Plot.plot({
    document,
    width: 1000,
    height: 24 * new Set(shown.map(({ work }) => work)).size + 70,
    marginLeft: 330,
    x: {
      type: 'log',
      tickFormat: (value: number) => String(value),
      label: `how many times as good as clip-in on ${first} →`,
      grid: true,
    },
    y: { label: null, domain: [...new Set(shown.map(({ work }) => work))] },
    color: { domain: peers, range: palette.slice(1), legend: false },
    marks: [
      Plot.ruleX([1], { stroke: palette[0] as string, strokeWidth: 2 }),
      Plot.dot(shown, { x: 'speed', y: 'work', fill: 'peer', r: 5 }),
    ],
  });
  return `<p>Blue line: clip-in. ${legend(peers)}</p>${chart.outerHTML}`;
}

const legend = (names: readonly string[]) =>
  names.map((name, i) => `<span style="color:${palette[1 + i]}">●</span> ${escaped(name)}`).join(' &nbsp; ');

function table(rows: readonly Row[]): string {
  const peers = [...new Set(rows.flatMap(({ peers: own }) => Object.keys(own)))];
  const spread = (range?: readonly [number, number]) =>
    range ? ` <small>${range[0]}–${range[1]}</small>` : '';
  const lines = rows.map((row) => {
    const cells = peers.map((peer) => `${row.peers[peer] ?? ''}${spread(row.peerSpreads?.[peer])}`);
    const ratio = row.ratio === 0 ? '' : row.ratio.toFixed(2);
    return [
      row.work,
      row.device,
      row.unit,
      `<b>${row.ours}</b>${spread(row.spread)}`,
      ...cells,
      ratio,
      percent(row.share),
      percent(row.taken),
    ];
  });
  return htmlTable(['work', 'on', 'unit', 'clip-in', ...peers, 'ratio', 'of the limit', 'others'], lines);
}

function verdictTable(verdicts: readonly Verdict[]): string {
  const lines = verdicts.map(({ measure, goal, reached = 0 }) => [
    escaped(measure),
    reached >= goal ? 'yes' : '<span class="short">no</span>',
    goal.toFixed(2),
    reached.toFixed(2),
  ]);
  return htmlTable(['measure', 'reached', 'at least', 'is'], lines);
}

const htmlTable = (head: readonly string[], lines: readonly (readonly string[])[]) =>
  `<div class="scroll"><table><tr>${head.map((name) => `<th>${name}</th>`).join('')}</tr>${lines
    .map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`)
    .join('')}</table></div>`;

const growthTable = (rows: readonly Row[]) =>
  htmlTable(
    ['work', 'ms', 'GFLOP/s', 'beside the size before'],
    rows.map(({ work, ours, growth, ratios }) => {
      const [before] = Object.values(ratios);
      return [work, `${ours}`, `${growth?.rate}`, before === undefined ? '' : before.toFixed(2)];
    }),
  );

/** Time against size for each axis, beside a time that grew with the operations alone. */
function growthSection(rows: readonly Row[]): string {
  const axes = [...new Set(rows.map(({ growth }) => growth?.axis ?? ''))];
  const figures = axes.map((axis) => {
    const points = rows.flatMap(({ growth, ours, spread }) =>
      growth?.axis === axis ? [{ ...growth, ours, low: spread[0], high: spread[1] }] : [],
    );
    const best = Math.max(...points.map(({ rate }) => rate));
    const chart = Plot.plot({
      document,
      width: 330,
      height: 260,
      x: { type: 'log', base: 2, label: axis, ticks: points.map(({ size }) => size), tickFormat: String },
      y: { type: 'log', label: 'ms', grid: true },
      marks: [
        Plot.line(points, {
          x: 'size',
          y: (d) => (d.ours * d.rate) / best,
          stroke: '#999',
          strokeDasharray: '4',
        }),
        Plot.ruleX(points, { x: 'size', y1: 'low', y2: 'high', stroke: palette[0] as string }),
        Plot.line(points, { x: 'size', y: 'ours', stroke: palette[0] as string }),
        Plot.dot(points, { x: 'size', y: 'ours', fill: palette[0] as string }),
      ],
    });
    return `<figure>${chart.outerHTML}</figure>`;
  });
  return `<h2>Growth of a training step</h2><p>Blue: milliseconds of clip-in on wasm. Dashed: what they were if every size ran at
the rate of the best one.</p><div class="charts">${figures.join('')}</div>${growthTable(rows)}`;
}
