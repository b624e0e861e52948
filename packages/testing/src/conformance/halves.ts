/** Every half through kernels: widened, rounded back, and moved, with the numbers on both sides of every rounding. */
import { type Device, decodeF16, type Instruction, roundToF16, type TypedArray } from '@clipin/kernel';
import { runLaunches } from './run-case';

const index = { offset: 0, strides: [1] };
const halves = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);

/** The middle of each half and the next, and the f32 next to it on both sides. */
function aroundMiddles(): Float32Array {
  const values = decodeF16(halves);
  const found = new Float32Array(6 * 0x7c00);
  const bits = new Int32Array(found.buffer);
  for (let half = 0; half < 0x7c00; half++) {
    const next = half === 0x7bff ? 65536 : (values[half + 1] as number);
    for (const [at, sign] of [6 * half, 6 * half + 3].map((at, i) => [at, i === 0 ? 1 : -1] as const)) {
      found.fill((sign * ((values[half] as number) + next)) / 2, at, at + 3);
      bits[at] = (bits[at] as number) - 1;
      bits[at + 2] = (bits[at + 2] as number) + 1;
    }
  }
  return found;
}

/** Loads input 0, does one thing to it or nothing, stores it. */
async function through(
  device: Device,
  from: 'f32' | 'f16',
  to: 'f32' | 'f16',
  data: TypedArray,
): Promise<TypedArray> {
  const load: Instruction = { op: 'load', dtype: from, input: 0, index, guards: [] };
  const cast: Instruction = { op: 'cast', dtype: to, args: [0] };
  const program = from === to ? [load] : [load, cast];
  const [output] = await runLaunches(
    device,
    [
      {
        kernel: { kind: 'loop', axes: [data.length], program, stores: [program.length - 1] },
        ...{ inputs: [0], inputTypes: [from], outputs: [1], outputTypes: [to] },
      },
    ],
    [
      { dtype: from, data },
      { dtype: to, data: new Float32Array(data.length) },
    ],
    [1],
  );
  return output as TypedArray;
}

function compareAll(what: string, given: TypedArray, came: TypedArray, wanted: (value: number) => number) {
  for (let i = 0; i < given.length; i++) {
    const [value, expected] = [given[i] as number, wanted(given[i] as number)];
    if (!Object.is(came[i], expected))
      throw new Error(`${what} ${value} gave ${came[i]}, expected ${expected}`);
  }
}

/** Conversions are exact for all halves, and round to nearest even for the numbers where that is decided. */
export async function checkEveryHalf(device: Device, ieee: boolean): Promise<void> {
  const all = decodeF16(halves).filter((value) => ieee || Number.isFinite(value));
  const same = (value: number) => value;
  compareAll('widening', all, await through(device, 'f16', 'f32', all), same);
  compareAll('rounding', all, await through(device, 'f32', 'f16', all), same);
  compareAll('moving', all, await through(device, 'f16', 'f16', all), same);
  const middles = aroundMiddles();
  compareAll('rounding', middles, await through(device, 'f32', 'f16', middles), roundToF16);
}
