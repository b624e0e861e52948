/** The flash kernels of attention: every tiling, sizes that no tile divides, layouts, masks; the reference is the judge. */
import { type AttentionShape, createReferenceDevice, type Launch, type Operand } from '@clipin/kernel';
import { attentionBackwardCases, attentionCases, checkCase, checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { WebgpuDevice } from './device';
import { noise, runOn, softwareDevice } from './test-support';
import { generate } from './wgsl/generate';
import { lower } from './wgsl/lower';
import { profiles } from './wgsl/profile';

/** Compiling takes most of the time. */
const timeout = 120_000;

const tokens = fc.oneof(fc.integer({ min: 1, max: 80 }), fc.constantFrom(15, 16, 17, 31, 32, 33));
const sizes = {
  batch: fc.constantFrom(1, 2, 3),
  heads: fc.constantFrom(1, 2, 3),
  queries: tokens,
  keys: tokens,
  dim: fc.constantFrom(1, 7, 32, 33, 64, 64, 80, 128),
};

/** Attention over one buffer `[batch, tokens, 3, heads, dim]` of queries, keys and values, masked by buffer 1. */
function attentionLaunch(
  { batch = 1, heads = 2, tokens = 40, dim = 64, causal = false, masked = true },
  backward = false,
): Launch {
  const row = 3 * heads * dim;
  const operand = (part: number): Operand => ({
    input: 0,
    index: { offset: part * heads * dim, strides: [tokens * row, dim, row, 1] },
  });
  const shape: AttentionShape = {
    ...{ batch, heads, queries: tokens, keys: tokens, dim, causal, scale: 1 / Math.sqrt(dim) },
    ...{ query: operand(0), key: operand(1), value: operand(2) },
    ...(masked && { mask: { input: 1, index: { offset: 0, strides: [0, 0, tokens, 1] } } }),
  };
  const gradient = { input: 4, index: { offset: 0, strides: [tokens * heads * dim, dim, heads * dim, 1] } };
  return {
    kernel: backward
      ? { kind: 'attentionBackward', ...shape, result: 2, logSumExp: 3, gradient }
      : { kind: 'attention', ...shape },
    inputs: backward ? [0, 1, 2, 3, 4] : [0, 1],
    inputTypes: backward ? ['f32', 'bool', 'f32', 'f32', 'f32'] : ['f32', 'bool'],
    outputs: backward ? [5, 6, 7] : [2, 3],
    outputTypes: backward ? ['f32', 'f32', 'f32'] : ['f32', 'f32'],
  };
}

/** Buffers for the two launches with one batch entry, where the queries `hidden` see no key. */
function tables(heads: number, tokens: number, dim: number, hidden: readonly number[]) {
  const size = heads * tokens * dim;
  const mask = Uint32Array.from({ length: tokens * tokens }, (_, i) =>
    hidden.includes(Math.floor(i / tokens)) ? 0 : 1,
  );
  const outputs = [5, 6, 7].map((seed) => noise(size, seed));
  return [noise(3 * size), mask, noise(size, 2), noise(heads * tokens, 3), noise(size, 4), ...outputs];
}

// 16 KiB is what every adapter has; the software adapters have 32.
describe.each([16384, 32768])('with %i bytes of workgroup memory', (workgroupBytes) => {
  const reference = createReferenceDevice();
  let device: WebgpuDevice;
  beforeAll(async () => {
    device = await softwareDevice('hardware', { workgroupBytes });
  });
  afterAll(() => device.destroy());

  test('attention is what the reference computes', { timeout }, () =>
    checkProperty(
      fc.asyncProperty(attentionCases(sizes), (example) => checkCase(device, reference, example)),
      { numRuns: 6 },
    ),
  );

  test('so is its derivative', { timeout }, () =>
    checkProperty(
      fc.asyncProperty(attentionBackwardCases(sizes), (example) => checkCase(device, reference, example)),
      { numRuns: 5 },
    ),
  );

  test('queries that see no key; the same bits twice; NaN shows', { timeout }, async () => {
    const [heads, count, dim, hidden] = [2, 40, 16, [0, 33, 39]] as const;
    const sizes = { heads, tokens: count, dim };
    const launches = [attentionLaunch(sizes), attentionLaunch(sizes, true)];
    const data = tables(heads, count, dim, hidden);
    const once = await runOn(device, launches, data);
    expect(await runOn(device, launches, data)).toEqual(once);
    const rows = (buffer: number, query: number) =>
      Array.from(once[buffer] ?? []).slice(query * heads * dim, (query + 1) * heads * dim);
    for (const query of hidden) {
      const zeros = Array.from({ length: heads * dim }, () => 0);
      expect(rows(2, query)).toEqual(zeros);
      expect(rows(5, query)).toEqual(zeros);
      for (const head of [0, 1]) expect(once[3]?.[head * count + query]).toBe(Number.NEGATIVE_INFINITY);
    }
    expect([5, 6, 7].every((output) => once[output]?.every(Number.isFinite))).toBe(true);

    const [qkv = new Float32Array()] = data;
    qkv[5 * 3 * heads * dim] = Number.NaN; // query 5 of head 0
    const [, , result, logSumExp, , ofQuery, ofKey] = await runOn(device, launches, data);
    expect(logSumExp?.[5]).toBeNaN();
    expect(result?.[5 * heads * dim]).toBeNaN();
    expect(result?.[6 * heads * dim]).toBe(once[2]?.[6 * heads * dim]);
    expect(ofQuery?.[5 * heads * dim]).toBeNaN();
    expect(ofKey?.[6 * heads * dim]).toBeNaN();
  });
});

describe('the text', () => {
  const dispatches = (launch: Launch, workgroupBytes = 16384) => {
    const profile = { ...profiles.hardware, workgroupBytes };
    return lower(launch, profile).tasks.flatMap((task) => generate(task, profile) ?? []);
  };
  const texts = (launch: Launch) => dispatches(launch).map(({ code }) => code);

  test('is one for all shapes with heads of one width', () => {
    for (const backward of [false, true]) {
      const few = attentionLaunch({ batch: 2, heads: 3, tokens: 60 }, backward);
      expect(texts(attentionLaunch({ batch: 3, heads: 12, tokens: 197 }, backward))).toEqual(texts(few));
    }
  });

  test('is one kernel forward, three backward, with eight storage buffers at most', () => {
    expect(dispatches(attentionLaunch({}))).toHaveLength(1);
    const backward = dispatches(attentionLaunch({}, true));
    expect(backward).toHaveLength(3);
    const apart = attentionLaunch({}, true);
    if (apart.kernel.kind !== 'attentionBackward') throw new Error('not a derivative');
    const { kernel } = apart;
    // Query, key and value in buffers of their own.
    const wide: Launch = {
      ...apart,
      kernel: { ...kernel, key: { ...kernel.key, input: 5 }, value: { ...kernel.value, input: 6 } },
      inputs: [0, 1, 2, 3, 4, 8, 9],
      inputTypes: [...apart.inputTypes, 'f32', 'f32'],
    };
    const counts = dispatches(wide).map(({ buffers }) => buffers.length);
    expect(Math.max(...counts)).toBe(8);
  });

  test('is that of plain kernels where tiles do not fit', () => {
    expect(dispatches(attentionLaunch({ dim: 128 }, true), 32768)).toHaveLength(3);
    expect(dispatches(attentionLaunch({ dim: 128 }, true), 16384).length).toBeGreaterThan(3);
    expect(dispatches(attentionLaunch({ dim: 132 }), 65536).length).toBeGreaterThan(1);
  });

  test('never asks for more workgroup memory than there is', () => {
    for (const bytes of [16384, 32768, 49152]) {
      for (let dim = 1; dim <= 128; dim++) {
        for (const backward of [false, true]) {
          for (const { code } of dispatches(attentionLaunch({ dim }, backward), bytes)) {
            const declared = [...code.matchAll(/var<workgroup> \w+: array<vec4<f32>, (\d+)>/g)];
            expect(declared.reduce((sum, [, length]) => sum + 16 * Number(length), 0)).toBeLessThanOrEqual(
              bytes,
            );
          }
        }
      }
    }
  });
});
