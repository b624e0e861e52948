import { grad, valueAndGrad } from '@clipin/autograd';
import { packTexts } from '@clipin/data';
import { createReferenceDevice } from '@clipin/kernel';
import { countParameters } from '@clipin/nn';
import {
  evaluate,
  flatten,
  normal,
  randomKey,
  setDefaultDevice,
  type Tensor,
  tensor,
  withLeaves,
} from '@clipin/tensor';
import { beforeEach, describe, expect, it } from 'vitest';
import { configurations, type ModelConfig, type ModelName, withRotaryText } from './configurations';
import counted from './fixtures/parameter-counts.json';
import { type DualEncoderParams, dualEncoder, logits } from './model';
import { clipInLoss } from './training/stages';
import { packedTensors, type TrainBatch } from './training/world';

beforeEach(() => {
  setDefaultDevice(createReferenceDevice());
});

/** Counted from the shapes of OpenAI's released weights: image tower, text tower, and both with the logit scale. */
const published: [ModelName, number, number, number][] = [
  ['ViT-B/32', 87_849_216, 63_428_096, 151_277_313],
  ['ViT-B/16', 86_192_640, 63_428_096, 149_620_737],
  ['ViT-L/14', 303_966_208, 123_650_304, 427_616_513],
  ['ViT-L/14@336', 304_293_888, 123_650_304, 427_944_193],
];

/** open_clip's table of its models (docs/model_profile.csv), in millions: all, image tower, text tower. */
const profiled: [ModelName, number, number, number][] = [
  ['LAION-ViT-B/32', 151.28, 87.85, 63.43],
  ['LAION-ViT-B/16', 149.62, 86.19, 63.43],
  ['LAION-ViT-L/14', 427.62, 303.97, 123.65],
  ['LAION-ViT-H/14', 986.11, 632.08, 354.03],
  ['LAION-ViT-bigG/14', 2539.57, 1844.91, 694.66],
  ['DFN-ViT-H/14', 986.11, 632.08, 354.03],
  ['SigLIP-B/16', 203.16, 92.88, 110.27],
  ['SigLIP-So400m/14', 877.36, 427.68, 449.68],
  ['SigLIP-So400m/14@384', 877.96, 428.23, 449.73],
];

const tiny: ModelConfig = {
  embedding: 6,
  vision: { imageSize: 4, patchSize: 2, width: 8, depth: 1, heads: 2, activation: 'gelu', pool: 'class' },
  text: {
    vocabulary: 7,
    contextLength: 5,
    width: 8,
    depth: 1,
    heads: 2,
    activation: 'gelu',
    positions: 'rotary',
  },
};

const rowsOfIds = (rows: number[][]): Tensor =>
  tensor(Int32Array.from(rows.flat()), [rows.length, rows[0]?.length ?? 0]);

function tinyBatch(seed: number): TrainBatch {
  const pictures = (n: number) => evaluate(normal(randomKey(seed + n), [2, 4, 4, 3]));
  return {
    images: pictures(1),
    sourceImages: pictures(2),
    targetImages: pictures(3),
    short: rowsOfIds([
      [5, 1, 6, 0],
      [5, 2, 3, 6],
    ]),
    sourceText: rowsOfIds([
      [5, 1, 2, 6],
      [5, 4, 6, 0],
    ]),
    targetText: rowsOfIds([
      [5, 3, 6, 0],
      [5, 4, 1, 6],
    ]),
    long: rowsOfIds([
      [5, 1, 2, 3, 6],
      [5, 4, 6, 0, 0],
    ]),
  };
}

describe('dual encoder', () => {
  it.each(published)('%s has the published number of parameters', (name, image, text, all) => {
    const params = dualEncoder(configurations[name]).init(randomKey(0));
    expect(countParameters(params.image)).toBe(image);
    expect(countParameters(params.text)).toBe(text);
    expect(countParameters(params)).toBe(all);
  });

  it.each(profiled)('%s has as many million parameters as open_clip says', (name, all, image, text) => {
    const params = dualEncoder(configurations[name]).init(randomKey(0));
    const millions = [params, params.image, params.text].map((tree) => countParameters(tree) / 1e6);
    for (const [i, wanted] of [all, image, text].entries()) {
      expect(Math.abs((millions[i] as number) - wanted), `${millions[i]} and ${wanted}`).toBeLessThan(0.006);
    }
  });

  it.each(Object.entries(counted))("%s has as many parameters as PyTorch's modules", (name, wanted) => {
    const { image, text, ...logits } = dualEncoder(configurations[name as ModelName]).init(randomKey(0));
    expect(countParameters(image)).toBe(wanted.image);
    expect(countParameters(text)).toBe(wanted.text);
    expect(countParameters(image) + countParameters(text) + countParameters(logits)).toBe(wanted.total);
  });

  it('has been counted in PyTorch for every name but the small world', () => {
    const names = Object.keys(configurations).filter((name) => name !== 'small-world');
    expect(Object.keys(counted).sort()).toEqual(names.sort());
  });

  it('of the sigmoid loss starts from its scale and bias, and others have no bias', async () => {
    const siglip: ModelConfig = { ...tiny, logitBias: true };
    const { logitScale, logitBias } = dualEncoder(siglip).init(randomKey(0));
    expect(await logitScale.item()).toBeCloseTo(Math.log(10), 12);
    expect(await logitBias?.item()).toBe(-10);
    expect(dualEncoder(tiny).init(randomKey(0))).not.toHaveProperty('logitBias');
  });

  it('has logits of scaled cosines, and its bias', async () => {
    const images = tensor([
      [1, 0],
      [0, 1],
    ]);
    const texts = tensor([[0.6, 0.8]]);
    const logitScale = tensor(Math.log(5));
    expect(Array.from(await logits({ logitScale }, images, texts).data())).toEqual(
      [3, 4].map((x) => expect.closeTo(x, 12)),
    );
    const shifted = logits({ logitScale, logitBias: tensor(-7) }, images, texts);
    expect(shifted.shape).toEqual([2, 1]);
    expect(Array.from(await shifted.data())).toEqual([-4, -3].map((x) => expect.closeTo(x, 12)));
  });

  it('has no positions in a rotary text tower', () => {
    const params = dualEncoder(withRotaryText(configurations['ViT-B/32'])).init(randomKey(0));
    expect(countParameters(params.text)).toBe(63_428_096 - 77 * 512);
  });

  it('embeds into unit rows', async () => {
    const model = dualEncoder(tiny);
    const params = evaluate(model.init(randomKey(1)));
    const { images, long } = tinyBatch(3);
    for (const rows of [model.image.apply(params.image, images), model.text.apply(params.text, long)]) {
      expect(rows.shape).toEqual([2, 6]);
      for (const length of await rows.square().sum(1).data()) expect(length).toBeCloseTo(1, 10);
    }
  });
});

describe('loss of CLIP-IN', { timeout: 120_000 }, () => {
  it.each(['clip', 'negclip', 'tripletclip', 'clip-in'] as const)(
    'has the gradient of central differences in float64 (%s)',
    async (loss) => {
      const model = dualEncoder(tiny);
      const params: DualEncoderParams = evaluate(model.init(randomKey(2)));
      const batch = tinyBatch(10);
      const lossOf = (p: DualEncoderParams) =>
        clipInLoss(model, { loss, longCaptions: true, hardNegativeWeight: 0.7 })(p, batch)[0];
      const gradients = flatten(grad(lossOf)(params)).leaves;
      const leaves = flatten(params).leaves;
      for (const seed of [100, 200]) {
        // Along a random direction in which every element of every parameter takes part, each by its own size.
        const direction = await Promise.all(
          leaves.map(async (leaf, i) => {
            const size = (await leaf.square().mean().item()) ** 0.5 || 0.02;
            return evaluate(normal(randomKey(seed + i), leaf.shape).mul(size));
          }),
        );
        const at = (by: number) =>
          lossOf(
            withLeaves(
              params,
              leaves.map((x, i) => x.add((direction[i] as Tensor).mul(by))),
            ),
          ).item();
        const h = 2e-4; // four points: the error is of order h⁴
        const [a, b, c, d] = [await at(-2 * h), await at(-h), await at(h), await at(2 * h)];
        const slope = (8 * (c - b) - (d - a)) / (12 * h);
        const products = gradients.map((gradient, i) =>
          gradient
            .mul(direction[i] as Tensor)
            .sum()
            .item(),
        );
        const derivative = (await Promise.all(products)).reduce((sum, product) => sum + product, 0);
        expect(Math.abs(derivative - slope)).toBeLessThan(1e-7 * Math.abs(slope));
      }
    },
  );

  it.each(['clip', 'clip-in'] as const)('is the same of packed texts (%s)', async (loss) => {
    const model = dualEncoder({ ...tiny, text: { ...tiny.text, depth: 2 } });
    const params: DualEncoderParams = evaluate(model.init(randomKey(5)));
    const batch = tinyBatch(30);
    const groups = await Promise.all(
      [batch.short, batch.sourceText, batch.targetText, batch.long].map(async (ids) => ({
        ids: Int32Array.from(await ids.data()),
        length: ids.shape[1] as number,
      })),
    );
    const packed = packedTensors(packTexts(groups, { length: 5, perRow: 2, rowsMultiple: 3 }));
    const lossOf = (given: TrainBatch) => (p: DualEncoderParams) =>
      clipInLoss(model, { loss, longCaptions: true, hardNegativeWeight: 0.7 })(p, given)[0];
    const [apart, together] = [batch, { ...batch, packed }].map(
      (given) => flatten(valueAndGrad(lossOf(given))(params)).leaves,
    ) as [Tensor[], Tensor[]];
    for (const [i, x] of apart.entries()) {
      const difference = await x
        .sub(together[i] as Tensor)
        .abs()
        .max()
        .item();
      expect(difference).toBeLessThan(1e-12 * (1 + (await x.abs().max().item())));
    }
  });

  it('leaves out what a batch does not hold, and refuses an empty one', async () => {
    const model = dualEncoder(tiny);
    const params = evaluate(model.init(randomKey(4)));
    const batch = tinyBatch(20);
    const none = (x: Tensor) => x.slice([0, 0]);
    const { sourceImages, targetImages, sourceText, targetText, images, short, long } = batch;
    const loss = clipInLoss(model, { loss: 'clip-in', longCaptions: true, hardNegativeWeight: 1 });
    const withoutEdits = {
      ...batch,
      sourceImages: none(sourceImages),
      targetImages: none(targetImages),
      sourceText: none(sourceText),
      targetText: none(targetText),
    };
    const withoutTriplets = { ...batch, images: none(images), short: none(short), long: none(long) };
    const [all, terms] = loss(params, batch);
    const parts = await Promise.all([
      loss(params, withoutEdits)[0].item(),
      loss(params, withoutTriplets)[0].item(),
    ]);
    expect(Object.keys(terms)).toEqual(['short', 'long', 'edits', 'logitScale']);
    expect((await all.item()) - (parts[0] as number) - (parts[1] as number)).toBeCloseTo(0, 10);
    expect(() =>
      loss(params, {
        ...withoutEdits,
        ...withoutTriplets,
        sourceImages: none(sourceImages),
        sourceText: none(sourceText),
        targetText: none(targetText),
        targetImages: none(targetImages),
      }),
    ).toThrow('without triplets and without edits');
  });
});
