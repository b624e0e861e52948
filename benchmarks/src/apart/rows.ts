/** What is measured apart, as rows: memory, the host's cost, and how a step grows. */
import { type Row, rounded } from '../report';
import { measureApart } from './apart';
import type { GrowthPoint } from './growth';
import type { HostCost } from './host';
import type { MemoryOfStep } from './memory';

/** Peak of the device's memory in a step; the peer is what must be live. */
export async function memoryRows(): Promise<Row[]> {
  const steps = await measureApart<MemoryOfStep[]>('memory');
  return steps.map(({ work, peak, live }) =>
    single(`memory peak, ${work}`, 'wasm', 'MB', [peak], 'what is live', live),
  );
}

/** Microseconds of the host for a replayed kernel; the peer is a bare loop. */
export async function hostRows(): Promise<Row[]> {
  const { kernels, replayed, bare } = await measureApart<HostCost>('host');
  const name = `host cost of each of ${kernels} replayed kernels`;
  return [single(name, "host, Dawn's null backend", 'µs', replayed, 'bare loop', bare[0])];
}

/** Milliseconds of a step for each size, and how it compares with the size before by the operations that are needed. */
export async function growthRows(): Promise<Row[]> {
  const points = await measureApart<GrowthPoint[]>('growth');
  return points.map(({ axis, size, milliseconds, quartiles, operations }, i) => {
    const before = points[i - 1];
    const rate = (point: { operations: number; milliseconds: number }) =>
      point.operations / point.milliseconds / 1e6;
    const own = rate({ operations, milliseconds });
    return {
      ...single(`growth with ${axis}: ${size}`, 'wasm', 'ms', [milliseconds, ...quartiles]),
      growth: { axis, size, rate: rounded(own) },
      ...(before?.axis === axis && { ratios: { 'rate of the size before': rounded(own / rate(before)) } }),
    };
  });
}

function single(
  work: string,
  device: string,
  unit: string,
  [median, low = median, high = median]: readonly number[],
  peer?: string,
  value = 0,
): Row {
  const ratio = peer === undefined ? 0 : rounded(value / (median as number));
  return {
    work,
    device,
    unit,
    ours: rounded(median as number),
    peers: peer === undefined ? {} : { [peer]: rounded(value) },
    ratio,
    ratios: peer === undefined ? {} : { [peer]: ratio },
    spread: [rounded(low as number), rounded(high as number)],
  };
}
