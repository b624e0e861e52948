/** What fuses: the number of kernels, their buffers, and that huge graphs take linear work. */
import { createReferenceDevice, type DeviceLimits, type Kernel, type RowKernel } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { attentionBackward } from '../attention';
import {
  concatenate,
  evaluate,
  logSoftmax,
  normal,
  oneHot,
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

const limits: DeviceLimits = { kernelBuffers: 8, bufferBytes: 2 ** 30, operandBlock: 0 };

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
    const steps = kernels(y.sum(0), y.sum(1), y.add(1));
    expect(steps.map(({ outputs }) => outputs.length)).toEqual([2, 1, 1]); // y and y + 1 together
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

describe('kernels of rows', () => {
  const rows = (kernel: Kernel | undefined): RowKernel => {
    if (kernel?.kind !== 'row') throw new Error(`${kernel?.kind} is not a kernel of rows`);
    return kernel;
  };
  const kinds = (...outputs: Tensor[]) => kernels(...outputs).map(({ kernel }) => kernel.kind);

  test('softmax, logSoftmax, layerNorm and variance are one', () => {
    for (const make of [softmax, logSoftmax, (x: Tensor) => layerNorm(x, leaf(8), leaf(8))]) {
      const [step, ...others] = kernels(make(leaf(6, 8)));
      expect(others).toEqual([]);
      expect(rows(step?.kernel)).toMatchObject({ axes: [6], row: [8], rowStores: [] });
      expect(rows(step?.kernel).folds).toHaveLength(2);
    }
    expect(kinds(variance(leaf(6, 8), 1))).toEqual(['row']);
  });

  test('over two axes, of a tensor of any rank, in any order of the axes before them', () => {
    const x = leaf(3, 2, 4, 5);
    const [step, ...others] = kernels(
      x.transpose([1, 0, 2, 3]).sub(x.transpose([1, 0, 2, 3]).mean([2, 3], { keepDims: true })),
    );
    expect(others).toEqual([]);
    expect(rows(step?.kernel)).toMatchObject({ axes: [2, 3], row: [20] });
  });

  test('a residual sum is stored beside the layerNorm of it, and what its derivative reads', () => {
    const x = leaf(6, 8).add(leaf(6, 8)).add(leaf(6, 8));
    const mean = x.mean(-1);
    const [step, ...others] = kernels(layerNorm(x, leaf(8), leaf(8)), x, mean);
    expect(others).toEqual([]);
    expect(rows(step?.kernel).stores).toHaveLength(2);
    expect(step?.outputs.map(({ shape }) => shape)).toEqual([[6, 8], [6, 8], [6]]);
  });

  test('cross-entropy takes one and its mean another', () => {
    const labels = leaf(6).cast('i32');
    const loss = logSoftmax(leaf(6, 8)).mul(oneHot(labels, 8)).sum(1);
    const [step] = kernels(loss);
    expect(rows(step?.kernel)).toMatchObject({ stores: [], rowStores: [expect.any(Number)] });
    expect(kinds(loss.mean())).toEqual(['row', 'loop']);
  });

  test('folds that are alike are computed once', () => {
    const x = leaf(6, 8);
    const [step] = kernels(x.sub(x.max(1, { keepDims: true })).div(x.max(1, { keepDims: true })));
    expect(rows(step?.kernel).folds).toHaveLength(1);
  });

  test('columns, and rows of something else, stay apart', () => {
    const x = leaf(90, 90);
    expect(kinds(x.sub(x.sum(0)))).not.toContain('row');
    expect(kinds(x.sub(x.sum(1)))).not.toContain('row');
    expect(kinds(x.sub(x.sum(1).flip(0).expandDims(1)))).not.toContain('row');
  });

  test('rows too long for a cache, or too few for the threads, stay apart', () => {
    const centered = (x: Tensor) => x.sub(x.mean(-1, { keepDims: true }));
    expect(kinds(centered(leaf(40, 2 ** 14)))).toEqual(['row']);
    expect(kinds(centered(leaf(40, 2 ** 14 + 1)))).not.toContain('row');
    expect(kinds(centered(leaf(4, 2 ** 13)))).not.toContain('row');
    expect(kinds(centered(leaf(4, 2 ** 12)))).toEqual(['row']);
  });

  test('a step in between that others wait for keeps them apart', () => {
    const x = leaf(6, 8);
    const total = x.sum(1, { keepDims: true });
    const product = total.matmul(leaf(1, 8));
    expect(kinds(product, x.div(total))).toEqual(['loop', 'matmul', 'loop']);
  });

  test('no more buffers than the device allows', () => {
    const parts = Array.from({ length: 7 }, () => leaf(6, 8));
    const x = parts.reduce((sum, part) => sum.add(part));
    for (const { inputs, outputs } of kernels(layerNorm(x, leaf(8), leaf(8)), x))
      expect(new Set([...inputs, ...outputs]).size).toBeLessThanOrEqual(limits.kernelBuffers);
  });
});

describe('kernels with several results', () => {
  const sizes = (steps: ReturnType<typeof kernels>) => steps.map(({ outputs }) => outputs.length);

  test("AdamW's averages and parameter are one", () => {
    const [p, g, m, v] = [leaf(4, 5), leaf(4, 5), leaf(4, 5), leaf(4, 5)];
    const mean = m.mul(0.9).add(g.mul(0.1));
    const variance = v.mul(0.99).add(g.square().mul(0.01));
    const [step, ...others] = kernels(mean, variance, p.sub(mean.div(variance.sqrt().add(1e-8))));
    expect(others).toEqual([]);
    expect(step?.inputs).toHaveLength(4);
    expect(new Set(step?.outputs.slice(0, 2))).toEqual(new Set([mean, variance]));
  });

  test('a product stores what it is before an activation, too, and the activation of each layout', () => {
    const [x, w, b] = [leaf(2, 3, 4), leaf(4, 6), leaf(6)];
    const before = x.matmul(w).add(b);
    const [step, ...others] = kernels(before, gelu(before).reshape([2, 3, 2, 3]));
    expect(others).toEqual([]);
    expect(step?.kernel).toMatchObject({ kind: 'matmul', m: 6, n: 6 });
    expect(step?.outputs).toHaveLength(2);
  });

  test('a reduction stores what follows it in steps', () => {
    const mean = leaf(3, 7).mean(1);
    expect(sizes(kernels(mean, mean.exp()))).toEqual([2]);
  });

  test('what is read elsewhere than at its own element stays apart', () => {
    const y = leaf(5, 5).exp();
    expect(sizes(kernels(y, y.transpose().mul(2)))).toEqual([1, 1]);
    expect(sizes(kernels(y, y.flip(0)))).toEqual([1, 1]);
    expect(
      sizes(
        kernels(
          y,
          y
            .slice([1])
            .pad([
              [0, 1],
              [0, 0],
            ])
            .mul(2),
        ),
      ),
    ).toEqual([1, 1]);
  });

  test('a step between them that reads the first and is read by the second keeps them apart', () => {
    const y = leaf(5, 5).exp();
    expect(sizes(kernels(y, y.add(y.sum(0))))).toEqual([1, 1, 1]);
  });

  test('one between them that only waits does not', () => {
    const [x, y] = [leaf(5, 5), leaf(5, 5).exp()];
    const total = y.sum(0);
    expect(sizes(kernels(y, total, y.add(x)))).toEqual([2, 1]);
  });

  test('two with more buffers than the device allows stay two', () => {
    const parts = Array.from({ length: 6 }, () => leaf(2, 3));
    const y = parts.reduce((sum, x) => sum.add(x)).exp();
    expect(sizes(kernels(y, y.add(1)))).toEqual([2]);
    expect(sizes(kernels(y, y.add(leaf(2, 3))))).toEqual([1, 1]);
  });
});

describe('what a product keeps for later', () => {
  let x: Tensor, w: Tensor, b: Tensor, w2: Tensor;
  beforeAll(() => {
    [x, w, b, w2] = [leaf(8, 4), leaf(4, 6), leaf(6), leaf(6, 4)];
  });
  const product = () => x.matmul(w).add(b);
  /** What is computed only after `h` has gone through other products. */
  const later = (h: Tensor, of: (seed: Tensor) => Tensor) => of(h.matmul(w2).matmul(w2.transpose()));
  const costly = ({ kernel }: ReturnType<typeof kernels>[number]) =>
    'program' in kernel && kernel.program.some(({ op }) => op === 'exp' || op === 'erf');

  test('is the one thing that is computed of it later, and not itself', () => {
    const y = product();
    const h = gelu(y);
    const factor = y.square().neg().exp();
    const back = later(h, (seed) => seed.mul(factor));
    const steps = kernels(back, back.sum(0));
    expect(steps[0]?.outputs).toEqual([h, factor]);
    expect(steps.map(costly)).toEqual([true, false, false, false]);
  });

  test('is itself where several things are computed of it', () => {
    const y = product();
    const back = later(gelu(y), (seed) => seed.mul(y.exp()).add(seed.sin().mul(y.neg().exp())));
    const [first] = kernels(back);
    expect(first?.kernel).toMatchObject({ kind: 'matmul', stores: [0, expect.any(Number)] });
  });

  test('is itself where something reads it as it is, or elsewhere than at its own element', () => {
    for (const use of [(y: Tensor) => y, (y: Tensor) => y.flip(0)]) {
      const y = x.matmul(w);
      const back = later(gelu(y), (seed) => seed.mul(y.exp()).add(use(y)));
      const [first] = kernels(back, back.matmul(w2));
      expect(first?.outputs).toContain(y);
    }
  });

  test('is found for each of a thousand products', () => {
    const square = leaf(4, 4);
    const factors: Tensor[] = [];
    let forward = x;
    for (let i = 0; i < 1000; i++) {
      const y = forward.matmul(square);
      factors.push(y.square().neg().exp());
      forward = gelu(y);
    }
    const back = factors.reduceRight((seed, factor) => seed.mul(factor).matmul(square.transpose()), forward);
    const steps = kernels(back);
    expect(
      steps.filter(({ outputs }) => outputs.some((node) => factors.includes(node as Tensor))),
    ).toHaveLength(999);
  });

  test('is stored all the same where it is asked for', () => {
    const y = x.matmul(w);
    const back = later(gelu(y), (seed) => seed.mul(y.exp()));
    expect(kernels(back, y)[0]?.outputs).toContain(y);
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
