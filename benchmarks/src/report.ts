/** Rows of results, as a table for people and as records for programs. */
import type { Measured } from './harness';
import type { Limit } from './limit';
import type { Contestant } from './process/contestant';
import type { Work } from './works/work';

/** One row, as `--json` writes it. */
export interface Row {
  readonly work: string;
  /** Ours, and that of the peers: `wasm, 2 threads`, `webgpu, SwiftShader …`. */
  readonly device: string;
  readonly unit: string;
  /** Median. */
  readonly ours: number;
  /** Medians by name. */
  readonly peers: Readonly<Record<string, number>>;
  /** How many times as good as the best peer ours is: above 1, ours is better. 0 where no peer does this work. */
  readonly ratio: number;
  /** The same beside each peer. */
  readonly ratios: Readonly<Record<string, number>>;
  /** Quartiles in the unit, the lower number first: of ours, and of the peers by name. */
  readonly spread: readonly [number, number];
  readonly peerSpreads?: Readonly<Record<string, readonly [number, number]>>;
  /** Ours over the measured limit of the machine, for rates. */
  readonly share?: number;
  /** Share of all cores' time that other programs took meanwhile: much of it, and the row says little. */
  readonly taken?: number;
  /** A point of a curve: what grows, and GFLOP/s of the operations that the size needs. */
  readonly growth?: { readonly axis: string; readonly size: number; readonly rate: number };
}

/** Limits of what one row ran on, in the units of rates. */
export type Limits = Pick<Limit, 'flops' | 'bytes'>;

/** What else is known of a row: the limits of its device, and what other programs took. */
interface Circumstances {
  readonly limits?: Limits | undefined;
  readonly taken?: number | undefined;
}

/** The row of one of our devices beside the peers. */
export function rowOf(
  work: Work,
  ours: Measured,
  peers: readonly Measured[],
  { limits, taken }: Circumstances,
): Row {
  const value = ({ timing }: Measured) => rounded(inUnit(work, timing.median));
  const ratioTo = (peer: Measured) => rounded(peer.timing.median / ours.timing.median);
  const byName = <T>(of: (peer: Measured) => T) =>
    Object.fromEntries(peers.map((peer) => [peer.contestant.name, of(peer)]));
  const limit = work.unit === 'GFLOP/s' ? limits?.flops : work.unit === 'GB/s' ? limits?.bytes : undefined;
  return {
    work: work.name,
    device: ours.contestant.row ?? ours.contestant.device,
    unit: work.unit,
    ours: value(ours),
    peers: byName(value),
    ratio: peers.length === 0 ? 0 : Math.min(...peers.map(ratioTo)),
    ratios: byName(ratioTo),
    spread: spreadOf(work, ours),
    peerSpreads: byName((peer) => spreadOf(work, peer)),
    ...(taken !== undefined && { taken: rounded(taken) }),
    ...(limit !== undefined && { share: rounded(inUnit(work, ours.timing.median) / limit) }),
  };
}

/** The row of the memory that the processes had at most meanwhile, under the row of their times; none where it is not known. */
export function memoryRow(
  { work, device }: Row,
  ours: Measured,
  peers: readonly Measured[],
  peakOf: (pid: number) => number | undefined,
): Row[] {
  const own = peakOf(ours.contestant.pid);
  if (own === undefined) return [];
  const others = peers.flatMap(({ contestant }): [string, number][] => {
    const peak = peakOf(contestant.pid);
    return peak === undefined ? [] : [[contestant.name, peak]];
  });
  const byName = (of: (peak: number) => number) =>
    Object.fromEntries(others.map(([name, peak]) => [name, rounded(of(peak))]));
  const least = Math.min(...others.map(([, peak]) => peak));
  return [
    {
      work: `${work}, memory`,
      device,
      unit: 'MB',
      ours: rounded(own),
      peers: byName((peak) => peak),
      ratio: others.length === 0 ? 0 : rounded(least / own),
      ratios: byName((peak) => peak / own),
      spread: [rounded(own), rounded(own)],
    },
  ];
}

/** The lines of a Markdown table that say what the columns are. */
export function header(peers: readonly Pick<Contestant, 'name'>[]): string {
  const names = [
    'work',
    'unit',
    'clip-in on',
    'clip-in',
    ...peers.map(({ name }) => name),
    'ratio',
    'of the limit',
    'others',
  ];
  return `| ${names.join(' | ')} |\n|${names.map((_, i) => (i < 3 ? ' --- |' : ' ---: |')).join('')}`;
}

/** A row as a line of a Markdown table; after each median, the quartiles. A peer that lacks the work has no number. */
export function line(row: Row, peers: readonly Pick<Contestant, 'name'>[]): string {
  const cell = (value: number | undefined, spread: readonly [number, number] | undefined) =>
    value === undefined ? '' : `${value}${spread ? ` (${spread[0]}–${spread[1]})` : ''}`;
  const cells = [
    cell(row.ours, row.spread),
    ...peers.map(({ name }) => cell(row.peers[name], row.peerSpreads?.[name])),
  ];
  const ratio = row.ratio === 0 ? '' : row.ratio.toFixed(2);
  const known = [row.work, row.unit, row.device, ...cells, ratio, percent(row.share), percent(row.taken)];
  return `| ${known.join(' | ')} |`;
}

/** A share, if it is known. */
export const percent = (share: number | undefined): string =>
  share === undefined ? '' : `${Math.round(100 * share)} %`;

/** Rows that have no peers in common, one a line, as a table of their own. */
export const plainTable = (rows: readonly Row[]): string =>
  [
    '| work | on | unit | clip-in | beside | ratio |\n| --- | --- | --- | ---: | --- | ---: |',
    ...rows.map(({ work, device, unit, ours, spread, peers, ratio, ratios }) => {
      const others = Object.entries(peers).map(([name, value]) => `${name} ${value}`);
      const beside = others.length > 0 ? others : Object.keys(ratios);
      const shown = ratio || Object.values(ratios)[0];
      const cells = [work, device, unit, `${ours} (${spread[0]}–${spread[1]})`, beside.join(', ')];
      return `| ${[...cells, shown === undefined ? '' : shown.toFixed(2)].join(' | ')} |`;
    }),
  ].join('\n');

function spreadOf(work: Work, { timing }: Measured): [number, number] {
  const [one, other] = timing.quartiles.map((seconds) => rounded(inUnit(work, seconds))) as [number, number];
  return one < other ? [one, other] : [other, one];
}

/** Records, one a line. */
export const json = (rows: readonly Row[]): string =>
  `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`;

function inUnit({ unit, amount = 0 }: Work, seconds: number): number {
  if (unit === 'ms') return seconds * 1000;
  return unit === 'images/s' ? amount / seconds : amount / seconds / 1e9;
}

/** Three digits. */
export const rounded = (value: number): number => Number(value.toPrecision(3));
