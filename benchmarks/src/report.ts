/** Rows of results, as a table for people and as records for programs. */
import type { Timing } from './harness';
import type { Library } from './library';
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
}

/** A library and how long it took. */
export interface Measured {
  readonly library: Library;
  readonly timing: Timing;
}

/** The row of one of our devices beside the peers. */
export function rowOf(work: Work, ours: Measured, peers: readonly Measured[]): Row {
  const fastest = Math.min(...peers.map(({ timing }) => timing.median));
  const value = ({ timing }: Measured) => rounded(inUnit(work, timing.median));
  return {
    work: work.name,
    device: `wasm, ${ours.library.threads} ${ours.library.threads === 1 ? 'thread' : 'threads'}`,
    unit: work.unit,
    ours: value(ours),
    peers: Object.fromEntries(peers.map((peer) => [peer.library.name, value(peer)])),
    ratio: rounded(fastest / ours.timing.median),
  };
}

/** The lines of a Markdown table that say what the columns are. */
export function header(peers: readonly Library[]): string {
  const names = ['work', 'unit', 'clip-in on', 'clip-in', ...peers.map(({ name }) => name), 'ratio'];
  return `| ${names.join(' | ')} |\n|${names.map((_, i) => (i < 3 ? ' --- |' : ' ---: |')).join('')}`;
}

/** A row as a line of a Markdown table; after each median, the quartiles. */
export function line(work: Work, ours: Measured, peers: readonly Measured[]): string {
  const row = rowOf(work, ours, peers);
  const cells = [ours, ...peers].map(({ timing }) => {
    const [low, high] = timing.quartiles.map((seconds) => inUnit(work, seconds)).sort((a, b) => a - b) as [
      number,
      number,
    ];
    return `${rounded(inUnit(work, timing.median))} (${rounded(low)}–${rounded(high)})`;
  });
  return `| ${[row.work, row.unit, row.device, ...cells, row.ratio.toFixed(2)].join(' | ')} |`;
}

/** Records, one a line. */
export const json = (rows: readonly Row[]): string =>
  `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`;

const inUnit = ({ unit, operations = 0 }: Work, seconds: number): number =>
  unit === 'ms' ? seconds * 1000 : operations / seconds / 1e9;

const rounded = (value: number): number => Number(value.toPrecision(3));
