/** A line chart as SVG: what was measured faintly, its running mean clearly, and the name of each line at its end. */
import type { Curve } from './data';
import { type Html, html } from './html';

const WIDTH = 520;
const HEIGHT = 300;
const PLOT = { left: 44, right: WIDTH - 18, top: 14, bottom: HEIGHT - 34 };
const LABEL_GAP = 17;
/** Room for the names of lines; a single line is named by the title. */
const NAMES = 84;

type Point = readonly [x: number, y: number];

/** Draws a chart. Colours and fonts come from the page's style sheet. */
export function lineChart({ title, lines }: Curve): Html {
  const drawn = lines
    .map(({ name, points }) => ({ name, points: thin(points.filter(([, value]) => Number.isFinite(value))) }))
    .filter(({ points }) => points.length > 0);
  const all = drawn.flatMap(({ points }) => points);
  if (all.length === 0) return html`<p class="empty">Nothing was recorded.</p>`;
  const right = PLOT.right - (drawn.length > 1 ? NAMES : 0);
  const x = axis([0, ...all.map(([step]) => step)], PLOT.left, right, false);
  const y = axis(
    all.map(([, value]) => value),
    PLOT.bottom,
    PLOT.top,
    true,
  );
  const ends = spread(drawn.map(({ points }) => y.at(smooth(points).at(-1)![1])));
  return html`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">
${y.ticks.map((tick) => html`<line class="rule" x1="${PLOT.left}" x2="${right}" y1="${y.at(tick)}" y2="${y.at(tick)}"/><text class="tick" x="${PLOT.left - 8}" y="${y.at(tick) + 4}" text-anchor="end">${formatTick(tick)}</text>`)}
${x.ticks.map((tick) => html`<text class="tick" x="${x.at(tick)}" y="${PLOT.bottom + 22}" text-anchor="middle">${formatTick(tick)}</text>`)}
${drawn.map(({ points }, i) => {
  const place = ([step, value]: Point): Point => [x.at(step), y.at(value)];
  return html`<path class="noise line-${(i % 4) + 1}" d="${path(points.map(place))}"/><path class="line line-${(i % 4) + 1}" d="${path(smooth(points).map(place))}"/>`;
})}
${drawn.length > 1 && drawn.map(({ name }, i) => html`<text class="name line-${(i % 4) + 1}" x="${right + 8}" y="${ends[i]! + 4}">${name}</text>`)}
</svg>`;
}

interface Axis {
  readonly ticks: readonly number[];
  /** Where a value lies in the drawing. */
  at(value: number): number;
}

function axis(values: readonly number[], from: number, to: number, wide: boolean): Axis {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const step = niceStep((high - low) / 4);
  if (wide) [low, high] = [Math.floor(low / step) * step, Math.ceil(high / step) * step];
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
  return { ticks, at: (value) => round(from + ((value - low) / (high - low)) * (to - from)) };
}

/** The nearest of 1, 2, 5 times a power of ten, from above. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10);
}

/** At most about so many points as there are pixels: each the mean of its neighbours. */
function thin(points: readonly Point[]): readonly Point[] {
  const size = Math.ceil(points.length / (PLOT.right - PLOT.left));
  if (size <= 1) return points;
  const means: Point[] = [];
  for (let start = 0; start < points.length; start += size) {
    const part = points.slice(start, start + size);
    means.push([part.at(-1)![0], part.reduce((sum, [, value]) => sum + value, 0) / part.length]);
  }
  return means;
}

/** The mean of a window around each point, a fifteenth of the line wide. */
function smooth(points: readonly Point[]): Point[] {
  const reach = Math.floor(points.length / 30);
  return points.map(([step], i) => {
    const window = points.slice(Math.max(0, i - reach), i + reach + 1);
    return [step, window.reduce((sum, [, value]) => sum + value, 0) / window.length];
  });
}

/** Moves labels apart that would lie on each other: down, and up again where the plot ends. */
function spread(wanted: readonly number[]): number[] {
  const order = wanted.map((y, i) => ({ y, i })).sort((a, b) => a.y - b.y);
  for (let k = 1; k < order.length; k++) order[k]!.y = Math.max(order[k]!.y, order[k - 1]!.y + LABEL_GAP);
  let lowest = PLOT.bottom;
  for (const label of [...order].reverse()) {
    label.y = Math.min(label.y, lowest);
    lowest = label.y - LABEL_GAP;
  }
  const result: number[] = [];
  for (const { y, i } of order) result[i] = round(y);
  return result;
}

const path = (points: readonly Point[]): string => `M${points.map(([x, y]) => `${x} ${y}`).join('L')}`;

const round = (value: number): number => Math.round(value * 10) / 10;

const formatTick = (value: number): string => {
  const rounded = Number(value.toPrecision(6));
  return Math.abs(rounded) >= 10_000 ? `${rounded / 1000}k` : String(rounded);
};
