/** Rows of results, as a table for people and as records for programs. */
import type { Timing } from './harness';
import type { Library } from './library';
import type { Limit } from './limit';
import type { Work } from './works/work';

/** One row, as `--json` writes it. */
export interface Row {
  readonly work: string;
  /** Ours; the peers' is WebAssembly with one thread. */
  readonly device: string;
  readonly unit: 'GFLOP/s' | 'ms';
  /** Median. */
  readonly ours: number;
  /** Medians by name. */
  readonly peers: Readonly<Record<string, number>>;
  /** How many times as fast as the fastest peer ours is: above 1, ours is faster. */
  readonly ratio: number;
  /** Quartiles of ours, in the unit, the lower number first. */
  readonly spread: readonly [number, number];
  /** Ours over the measured limit of multiply-adds of as many cores as ours has threads; for `GFLOP/s` alone. */
  readonly share?: number;
}

/** A library and how long it took. */
export interface Measured {
  readonly library: Library;
  readonly timing: Timing;
}

/** The row of one of our devices beside the peers. */
export function rowOf(work: Work, ours: Measured, peers: readonly Measured[], limit: Limit): Row {
  const fastest = Math.min(...peers.map(({ timing }) => timing.median));
  const value = ({ timing }: Measured) => rounded(inUnit(work, timing.median));
  return {
    work: work.name,
    device: `wasm, ${ours.library.threads} ${ours.library.threads === 1 ? 'thread' : 'threads'}`,
    unit: work.unit,
    ours: value(ours),
    peers: Object.fromEntries(peers.map((peer) => [peer.library.name, value(peer)])),
    ratio: rounded(fastest / ours.timing.median),
    spread: spreadOf(work, ours),
    ...(work.unit === 'GFLOP/s' && {
      share: rounded(inUnit(work, ours.timing.median) / (limit.flops * ours.library.threads)),
    }),
  };
}

/** The lines of a Markdown table that say what the columns are. */
export function header(peers: readonly Library[]): string {
  const names = [
    'work',
    'unit',
    'clip-in on',
    'clip-in',
    ...peers.map(({ name }) => name),
    'ratio',
    'of the limit',
  ];
  return `| ${names.join(' | ')} |\n|${names.map((_, i) => (i < 3 ? ' --- |' : ' ---: |')).join('')}`;
}

/** A row as a line of a Markdown table; after each median, the quartiles. */
export function line(work: Work, row: Row, measured: readonly Measured[]): string {
  const cells = measured.map((one) => {
    const [low, high] = spreadOf(work, one);
    return `${rounded(inUnit(work, one.timing.median))} (${low}–${high})`;
  });
  const share = row.share === undefined ? '' : `${Math.round(100 * row.share)} %`;
  return `| ${[row.work, row.unit, row.device, ...cells, row.ratio.toFixed(2), share].join(' | ')} |`;
}

function spreadOf(work: Work, { timing }: Measured): [number, number] {
  const [one, other] = timing.quartiles.map((seconds) => rounded(inUnit(work, seconds))) as [number, number];
  return one < other ? [one, other] : [other, one];
}

/** Records, one a line. */
export const json = (rows: readonly Row[]): string =>
  `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`;

const inUnit = ({ unit, operations = 0 }: Work, seconds: number): number =>
  unit === 'ms' ? seconds * 1000 : operations / seconds / 1e9;

const rounded = (value: number): number => Number(value.toPrecision(3));
