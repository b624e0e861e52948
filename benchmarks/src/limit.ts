/** What this machine can do at most in WebAssembly, on one core and on all: the limits that results are held against. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Limits of some cores. */
export interface Limit {
  /** GFLOP/s of a loop of SIMD multiply-adds on registers alone. */
  readonly flops: number;
  /** GB/s of a copy too large for the caches, bytes read and bytes written both counted. */
  readonly bytes: number;
  /** Whether the loop could use relaxed SIMD, which rounds once for a multiplication and an addition. */
  readonly fused: boolean;
}

/** As many running sums as hide the latency of a multiply-add and still fit sixteen registers with the factors. */
const sums = 12;
const iterations = 1_000_000;
const lanes = 4;
const copiedBytes = 64 * 2 ** 20;
/** Cores that are measured together start so far apart at most. */
const secondsEach = 0.7;

/** V8's flags for relaxed SIMD: none where WebAssembly has it anyway. */
export const relaxedSimdFlags = (): readonly string[] =>
  WebAssembly.validate(multiplyAddModule(true)) ? [] : ['--experimental-wasm-relaxed-simd'];

const script = fileURLToPath(new URL('limit-of-core.ts', import.meta.url));

/** Measures one core, then so many at once, a process each. */
export async function measureLimits(cores: number): Promise<{ one: Limit; all: Limit }> {
  const measure = async (): Promise<Limit> => {
    const args = [...process.execArgv, ...relaxedSimdFlags(), script];
    return JSON.parse((await promisify(execFile)(process.execPath, args)).stdout) as Limit;
  };
  const one = await measure();
  const together = await Promise.all(Array.from({ length: cores }, measure));
  const total = (of: 'flops' | 'bytes') => together.reduce((sum, each) => sum + each[of], 0);
  return { one, all: { ...one, flops: total('flops'), bytes: Math.max(one.bytes, total('bytes')) } };
}

/** Measures the core that this process is on, the best of many short rounds: a limit is what it reaches undisturbed. */
export function measureCore(): Limit {
  const fusedModule = multiplyAddModule(true);
  const fused = WebAssembly.validate(fusedModule);
  const instance = new WebAssembly.Instance(
    new WebAssembly.Module(fused ? fusedModule : multiplyAddModule(false)),
  );
  const loop = instance.exports.loop as (count: number) => void;
  const source = new Uint8Array(copiedBytes).fill(1);
  const target = new Uint8Array(copiedBytes);
  return {
    flops: (2 * lanes * sums * iterations) / bestSeconds(() => loop(iterations)) / 1e9,
    bytes: (2 * copiedBytes) / bestSeconds(() => target.set(source)) / 1e9,
    fused,
  };
}

function bestSeconds(run: () => void): number {
  let best = Infinity;
  const begin = performance.now();
  do {
    const start = performance.now();
    run();
    best = Math.min(best, performance.now() - start);
  } while (performance.now() - begin < 1000 * secondsEach);
  return best / 1000;
}

/** `loop(count: i32)`: count times `sum[i] = left * right + sum[i]` for every sum, then sums that one can see. */
function multiplyAddModule(fused: boolean): Uint8Array<ArrayBuffer> {
  const [left, right, first] = [1, 2, 3]; // locals; 0 is the count
  const splat = (local: number, bytes: number[]) => [0x43, ...bytes, 0xfd, 0x13, 0x21, local]; // f32.const, splat, set
  const step = (sum: number) =>
    fused
      ? [0x20, left, 0x20, right, 0x20, sum, 0xfd, 0x85, 0x02, 0x21, sum] // f32x4.relaxed_madd
      : [0x20, left, 0x20, right, 0xfd, 0xe6, 0x01, 0x20, sum, 0xfd, 0xe4, 0x01, 0x21, sum]; // f32x4.mul, f32x4.add
  const all = Array.from({ length: sums }, (_, i) => first + i);
  const body = [
    ...[1, sums + 2, 0x7b], // locals: v128
    ...splat(left, [0, 0, 0x80, 0x3f]),
    ...splat(right, [0, 0, 0, 0x3f]),
    ...[0x03, 0x40], // loop
    ...all.flatMap(step),
    ...[0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b], // count - 1; again unless 0; end
    ...[0x20, first, ...all.slice(1).flatMap((sum) => [0x20, sum, 0xfd, 0xe4, 0x01])], // their total
    ...[0xfd, 0x1f, 0, 0x0b], // f32x4.extract_lane 0, end
  ];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, 0x7f, 1, 0x7d]), // (i32) -> f32
    ...section(3, [1, 0]),
    ...section(7, [1, 4, ...new TextEncoder().encode('loop'), 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ]);
}

const section = (id: number, content: number[]): number[] => [id, ...leb(content.length), ...content];
const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);
