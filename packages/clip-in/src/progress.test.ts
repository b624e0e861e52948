import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { formatDuration, startProgress } from './progress';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function recorder(terminal: boolean, columns = 120) {
  const written: string[] = [];
  return { written, isTTY: terminal, columns, write: (text: string) => written.push(text) };
}

it('draws one line over itself on a terminal, with loss, rate and time left', () => {
  const stream = recorder(true);
  const progress = startProgress({ title: 'Stage 2', total: 40, stream });
  for (let step = 1; step <= 20; step++) {
    vi.advanceTimersByTime(500);
    progress.update(step, { loss: 4 - step / 10, examples: 96 });
  }
  expect(stream.written.every((text) => text.startsWith('\r\x1b[K') && !text.includes('\n'))).toBe(true);
  expect(stream.written.at(-1)).toBe(
    '\r\x1b[KStage 2  ████████████░░░░░░░░░░░░  20/40  loss 2.0000  192/s  10s left',
  );
  progress.stop();
  expect(stream.written.at(-1)).toBe('\n');
});

it('is not drawn more often than an eye can follow, and fits the terminal', () => {
  const stream = recorder(true, 30);
  const progress = startProgress({ title: 'Stage 1', total: 1000, stream });
  for (let step = 1; step <= 1000; step++) {
    vi.advanceTimersByTime(1);
    progress.update(step, { loss: 1 });
  }
  expect(stream.written.length).toBeLessThan(15);
  for (const text of stream.written) expect(text.replace('\r\x1b[K', '').length).toBeLessThan(30);
});

it('prints plain lines every few seconds elsewhere, and the last state once', () => {
  const stream = recorder(false);
  const progress = startProgress({ title: 'Stage 2', total: 100, done: 50, stream });
  for (let step = 51; step <= 100; step++) {
    vi.advanceTimersByTime(400);
    progress.update(step, { loss: 1.5, examples: 10 });
  }
  progress.log('saved');
  progress.stop();
  expect(stream.written).toEqual([
    'Stage 2  51/100  loss 1.5000\n',
    'Stage 2  64/100  loss 1.5000  25/s  14s left\n',
    'Stage 2  77/100  loss 1.5000  25/s  9s left\n',
    'Stage 2  90/100  loss 1.5000  25/s  4s left\n',
    'saved\n',
    'Stage 2  100/100  loss 1.5000  25/s\n',
  ]);
});

it('follows a machine that becomes slower', () => {
  const stream = recorder(false);
  const progress = startProgress({ title: 'x', total: 1000, stream });
  let step = 0;
  const run = (steps: number, ms: number) => {
    for (const end = step + steps; step < end; ) {
      vi.advanceTimersByTime(ms);
      progress.update(++step, { examples: 1 });
    }
  };
  run(300, 100);
  run(30, 1000);
  expect(stream.written.at(-1)).toContain('1.0/s  11m');
});

it('prints a line above the bar, and copes with nothing to do', () => {
  const stream = recorder(true);
  const progress = startProgress({ title: 'x', total: 0, stream });
  progress.log('hello');
  expect(stream.written).toEqual(['\r\x1b[Khello\n']);
  progress.stop();
  expect(stream.written[1]).toBe('\r\x1b[Kx  ████████████████████████  0/0');
});

it('writes durations as people do', () => {
  expect([0.4, 59.6, 61, 3599, 3600, 90_061, -3].map(formatDuration)).toEqual([
    '0s',
    '1m 00s',
    '1m 01s',
    '59m 59s',
    '1h 00m',
    '25h 01m',
    '0s',
  ]);
});

it('counts where the number of steps is not known', () => {
  const stream = recorder(true);
  const progress = startProgress({ title: 'Pictures', stream });
  progress.update(2, { examples: 2 });
  vi.advanceTimersByTime(1000);
  progress.update(6, { examples: 4 });
  expect(stream.written.at(-1)).toBe('\r\x1b[KPictures  6  4.0/s');
});
