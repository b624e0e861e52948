import { grad } from '@clipin/autograd';
import { createReferenceDevice } from '@clipin/kernel';
import { concatenate, setDefaultDevice, type Tensor, tensor } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import torch from './fixtures/sigmoid-loss.json';
import {
  clipLoss,
  distillationLoss,
  type Edits,
  hardNegativeLoss,
  negClipLoss,
  type Pairs,
  sigmoidLoss,
  tripletClipLoss,
} from './losses';

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

type Rows = number[][];

const unit = (row: number[]): number[] => row.map((x) => x / Math.hypot(...row));
const dot = (a: number[], b: number[]): number => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);

/** Cross-entropy of the diagonal, written out. */
function expectedCrossEntropy(anchors: Rows, candidates: Rows, scale: number): number {
  const losses = anchors.map((anchor, i) => {
    const logits = candidates.map((candidate) => scale * dot(anchor, candidate));
    return Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0)) - (logits[i] as number);
  });
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}

interface Case {
  readonly n: number;
  readonly scale: number;
  readonly sets: [Rows, Rows, Rows, Rows];
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    n: fc.integer({ min: 1, max: 5 }),
    width: fc.integer({ min: 2, max: 4 }),
    scale: fc.double({ min: 0.5, max: 20, noNaN: true }),
  })
  .chain(({ n, width, scale }) => {
    const value = fc.double({ min: 0.1, max: 1, noNaN: true }).chain((x) => fc.constantFrom(x, -x));
    const rows = fc.array(fc.array(value, { minLength: width, maxLength: width }).map(unit), {
      minLength: n,
      maxLength: n,
    });
    return fc.record({
      n: fc.constant(n),
      scale: fc.constant(scale),
      sets: fc.tuple(rows, rows, rows, rows),
    });
  });

const pairs = (images: Rows, texts: Rows): Pairs => ({ images: tensor(images), texts: tensor(texts) });
const edits = ([is, it, ts, tt]: Case['sets']): Edits => ({ source: pairs(is, ts), target: pairs(it, tt) });
const near = async (loss: Tensor, expected: number) => {
  expect(Math.abs((await loss.item()) - expected)).toBeLessThan(1e-9 * (1 + Math.abs(expected)));
};

describe('losses', () => {
  it('are the sums of cross-entropies of the papers', async () => {
    await checkProperty(
      fc.asyncProperty(cases, async ({ scale, sets }) => {
        const [is, it, ts, tt] = sets;
        const ce = (a: Rows, b: Rows) => expectedCrossEntropy(a, b, scale);
        const s = tensor(scale);
        await near(clipLoss(pairs(is, ts), s), (ce(is, ts) + ce(ts, is)) / 2);
        await near(negClipLoss(tensor(is), tensor(ts), tensor(tt), s), ce(ts, is) + ce(is, [...ts, ...tt]));
        const images = ce(is, [...ts, ...tt]) + ce(ts, is) + ce(it, [...tt, ...ts]) + ce(tt, it);
        const texts = ce(ts, [...is, ...it]) + ce(is, ts) + ce(tt, [...it, ...is]) + ce(it, tt);
        await near(tripletClipLoss(edits(sets), s), images);
        await near(hardNegativeLoss(edits(sets), s), images + texts);
      }),
      { numRuns: 40 },
    );
  });

  it('hard negatives do not change when source and target, or images and texts, change roles', async () => {
    await checkProperty(
      fc.asyncProperty(cases, async ({ scale, sets: [is, it, ts, tt] }) => {
        const s = tensor(scale);
        const loss = await hardNegativeLoss(edits([is, it, ts, tt]), s).item();
        await near(hardNegativeLoss(edits([it, is, tt, ts]), s), loss);
        await near(hardNegativeLoss(edits([ts, tt, is, it]), s), loss);
      }),
      { numRuns: 30 },
    );
  });

  it('hard negatives are CLIP over all pairs of the batch and over its halves', async () => {
    await checkProperty(
      fc.asyncProperty(cases, async ({ scale, sets }) => {
        const s = tensor(scale);
        const { source, target } = edits(sets);
        const both = {
          images: concatenate([source.images, target.images]),
          texts: concatenate([source.texts, target.texts]),
        };
        const expected = clipLoss(both, s)
          .mul(4)
          .add(clipLoss(source, s).mul(2))
          .add(clipLoss(target, s).mul(2));
        await near(hardNegativeLoss({ source, target }, s), await expected.item());
      }),
      { numRuns: 30 },
    );
  });

  it('with one edit each joined part chooses between the two images or texts, and the others are 0', async () => {
    const [is, it, ts, tt] = [
      [1, 0],
      [0.6, 0.8],
      [0.8, 0.6],
      [0, 1],
    ];
    const two = (right: number, wrong: number) => Math.log(1 + Math.exp(5 * (wrong - right)));
    const expected =
      two(dot(is, ts), dot(is, tt)) +
      two(dot(it, tt), dot(it, ts)) +
      two(dot(ts, is), dot(ts, it)) +
      two(dot(tt, it), dot(tt, is));
    await near(hardNegativeLoss(edits([[is], [it], [ts], [tt]]), tensor(5)), expected);
    await near(clipLoss(pairs([is], [ts]), tensor(5)), 0);
  });

  it('distillation is 0 for equal rows and 2 for opposite ones', async () => {
    const rows = tensor([
      [0.6, 0.8],
      [1, 0],
    ]);
    await near(distillationLoss(rows, rows), 0);
    await near(distillationLoss(rows, rows.neg()), 2);
  });
});

describe('sigmoid loss', () => {
  const biases = fc.double({ min: -15, max: 5, noNaN: true });
  const expectedLoss = (images: Rows, texts: Rows, scale: number, bias: number): number => {
    const all = images.flatMap((image, i) =>
      texts.map((text, j) => Math.log1p(Math.exp((i === j ? -1 : 1) * (scale * dot(image, text) + bias)))),
    );
    return all.reduce((sum, loss) => sum + loss, 0) / images.length;
  };

  it('has the value and the gradients of PyTorch', async () => {
    const at = {
      images: tensor(torch.images),
      texts: tensor(torch.texts),
      scale: tensor(torch.scale),
      bias: tensor(torch.bias),
    };
    const lossOf = ({ scale, bias, ...both }: typeof at) => sigmoidLoss(both, scale, bias);
    await near(lossOf(at), torch.loss);
    const found = grad(lossOf)(at);
    for (const [name, wanted] of Object.entries(torch.gradients)) {
      const values = await found[name as keyof typeof at].data();
      [wanted].flat(2).forEach((value, i) => {
        expect(values[i]).toBeCloseTo(value, 12);
      });
    }
  });

  it('is the sum over all combinations', async () => {
    await checkProperty(
      fc.asyncProperty(cases, biases, async ({ scale, sets: [images, texts] }, bias) => {
        const loss = sigmoidLoss(pairs(images, texts), tensor(scale), tensor(bias));
        await near(loss, expectedLoss(images, texts, scale, bias));
      }),
      { numRuns: 40 },
    );
  });

  it('does not change when images and texts change roles, or the pairs their order', async () => {
    await checkProperty(
      fc.asyncProperty(cases, biases, async ({ scale, sets: [images, texts] }, bias) => {
        const [s, b] = [tensor(scale), tensor(bias)];
        const loss = await sigmoidLoss(pairs(images, texts), s, b).item();
        await near(sigmoidLoss(pairs(texts, images), s, b), loss);
        await near(sigmoidLoss(pairs([...images].reverse(), [...texts].reverse()), s, b), loss);
      }),
      { numRuns: 30 },
    );
  });

  it('has the gradient of central differences', async () => {
    await checkProperty(
      fc.asyncProperty(cases, biases, fc.nat(1000), async ({ scale, sets: [images, texts] }, bias, seed) => {
        const flat = [...images.flat(), ...texts.flat(), scale, bias];
        const [n, width] = [images.length, images[0]?.length ?? 0];
        const lossOf = (x: Tensor) => {
          const rows = (from: number) => x.slice([from * width, (from + n) * width]).reshape([n, width]);
          const end = x.slice([-2]);
          return sigmoidLoss(
            { images: rows(0), texts: rows(n) },
            end.slice([0, 1]).squeeze(0),
            end.slice([1]).squeeze(0),
          );
        };
        const direction = flat.map((_, i) => Math.sin(seed + 1.7 * i));
        const at = (by: number) =>
          lossOf(tensor(flat.map((x, i) => x + by * (direction[i] as number)))).item();
        const h = 1e-4;
        const [a, b, c, d] = [await at(-2 * h), await at(-h), await at(h), await at(2 * h)];
        const slope = (8 * (c - b) - (d - a)) / (12 * h);
        const gradient = await grad(lossOf)(tensor(flat)).data();
        const along = direction.reduce((sum, x, i) => sum + x * (gradient[i] as number), 0);
        expect(Math.abs(along - slope)).toBeLessThan(1e-7 * (1 + Math.abs(slope)));
      }),
      { numRuns: 30 },
    );
  });

  it('does not overflow, and refuses what are no pairs', async () => {
    const [right, wrong] = [
      [1, 0],
      [-1, 0],
    ];
    await near(sigmoidLoss(pairs([right], [wrong]), tensor(5000), tensor(0)), 5000);
    await near(sigmoidLoss(pairs([right], [right]), tensor(5000), tensor(0)), 0);
    expect(() => sigmoidLoss(pairs([right, wrong], [right]), tensor(1), tensor(0))).toThrow(
      '2 images and 1 texts are no pairs',
    );
  });
});
