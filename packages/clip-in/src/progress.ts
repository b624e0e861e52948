/**
 * Progress of a long loop on standard error: on a terminal one line that is drawn over itself, elsewhere a plain line every
 * few seconds. It has no timer and no signal handler, so it neither keeps a process alive nor stands in the way of Ctrl-C.
 */

/** Where progress is shown; `process.stderr` is one. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Options of {@link startProgress}. */
export interface ProgressOptions {
  /** What is going on, such as `Stage 2`. */
  readonly title: string;
  /** Steps in all. Default: that is not known, and there is neither a bar nor a time left. */
  readonly total?: number;
  /** Steps that were done before, by the run that this one resumes. Default: 0. */
  readonly done?: number;
  /** Default: `process.stderr`, so that results on standard output can be piped. */
  readonly stream?: ProgressStream;
}

/** The progress of one loop. */
export interface Progress {
  /** Shows how far the loop is. @param examples - pictures or texts that were worked on since the last call */
  update(done: number, values?: { readonly loss?: number; readonly examples?: number }): void;
  /** Prints a line that stays, above the bar. */
  log(line: string): void;
  /** Shows the last state and ends the line. */
  stop(): void;
}

const TERMINAL_MS = 100;
const PLAIN_MS = 5_000;
/** Rates are those of the last while, so that they follow a machine that becomes slower. */
const WINDOW_MS = 15_000;
const BAR_CELLS = 24;

/** Begins to show progress. */
export function startProgress({
  title,
  total,
  done: start = 0,
  stream = process.stderr,
}: ProgressOptions): Progress {
  const terminal = stream.isTTY === true;
  let done = start;
  let examples = 0;
  let loss: number | undefined;
  let shownAt = -Infinity;
  let shownStep = -1;
  const marks: { time: number; done: number; examples: number }[] = [];

  /** Steps and examples a second, over the window; undefined before the second update. */
  const rates = () => {
    const [first, last] = [marks[0], marks.at(-1)];
    if (!first || !last || last.time === first.time) return undefined;
    const seconds = (last.time - first.time) / 1000;
    return {
      steps: (last.done - first.done) / seconds,
      examples: (last.examples - first.examples) / seconds,
    };
  };
  const line = (): string => {
    const rate = rates();
    const parts = [
      title,
      terminal && total !== undefined ? bar(total === 0 ? 1 : Math.min(1, done / total)) : undefined,
      total === undefined ? `${done}` : `${done}/${total}`,
      loss === undefined ? undefined : `loss ${loss.toFixed(4)}`,
      rate && rate.examples > 0 ? `${formatRate(rate.examples)}/s` : undefined,
      rate && rate.steps > 0 && total !== undefined && done < total
        ? `${formatDuration((total - done) / rate.steps)} left`
        : undefined,
    ];
    return parts.filter((part) => part !== undefined).join('  ');
  };
  const show = (): void => {
    shownAt = performance.now();
    shownStep = done;
    if (terminal) stream.write(`\r\x1b[K${line().slice(0, (stream.columns ?? 80) - 1)}`);
    else stream.write(`${line()}\n`);
  };

  return {
    update(now, values = {}) {
      done = now;
      examples += values.examples ?? 0;
      loss = values.loss ?? loss;
      const time = performance.now();
      marks.push({ time, done, examples });
      while (marks.length > 2 && time - marks[0]!.time > WINDOW_MS) marks.shift();
      if (time - shownAt >= (terminal ? TERMINAL_MS : PLAIN_MS)) show();
    },
    log(text) {
      stream.write(terminal ? `\r\x1b[K${text}\n` : `${text}\n`);
      if (terminal && shownStep >= 0) show();
    },
    stop() {
      if (shownStep !== done || terminal) show();
      if (terminal) stream.write('\n');
    },
  };
}

/** Seconds as `9s`, `4m 05s` or `2h 03m`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const padded = (value: number) => String(value).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${padded(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${padded(Math.floor((whole % 3600) / 60))}m`;
}

const formatRate = (rate: number): string => (rate >= 10 ? `${Math.round(rate)}` : rate.toFixed(1));

function bar(share: number): string {
  const filled = Math.round(share * BAR_CELLS);
  return '█'.repeat(filled) + '░'.repeat(BAR_CELLS - filled);
}
