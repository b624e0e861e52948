/** Works of all kinds in sizes that the float64 interpreter can do: odd ones, and some large enough for large tiles. */
import { adamWStep } from './adamw-step';
import { attention, attentionGradient } from './attention';
import { blockStep } from './block-step';
import { type Form, halfProduct, product } from './product';
import { crossEntropy, embedding, embeddingGradient, gelu, layerNorm, softmax } from './rows';
import type { Work } from './work';

const forms: readonly Form[] = ['nn', 'tn', 'nt'];
const sizes = [
  [1, 1, 1],
  [5, 7, 3],
  [1, 300, 130],
  [130, 300, 1],
  [33, 65, 47],
  [64, 64, 64],
  [128, 32, 128],
  [100, 1030, 36],
  [192, 130, 256],
  [256, 256, 256],
] as const;

/** What is checked before anything is timed. */
export const checkWorks: readonly Work[] = [
  ...sizes.flatMap((size) => forms.map((form) => product(form, size))),
  ...sizes.flatMap((size) => forms.map((form) => halfProduct(form, size))),
  ...sizes.flatMap((size) => forms.map((form) => halfProduct(form, size, 'both'))),
  ...forms.map((form) => product(form, [36, 32, 20], { batch: 6 })),
  ...forms.map((form) => product(form, [65, 33, 70], { batch: 3 })),
  softmax([37, 129]),
  softmax([3, 2050]),
  softmax([1030, 16]),
  layerNorm([37, 129]),
  layerNorm([1030, 64]),
  gelu([37, 129]),
  crossEntropy([19, 300]),
  crossEntropy([256, 65]),
  embedding([50, 33], 70),
  embeddingGradient([50, 33], 70),
  embeddingGradient([300, 64], 1000),
  adamWStep(8, 2),
  attention([2, 17, 3, 8]),
  attention([1, 70, 2, 32]),
  attention([1, 40, 1, 64]),
  attentionGradient([2, 17, 3, 8]),
  attentionGradient([1, 70, 2, 32]),
  attentionGradient([1, 40, 1, 64]),
  blockStep({ batch: 2, tokens: 9, width: 24, depth: 2, heads: 3 }),
  blockStep({ batch: 2, tokens: 32, width: 64, depth: 1, heads: 2 }),
];
