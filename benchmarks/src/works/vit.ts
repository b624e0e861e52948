/** CLIP's image tower, forward: ViT-B/32 as `configurations` of `clip-in` has it. */
import { configurations } from 'clip-in';
import { constant, uniform } from '../random';
import { block } from './block-step';
import type { WorkOf } from './work';

const { vision, embedding } = configurations['ViT-B/32'];

/** So many pictures to their embeddings. */
export function vit(batch: number): WorkOf<'vit'> {
  const { imageSize, patchSize, width, depth, heads } = vision;
  const inputs = patchSize ** 2 * 3;
  const norm = () => ({ gain: constant([width], 1), bias: constant([width], 0) });
  return {
    name: `ViT-B/32 forward, batch ${batch}`,
    kind: 'vit',
    unit: 'ms',
    comparedRuns: 1,
    problem: () => ({
      params: {
        patches: uniform(1, [inputs, width], Math.sqrt(3 / inputs)),
        classToken: uniform(2, [width]),
        positions: uniform(3, [1 + (imageSize / patchSize) ** 2, width]),
        lnPre: norm(),
        blocks: Array.from({ length: depth }, (_, i) => block(10 * (i + 1), width)),
        lnPost: norm(),
        projection: uniform(4, [width, embedding], Math.sqrt(3 / width)),
      },
      images: uniform(5, [batch, imageSize, imageSize, 3], 2),
      patchSize,
      heads,
    }),
  };
}
