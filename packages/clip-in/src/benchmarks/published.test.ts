import { describe, expect, it } from 'vitest';
import { mmvpPatterns, type PublishedFigures, published, rowNames, sugarCrepeSubsets } from './published';

const of = (suite: string): readonly PublishedFigures[] => published[suite] ?? [];
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Printed averages are off by up to 0.2. A misread pair would move the mean of nine patterns by 0.74. */
const misprint = 0.21;
/** Rows of Table 2 whose patterns do not average to what is printed; the table says so in their notes. */
const odd = ['OpenAI CLIP ViT-L/14, 336'];

describe('published figures', () => {
  it('agree with the averages that are printed beside them', () => {
    for (const { model, source, main, rows } of of('mmvp-vlm')) {
      const values = Object.values(rows);
      if (values.length === 0 || (odd.includes(model) && source === 'CLIP-IN, Table 2')) continue;
      expect(Object.keys(rows)).toEqual([...mmvpPatterns]);
      expect(Math.abs(mean(values) - main!), `${model} of ${source}`).toBeLessThan(misprint);
    }
    for (const suite of ['winoground', 'aro', 'spec']) {
      for (const { model, main, rows } of of(suite)) {
        expect(Math.abs(mean(Object.values(rows)) - main!), `${suite} of ${model}`).toBeLessThan(misprint);
      }
    }
    // The averages of Table 1, over Flickr30k and COCO, and over ShareGPT4V-1k and DCI.
    const averages: Readonly<Record<string, readonly [number, number]>> = {
      'OpenAI CLIP ViT-L/14, 224': [60.7, 64.3],
      'CLIP-IN ViT-L/14, 224': [72.9, 76.8],
      'OpenAI CLIP ViT-L/14, 336': [62.5, 61.0],
      'CLIP-IN ViT-L/14, 336': [73.1, 76.4],
      'EVA-CLIP ViT-L/14, 336': [69.8, 69.0],
      'Long-CLIP ViT-L/14, 336': [68.8, 72.0],
      'FG-CLIP ViT-L/14, 336': [73.8, 81.8],
      'DFN ViT-H/14, 224': [74.8, 79.8],
      'CLIP-IN ViT-H/14, 224': [75.6, 81.5],
      'DFN ViT-H/14, 378': [75.9, 82.3],
      'CLIP-IN ViT-H/14, 378': [76.8, 83.5],
      'SigLIP 2 So400m/14, 224': [76.4, 62.0],
      'CLIP-IN So400m/14, 224': [78.8, 67.3],
      'SigLIP 2 So400m/16, 384': [77.1, 59.1],
      'CLIP-IN So400m/16, 384': [79.6, 64.0],
    };
    for (const [model, [short, long]] of Object.entries(averages)) {
      const rowsOf = (suite: string) =>
        of(suite)
          .filter((one) => one.model === model)
          .flatMap(({ rows }) => Object.values(rows));
      expect(Math.abs(mean([...rowsOf('flickr30k'), ...rowsOf('coco')]) - short), model).toBeLessThan(
        misprint,
      );
      expect(Math.abs(mean([...rowsOf('sharegpt4v-1k'), ...rowsOf('dci')]) - long), model).toBeLessThan(
        misprint,
      );
    }
  });

  it('repeat the ImageNet figures of Table 1 in Table 9', () => {
    // Averages of Table 9 over IN-1K, A, R, Sketch, V2.
    const averages = [72.7, 72.9, 75.0, 75.6, 80.5, 80.8, 82.1, 82.0];
    const variants = ['imagenet-a', 'imagenet-r', 'imagenet-sketch', 'imagenet-v2'];
    for (const [i, { model }] of of('imagenet-a').entries()) {
      const values = ['imagenet', ...variants].map(
        (suite) => of(suite).find((one) => one.model === model)!.main!,
      );
      expect(Math.abs(mean(values) - averages[i]!), model).toBeLessThan(misprint);
    }
  });

  it('have the pairs of the first table that the acceptance checks name', () => {
    const clip = (suite: string) => of(suite).find(({ model }) => model === 'OpenAI CLIP ViT-L/14, 224')!;
    expect(clip('mmvp-vlm')).toMatchObject({ source: 'MMVP', main: 19.3 });
    expect(clip('coco').rows).toEqual({ [rowNames.imageToText]: 56.3, [rowNames.textToImage]: 36.5 });
    expect(clip('winoground').rows).toEqual({ text: 28.3, image: 10.5, group: 8.8 });
    expect(Object.keys(clip('sugarcrepe').rows)).toEqual([...sugarCrepeSubsets]);
    expect(mean(Object.values(clip('sugarcrepe').rows))).toBeCloseTo(72.96, 2);
  });
});
