/** One program, every device: the same bits for integers and random numbers, float32 rounding for the rest. */
import type { Device } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { devices } from './devices.test-helpers';
import {
  argMax,
  attention,
  evaluate,
  jit,
  logSoftmax,
  normal,
  randomBits,
  randomKey,
  setDefaultDevice,
  softmax,
  splitKey,
  type Tensor,
  tensor,
  uniform,
  variance,
} from './index';
import { isFloat, type Plain } from './plain.test-helpers';
import { type Graph, randomGraph, runGraph, toTensor } from './random-graph.test-helpers';

const read = async (x: Tensor) => Array.from(await x.data());

function expectClose(found: number, expected: number): void {
  if (Number.isFinite(expected))
    expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-4 * (1 + Math.abs(expected)));
  else expect(found).toBe(expected);
}

/** Gradient descent on `½ |x w|²`, written out. */
function descend(steps: number): [number, number] {
  const rows = [
    [1, 2],
    [3, 4],
    [5, 6],
  ] as const;
  let [a, b] = [1, -1];
  for (let i = 0; i < steps; i++) {
    const errors = rows.map(([p, q]) => p * a + q * b);
    a -= 0.01 * rows.reduce((sum, [p], n) => sum + p * (errors[n] as number), 0);
    b -= 0.01 * rows.reduce((sum, [, q], n) => sum + q * (errors[n] as number), 0);
  }
  return [a, b];
}

/** Steps whose results jump where rounding moves their inputs, so that float32 cannot follow float64. */
const jumps = /^(floor|cast|less|lessEqual|equal|sin|cos|minimum exp|product|max|min|gather|where)/;

/** Graphs whose numbers stay of a size where float32 is close to float64. */
const isTame = ({ steps, values }: Graph): boolean =>
  steps.every(({ name, inputs, results }) => {
    if (!jumps.test(name)) return true;
    const given = inputs.map((number) => values[number] as Plain);
    const floats = [...given, ...results].filter(({ dtype }) => isFloat(dtype));
    // A cast between floats that rounds nothing.
    const [from, to] = floats;
    const keeps = floats.length === 2 && name.startsWith('cast') && `${from?.data}` === `${to?.data}`;
    return floats.length === 0 || keeps;
  }) &&
  values.every(
    ({ dtype, data }) => !isFloat(dtype) || data.every((v) => !Number.isFinite(v) || Math.abs(v) < 1e3),
  );

describe.each(Object.keys(devices))('%s', (name) => {
  let device: Device;
  beforeAll(async () => {
    device = await (devices[name] as () => Promise<Device>)();
    setDefaultDevice(device);
  });
  afterAll(() => device.destroy());

  test('random graphs equal nested loops, integers exactly', async () => {
    const graphs = fc
      .record({ seed: fc.nat(), steps: fc.integer({ min: 1, max: 12 }) })
      .map(({ seed, steps }) => ({
        graph: randomGraph(seed, steps),
        toString: () => `randomGraph(${seed}, ${steps})`,
      }))
      .filter(({ graph }) => isTame(graph));
    await checkProperty(
      fc.asyncProperty(graphs, async ({ graph }) => {
        const outputs = evaluate(runGraph(graph, graph.leaves.map(toTensor)));
        for (const [i, output] of outputs.entries()) {
          const [found, expected] = [await read(output), graph.values[graph.outputs[i] as number]];
          expect(found.length).toBe(expected?.data.length);
          if (!isFloat(output.dtype)) expect(found).toEqual(expected?.data);
          else for (const [n, v] of found.entries()) expectClose(v, expected?.data[n] as number);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('random bits are those of the published generator', async () => {
    expect(await Promise.all(splitKey(randomKey(0), 1).map(read))).toEqual([[0x6b200159, 0x99ba4efe]]);
    const bits = [2098992034, 2919706841, 2646866425, 2409546199, 1935504149];
    expect(await read(randomBits(randomKey(42), [5]))).toEqual(bits);
    expect(await read(uniform(randomKey(42), [5]))).toEqual(bits.map((b) => (b >>> 9) / 2 ** 23));
  });

  test('compositions', async () => {
    const x = normal(randomKey(5), [4, 6]);
    const q = normal(randomKey(6), [2, 5, 3, 4]);
    for (const one of [softmax(x).sum(-1), logSoftmax(x).exp().sum(-1)]) {
      for (const v of await read(one)) expectClose(v, 1);
    }
    // From the float64 reference.
    expectClose(await variance(x).item(), 0.768497110092845);
    const sums = await read(attention(q, q, q, { causal: true }).result.sum([1, 2, 3]));
    [-5.6834776183262425, -6.657330125312878].forEach((v, i) => {
      expectClose(sums[i] as number, v);
    });
    expect((await read(argMax(x))).every((i) => i >= 0 && i < 6)).toBe(true);
  });

  test('jit with donation, many steps', async () => {
    const step = jit((w: Tensor, x: Tensor) => w.sub(x.transpose().matmul(x.matmul(w)).mul(0.01)), {
      donate: [0],
    });
    const x = tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    let w = tensor([[1], [-1]]);
    for (let i = 0; i < 20; i++) w = step(w, x);
    const before = { ...device.memory };
    for (let i = 0; i < 20; i++) w = step(w, x);
    expect({ ...device.memory }).toEqual(before);
    const found = await read(w);
    descend(40).forEach((v, i) => {
      expectClose(found[i] as number, v);
    });
  });
});
