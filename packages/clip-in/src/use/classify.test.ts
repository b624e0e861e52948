import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Classified, classifier, promptsOf } from './classify';
import { countingEmbedder, noModel, tinyPicture, vectorOf } from './pictures.test-helpers';

const pictures = (...seeds: number[]) => seeds.map((seed) => ({ name: `${seed}`, bytes: tinyPicture(seed) }));

async function all(results: AsyncIterable<Classified>): Promise<Classified[]> {
  const list: Classified[] = [];
  for await (const result of results) list.push(result);
  return list;
}

/** What the paper says, written out in float64. */
function expectedCosines(seed: number, labels: readonly string[], templates: readonly string[]): number[] {
  const image = vectorOf(tinyPicture(seed));
  return labels.map((label) => {
    const rows = templates.map((template) => vectorOf(Buffer.from(template.split('{}').join(label))));
    const mean = Array.from({ length: noModel.width }, (_, i) => rows.reduce((sum, row) => sum + row[i]!, 0));
    return mean.reduce((sum, value, i) => sum + value * image[i]!, 0) / Math.hypot(...mean);
  });
}

const labelLists = fc.uniqueArray(
  fc.string({ minLength: 1 }).filter((text) => text.trim() !== ''),
  {
    minLength: 1,
    maxLength: 6,
  },
);
const templateLists = fc.array(
  fc.tuple(fc.string(), fc.string()).map((parts) => parts.join('{}')),
  {
    minLength: 1,
    maxLength: 3,
  },
);

it('gives the softmax of scaled cosines with the mean direction of the templates, best first', () =>
  checkProperty(
    fc.asyncProperty(
      labelLists,
      templateLists,
      fc.double({ min: 0, max: 100, noNaN: true }),
      async (labels, templates, scale) => {
        const { classify } = await classifier(countingEmbedder(), { labels, templates, logits: { scale } });
        const results = await all(classify(pictures(1, 2)));
        results.forEach((result, i) => {
          if ('error' in result) throw result.error;
          const cosines = expectedCosines(i + 1, labels, templates);
          const powers = cosines.map((cosine) => Math.exp(scale * (cosine - Math.max(...cosines))));
          const sum = powers.reduce((a, b) => a + b);
          expect(result.scores).toHaveLength(labels.length);
          for (const [rank, { label, cosine, probability }] of result.scores.entries()) {
            const at = labels.indexOf(label);
            expect(cosine).toBeCloseTo(cosines[at]!, 10);
            expect(probability).toBeCloseTo(powers[at]! / sum, 8);
            if (rank > 0) expect(cosine).toBeLessThanOrEqual(result.scores[rank - 1]!.cosine);
          }
        });
      },
    ),
  ));

it('gives the sigmoid of each label where the model has a bias', async () => {
  const labels = ['a', 'b', 'c'];
  const { classify } = await classifier(countingEmbedder(), { labels, logits: { scale: 12, bias: -3 } });
  const [result] = await all(classify(pictures(5)));
  if (!result || 'error' in result) throw new Error('no scores');
  const cosines = expectedCosines(5, labels, ['{}']);
  for (const { label, probability } of result.scores) {
    expect(probability).toBeCloseTo(1 / (1 + Math.exp(3 - 12 * cosines[labels.indexOf(label)]!)), 10);
  }
});

it('embeds the texts once, and passes on what is no picture', async () => {
  const embedder = countingEmbedder();
  let asked: readonly string[] = [];
  const counting: typeof embedder = {
    ...embedder,
    texts(texts) {
      asked = [...asked, ...texts];
      return embedder.texts(texts);
    },
  };
  const { classify } = await classifier(counting, {
    labels: ['cat', 'dog'],
    templates: ['a {}', '{} and {}'],
    logits: { scale: 1 },
  });
  const broken = { name: 'b', bytes: Buffer.from('broken') };
  const results = await all(classify([...pictures(1), broken, ...pictures(2)]));
  expect(results.map((result) => 'error' in result)).toEqual([false, true, false]);
  expect(asked).toEqual(['a cat', 'cat and cat', 'a dog', 'dog and dog']);
});

describe('refuses', () => {
  it.each<[string, string[], string[], string]>([
    ['no labels', [], ['{}'], 'labels: there are none'],
    ['an empty label', ['a', ' '], ['{}'], 'labels: one is empty, among a,'],
    ['a label that is there twice', ['a', 'b', 'a'], ['{}'], 'labels: "a" is there twice'],
    ['no templates', ['a'], [], 'templates: there are none'],
    [
      'a template without a place',
      ['a'],
      ['{}', 'a photo'],
      'template "a photo": needs {} where the label goes',
    ],
  ])('%s', (_, labels, templates, message) => {
    expect(() => promptsOf(labels, templates)).toThrow(message);
  });
});

it('takes labels as they are, whatever signs they have', () => {
  expect(promptsOf(['$& $1', '{}'], ['<{}>'])).toEqual(['<$& $1>', '<{}>']);
});
