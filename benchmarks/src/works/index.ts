/** All works, in the order of the table. */
import { adamWStep } from './adamw-step';
import { attention, attentionGradient } from './attention';
import { blockStep } from './block-step';
import { clipInStep } from './clip-in-step';
import { mlpStep } from './mlp-step';
import { type Form, halfProduct, product } from './product';
import { crossEntropy, embedding, embeddingGradient, gelu, layerNorm, softmax } from './rows';
import { vit } from './vit';
import type { Work } from './work';

const forms: readonly Form[] = ['nn', 'tn', 'nt'];
const [oneThread, memory] = [true, true];
/** Where a weight counts gigabytes, which each process keeps for itself. */
const native = ['onnxruntime', 'PyTorch'];

/** For processors. */
export const cpuWorks: readonly Work[] = [
  product('nn', [256, 256, 256], { oneThread }),
  ...[512, 1024].flatMap((n) => forms.map((form) => product(form, [n, n, n], { oneThread: n === 1024 }))),
  halfProduct('nn', [1024, 1024, 1024]),
  product('nn', [1, 1024, 1024]), // a vector
  halfProduct('nn', [1, 1024, 1024]),
  product('nn', [4096, 64, 64]), // thin: a layer
  product('nt', [4096, 64, 64]), // the gradient of its input
  product('nn', [64, 4096, 64]), // a long sum
  product('tn', [64, 4096, 64]), // the gradient of its weight
  ...forms.map((form) => product(form, [64, 32, 64], { batch: 256 })), // as in attention
  softmax([4096, 512]),
  layerNorm([4096, 512]),
  gelu([4096, 512]),
  crossEntropy([1024, 2048]),
  embedding([8192, 256], 8192),
  embeddingGradient([8192, 256], 8192),
  adamWStep(64, 20),
  attention([8, 256, 4, 32]),
  attentionGradient([8, 256, 4, 32]),
  mlpStep(),
  blockStep(),
  vit('ViT-B/32', 1),
  vit('ViT-B/32', 8, { memory }),
  vit('ViT-L/14', 1, { peers: native }),
  vit('ViT-L/14', 8, { peers: native, memory }),
  clipInStep(),
];

/** For adapters that compute on the processor, which are slow: one large product, otherwise small sizes. */
export const softwareAdapterWorks: readonly Work[] = [
  ...forms.map((form) => product(form, [256, 256, 256])),
  product('nn', [1024, 1024, 1024]),
  halfProduct('nn', [256, 256, 256]),
  halfProduct('nn', [256, 256, 256], 'both'),
  product('nn', [4096, 64, 64]),
  product('tn', [64, 4096, 64]),
  ...forms.map((form) => product(form, [64, 32, 64], { batch: 32 })),
  softmax([1024, 512]),
  layerNorm([1024, 512]),
  gelu([1024, 512]),
  crossEntropy([256, 1024]),
  embedding([1024, 256], 1024),
  embeddingGradient([1024, 256], 1024),
  adamWStep(16, 20),
  attention([2, 64, 4, 32]),
  attentionGradient([2, 64, 4, 32]),
  mlpStep(),
  blockStep(),
];

/** For GPUs. */
export const gpuWorks: readonly Work[] = [
  ...[1024, 4096].flatMap((n) => forms.map((form) => product(form, [n, n, n]))),
  halfProduct('nn', [4096, 4096, 4096]),
  ...[1024, 4096].flatMap((n) => forms.map((form) => halfProduct(form, [n, n, n], 'both'))),
  product('nn', [1, 4096, 4096]),
  halfProduct('nn', [1, 4096, 4096]),
  product('nn', [65536, 64, 64]),
  product('tn', [64, 65536, 64]),
  ...forms.map((form) => product(form, [64, 64, 64], { batch: 2048 })),
  softmax([32768, 1024]),
  layerNorm([32768, 1024]),
  gelu([32768, 1024]),
  crossEntropy([8192, 4096]),
  embedding([49408, 512], 32768),
  embeddingGradient([49408, 512], 32768),
  adamWStep(512, 20),
  attention([16, 1024, 8, 64]),
  attentionGradient([16, 1024, 8, 64]),
  mlpStep(),
  blockStep(),
  blockStep({ batch: 64, tokens: 256, width: 512, depth: 1, heads: 8 }),
  vit('ViT-B/32', 64),
  clipInStep(),
];
