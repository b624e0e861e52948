/** What fuses: the number of kernels, their buffers, and that huge graphs take linear work. */
import { createReferenceDevice, type DeviceLimits } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { attentionBackward } from '../attention';
import {
  concatenate,
  evaluate,
  logSoftmax,
  normal,
  randomKey,
  setDefaultDevice,
  softmax,
  type Tensor,
  tensor,
  variance,
  zeros,
} from '../index';
import { randomGraph, runGraph, toTensor } from '../random-graph.test-helpers';
import { schedule } from './schedule';

const limits: DeviceLimits = { kernelBuffers: 8, bufferBytes: 2 ** 30 };

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

const leaf = (...shape: number[]): Tensor => evaluate(zeros(shape).add(1));
const kernels = (...outputs: Tensor[]) => schedule(outputs, limits);
const count = (...outputs: Tensor[]) => kernels(...outputs).length;

const gelu = (x: Tensor): Tensor => x.mul(0.5).mul(x.div(Math.SQRT2).erf().add(1));
const layerNorm = (x: Tensor, gain: Tensor, bias: Tensor): Tensor => {
  const centered = x.sub(x.mean(-1, { keepDims: true }));
  const spread = centered.square().mean(-1, { keepDims: true }).add(1e-5).sqrt();
  return centered.div(spread).mul(gain).add(bias);
};

describe('kernels', () => {
  test('a chain of elementwise work is one', () => {
    const [x, y] = [leaf(4, 5), leaf(5)];
    expect(count(x.add(y).exp().mul(x).sin().div(2).transpose().neg())).toBe(1);
  });

  test('elementwise work goes into a reduction and follows it', () => {
    const x = leaf(4, 5);
    expect(count(x.exp().mul(2).sum(1).sqrt().add(1))).toBe(1);
  });

  test('bias and gelu follow a matrix product, transposes go before it', () => {
    const [x, w, b] = [leaf(2, 3, 4), leaf(6, 4), leaf(6)];
    const [only, ...others] = kernels(gelu(x.matmul(w.transpose()).add(b)));
    expect(others).toEqual([]);
    expect(only?.kernel).toMatchObject({
      kind: 'matmul',
      m: 6,
      n: 6,
      k: 4,
      b: { index: { strides: [1, 4] } },
    });
  });

  test('layerNorm takes 3', () => {
    expect(count(layerNorm(leaf(6, 8), leaf(8), leaf(8)))).toBeLessThanOrEqual(3);
  });

  test('layerNorm of a residual sum takes 4', () => {
    expect(
      count(layerNorm(leaf(6, 8).add(leaf(6, 8)).add(leaf(6, 8)), leaf(8), leaf(8))),
    ).toBeLessThanOrEqual(4);
  });

  test('softmax takes 4, logSoftmax 3', () => {
    expect(count(softmax(leaf(6, 8)))).toBeLessThanOrEqual(4);
    expect(count(logSoftmax(leaf(6, 8)))).toBeLessThanOrEqual(3);
  });

  test('variance takes 2', () => {
    expect(count(variance(leaf(6, 8), 1))).toBeLessThanOrEqual(2);
  });

  test('a normal sample takes few', () => {
    expect(count(normal(evaluate(randomKey(1)), [100]))).toBeLessThanOrEqual(4);
  });

  test('attention reads through transposes and makes both results', () => {
    const x = leaf(2, 3, 24).reshape([2, 3, 3, 2, 4]);
    const part = (i: number) => x.slice([], [], [i, i + 1]).reshape([2, 3, 2, 4]);
    const steps = kernels(part(0).mul(2), part(1));
    expect(steps).toHaveLength(2);
  });

  test('broadcasts are not stored', () => {
    const [x, y] = [leaf(7, 1), leaf(1, 9)];
    const steps = kernels(x.expand([7, 9]).add(y).sum());
    expect(steps).toHaveLength(1);
    expect(count(x.expand([7, 9]).matmul(y.expand([9, 9])))).toBe(1);
  });

  test('costly work is not repeated along a broadcast axis', () => {
    const x = leaf(7, 1);
    const steps = kernels(x.exp().sin().expand([7, 900]).add(leaf(7, 900)));
    expect(steps.map(({ outputs }) => outputs[0]?.shape)).toEqual([
      [7, 1],
      [7, 900],
    ]);
  });

  test('costly work that several kernels read is stored once', () => {
    const y = leaf(5, 5).exp().tanh();
    expect(count(y.sum(0), y.sum(1), y.add(1))).toBe(4);
  });

  test('a value seen shifted, again and again, does not double the work each time', () => {
    let y = leaf(64);
    for (let i = 0; i < 40; i++) y = y.add(y.slice([1]).pad([[0, 1]]));
    const instructions = kernels(y).map(({ kernel }) => (kernel.kind === 'loop' ? kernel.program.length : 0));
    expect(Math.max(...instructions)).toBeLessThan(100);
    expect(instructions.length).toBeLessThanOrEqual(40);
  });

  test('too many buffers for one kernel are split', () => {
    const parts = Array.from({ length: 30 }, () => leaf(2, 3));
    const steps = [
      ...kernels(parts.reduce((sum, x) => sum.add(x))),
      ...kernels(concatenate(parts, 1)),
      ...kernels(parts.reduce((sum, x) => sum.add(x)).sum(1)),
    ];
    for (const { inputs, outputs } of steps) {
      expect(new Set([...inputs, ...outputs]).size).toBeLessThanOrEqual(limits.kernelBuffers);
    }
    expect(steps.length).toBeLessThan(20);
  });

  test('the derivative of attention is scheduled whole, whatever a kernel may touch', () => {
    const tokens = () => leaf(1, 2, 2, 4);
    const operands = { query: tokens(), key: tokens(), value: tokens() };
    const saved = { ...operands, result: tokens(), logSumExp: leaf(1, 2, 2) };
    expect(kernels(...attentionBackward(saved, tokens()))).toHaveLength(1);
  });

  test('any graph fits any device of at least 5 buffers', () => {
    const seeds = fc.record({ seed: fc.nat(), buffers: fc.integer({ min: 5, max: 8 }) });
    checkProperty(
      fc.property(seeds, ({ seed, buffers }) => {
        const graph = randomGraph(seed, 30);
        const outputs = runGraph(graph, graph.leaves.map(toTensor));
        for (const { inputs, outputs: made } of schedule(outputs, { ...limits, kernelBuffers: buffers })) {
          expect(new Set([...inputs, ...made]).size).toBeLessThanOrEqual(buffers);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('graphs of 100,000 nodes', () => {
  const many = 100_000;
  const ends: Record<string, () => Tensor> = {
    'a chain': () => {
      let y = leaf(2);
      for (let i = 0; i < many; i++) y = y.add(1);
      return y;
    },
    'a chain of movement': () => {
      let y = leaf(2, 3);
      for (let i = 0; i < many; i++) y = y.transpose();
      return y;
    },
    'a wide sum': () => {
      const x = leaf(2);
      let level = Array.from({ length: many / 4 }, (_, i) => x.mul(i));
      while (level.length > 1) {
        const pairs = Array.from({ length: Math.ceil(level.length / 2) }, (_, i) =>
          level.slice(2 * i, 2 * i + 2),
        );
        level = pairs.map(([a, b]) => (b ? (a as Tensor).add(b) : (a as Tensor)));
      }
      return level[0] as Tensor;
    },
  };

  test.each(Object.keys(ends))('%s is scheduled with work in proportion', (name) => {
    const steps = kernels((ends[name] as () => Tensor)());
    const instructions = steps.reduce(
      (sum, { kernel }) => sum + (kernel.kind === 'loop' ? kernel.program.length : 0),
      0,
    );
    expect(steps.length).toBeLessThan(many / 50);
    expect(instructions).toBeLessThan(2 * many);
  });

  test('a chain has the right value', async () => {
    let y = tensor([0, 1]);
    for (let i = 0; i < many; i++) y = y.add(1);
    expect(Array.from(await y.data())).toEqual([many, many + 1]);
  });
});
