/** The attention pool and the weights of attention: invariants. Whole towers with it: `clip-in`'s towers.test.ts. */
import { evaluate, init, normal, randomKey, type Tensor, tensor } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { attentionPool, keyMask, multiHeadAttention, visionTransformer } from './index';

beforeAll(async () => {
  await init({ device: 'reference' });
});

const [batch, tokens, width, heads] = [2, 5, 8, 2];
const noise = (seed: number, ...shape: number[]) => evaluate(normal(randomKey(seed), shape));
const seeds = fc.nat(1000);

async function expectClose(actual: Tensor, wanted: Tensor) {
  expect(actual.shape).toEqual(wanted.shape);
  const [got, values] = [await actual.data(), await wanted.data()];
  values.forEach((value, i) => {
    expect(got[i]).toBeCloseTo(value, 10);
  });
}

const masks = fc
  .array(fc.array(fc.boolean(), { minLength: tokens - 1, maxLength: tokens - 1 }), {
    minLength: batch,
    maxLength: batch,
  })
  .map((rows) => tensor(rows.map((row) => [true, ...row]))); // something is to be seen

describe('attention pool', () => {
  const pool = attentionPool({ width, heads, mlpHidden: 12 });
  const paramsOf = (seed: number) => evaluate(pool.init(randomKey(seed)));

  it('does not see the order of tokens, nor what is masked', () =>
    checkProperty(
      fc.asyncProperty(seeds, masks, async (seed, present) => {
        const params = paramsOf(seed);
        const x = noise(seed + 1, batch, tokens, width);
        const pooled = pool.apply(params, x, { mask: keyMask(present) });
        await expectClose(
          pool.apply(params, x.flip(1), { mask: keyMask(present.cast('i32').flip(1).cast('bool')) }),
          pooled,
        );
        const hidden = present.not().cast('f32').expandDims(2).mul(7);
        await expectClose(pool.apply(params, x.add(hidden), { mask: keyMask(present) }), pooled);
      }),
      { numRuns: 20 },
    ));

  it('spreads its looks so that they add up to 1 over what is to be seen', () =>
    checkProperty(
      fc.asyncProperty(seeds, masks, async (seed, present) => {
        const params = paramsOf(seed);
        const looks = pool.weights(params, noise(seed, batch, tokens, width), { mask: keyMask(present) });
        expect(looks.shape).toEqual([batch, heads, tokens]);
        for (const sum of await looks.sum(-1).data()) expect(sum).toBeCloseTo(1, 10);
        expect(await looks.mul(present.not().cast('f32').expandDims(1)).max().item()).toBe(0);
      }),
      { numRuns: 20 },
    ));

  it('refuses tokens of another width', () => {
    expect(() => pool.apply(paramsOf(0), noise(0, batch, tokens, 7))).toThrow(
      'attentionPool: the input is Tensor(f32[2, 5, 7]',
    );
  });
});

describe('weights of attention', () => {
  const form = fc.record({ causal: fc.boolean(), rows: fc.constantFrom(1, tokens) });

  it('times the values are what attention gives', () =>
    checkProperty(
      fc.asyncProperty(seeds, form, masks, async (seed, { causal }, present) => {
        const layer = multiHeadAttention({ width, heads, causal });
        const params = evaluate(layer.init(randomKey(seed)));
        const x = noise(seed + 1, batch, tokens, width);
        const queries = tensor(Int32Array.of(4, 0, 3, 1), [batch, 2]);
        for (const context of [
          { mask: keyMask(present) },
          { mask: keyMask(present), queries },
          { probes: noise(seed + 2, batch, 3, width) },
        ]) {
          const weights = layer.weights(params, x, context); // [batch, heads, queries, tokens]
          const values = x
            .matmul(params.value.weight)
            .add(params.value.bias as Tensor)
            .reshape([batch, tokens, heads, width / heads])
            .transpose([0, 2, 1, 3]);
          const mixed = weights.matmul(values).transpose([0, 2, 1, 3]);
          const out = mixed
            .reshape([batch, -1, width])
            .matmul(params.out.weight)
            .add(params.out.bias as Tensor);
          await expectClose(layer.apply(params, x, context), out);
        }
      }),
      { numRuns: 20 },
    ));
});

describe('features of an image tower', () => {
  const size = { imageSize: 8, patchSize: 4, width, heads, depth: 2 };

  it.each(['class', 'mean', 'attention'] as const)(
    '%s: hold the embedding, and looks of all patches',
    (pool) =>
      checkProperty(
        fc.asyncProperty(seeds, async (seed) => {
          const tower = visionTransformer({ ...size, outputs: 6, pool });
          const params = evaluate(tower.init(randomKey(seed)));
          const images = noise(seed + 1, batch, 8, 8, 3);
          const { embedding, patches, attention } = tower.features(params, images);
          await expectClose(embedding, tower.apply(params, images));
          expect(patches.shape).toEqual([batch, 4, 6]);
          expect(attention.shape).toEqual([batch, heads, 4]);
          for (const sum of await attention.sum(-1).data()) {
            expect(pool === 'class' ? sum < 1 : Math.abs(sum - 1) < 1e-10).toBe(true);
          }
        }),
        { numRuns: 10 },
      ),
  );

  it('attention: the patch of an image that has only one is its embedding', async () => {
    const tower = visionTransformer({
      ...size,
      imageSize: 4,
      outputs: width,
      pool: 'attention',
      projection: false,
    });
    const params = evaluate(tower.init(randomKey(3)));
    const { embedding, patches } = tower.features(params, noise(4, batch, 4, 4, 3));
    await expectClose(patches.squeeze(1), embedding);
  });
});
