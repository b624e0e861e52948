/** Gradients of every layer, for parameters and inputs, against central differences in float64. */
import { valueAndGrad } from '@clipin/autograd';
import {
  evaluate,
  init,
  leaves,
  normal,
  randomKey,
  splitKey,
  type Tensor,
  tensor,
  withLeaves,
} from '@clipin/tensor';
import { beforeAll, expect, it } from 'vitest';
import {
  activations,
  attentionPool,
  dropout,
  embedding,
  keyMask,
  l2Normalize,
  layerNorm,
  linear,
  mlp,
  multiHeadAttention,
  patchEmbedding,
  patchedImages,
  quickGelu,
  rotaryEmbedding,
  textTransformer,
  transformer,
  visionTransformer,
} from './index';

beforeAll(async () => {
  await init({ device: 'reference' });
});

const key = (seed: number) => randomKey(seed);

/** A scalar of an output that treats no two elements alike. */
const mixed = (y: Tensor) => {
  const weights = Float64Array.from({ length: y.size }, (_, i) => Math.sin(1 + 2 * i));
  return y.mul(tensor(weights, y.shape, { dtype: 'f32' })).sum();
};

/** A tree moved by `size` along a fixed direction with a random part for each element. */
const moved = <T>(tree: T, directions: readonly Tensor[], size: number): T =>
  withLeaves(
    tree,
    leaves(tree).map(({ tensor: x }, i) => x.add(directions[i]!.mul(size))),
  );

/** Compares the derivative along one random direction of each leaf in turn. */
async function checkGradients<T>(given: T, f: (tree: T) => Tensor) {
  const loss = (tree: T) => mixed(f(tree));
  // A small random part everywhere, so that gains, biases and zeros are ordinary numbers too.
  const found = leaves(given);
  const noise = splitKey(key(99), 2 * found.length).map((own, i) =>
    normal(own, found[i % found.length]!.tensor.shape),
  );
  const tree = evaluate(moved(given, noise.slice(0, found.length), 0.5));
  const directions = evaluate(noise.slice(found.length));
  const [, gradients] = valueAndGrad(loss)(tree);
  const along = leaves(gradients).map(({ tensor: g }, i) => g.mul(directions[i]!).sum());
  const still = directions.map((direction) => direction.mul(0));
  const size = 3e-6;
  for (const [i, { path }] of found.entries()) {
    const only = still.map((zero, j) => (i === j ? directions[i]! : zero));
    const difference = loss(moved(tree, only, size))
      .sub(loss(moved(tree, only, -size)))
      .div(2 * size);
    const [got, expected] = [await along[i]!.item(), await difference.item()];
    expect(Math.abs(got - expected), `${path}: ${got}, central difference ${expected}`).toBeLessThan(
      1e-6 * Math.max(1, Math.abs(expected)),
    );
  }
}

const input = (...shape: number[]) => normal(key(1), shape);

it('linear', async () => {
  const layer = linear(3, 4);
  await checkGradients({ params: layer.init(key(0)), x: input(2, 3) }, ({ params, x }) =>
    layer.apply(params, x),
  );
});

it('embedding', async () => {
  const layer = embedding(5, 3);
  const ids = tensor(Int32Array.of(4, 0, 4), [3]);
  await checkGradients(layer.init(key(0)), (params) => layer.apply(params, ids));
});

it('layerNorm', async () => {
  const layer = layerNorm(5);
  await checkGradients({ params: layer.init(key(0)), x: input(2, 5) }, ({ params, x }) =>
    layer.apply(params, x),
  );
});

it('l2Normalize', async () => {
  await checkGradients(input(3, 4), (x) => l2Normalize(x));
});

it.each(Object.keys(activations) as (keyof typeof activations)[])('%s', async (name) => {
  await checkGradients(input(8), (x) => activations[name](x.add(0.05)));
});

it('sigmoids keep finite gradients far out', async () => {
  const [, gradient] = valueAndGrad((x: Tensor) => quickGelu(x).sum())(tensor([-2000, 2000]));
  expect(Array.from(await gradient.data())).toEqual([expect.closeTo(0, 12), expect.closeTo(1, 12)]);
});

it('dropout', async () => {
  await checkGradients(input(12), (x) => dropout(x, 0.4, key(5)));
});

it('mlp', async () => {
  const layer = mlp({ inputs: 3, hidden: 5 });
  await checkGradients({ params: layer.init(key(0)), x: input(2, 3) }, ({ params, x }) =>
    layer.apply(params, x),
  );
});

it('rotaryEmbedding', async () => {
  await checkGradients(input(1, 3, 2, 4), (x) => rotaryEmbedding(x));
});

it('multiHeadAttention with a mask', async () => {
  const layer = multiHeadAttention({ width: 4, heads: 2, causal: true });
  const mask = keyMask(tensor([[true, true, false]]));
  await checkGradients({ params: layer.init(key(0)), x: input(1, 3, 4) }, ({ params, x }) =>
    layer.apply(params, x, { mask }),
  );
});

it('transformer with rotary positions', async () => {
  const layer = transformer({ width: 4, depth: 1, heads: 1, mlpHidden: 8, causal: true, rotary: true });
  await checkGradients({ params: layer.init(key(0)), x: input(1, 3, 4) }, ({ params, x }) =>
    layer.apply(params, x),
  );
});

it('transformer of which one token is wanted', async () => {
  const layer = transformer({ width: 4, depth: 2, heads: 1, mlpHidden: 4, causal: true, rotary: true });
  const queries = tensor(Int32Array.of(2, 0), [2, 1]);
  await checkGradients({ params: layer.init(key(0)), x: input(2, 3, 4) }, ({ params, x }) =>
    layer.apply(params, x, { queries }),
  );
});

it('patchEmbedding', async () => {
  const layer = patchEmbedding({ patchSize: 2, width: 3, channels: 1 });
  await checkGradients({ params: layer.init(key(0)), x: input(1, 4, 2, 1) }, ({ params, x }) =>
    layer.apply(params, x),
  );
});

it('attentionPool', async () => {
  const layer = attentionPool({ width: 4, heads: 2, mlpHidden: 3 });
  const x = evaluate(input(2, 3, 4));
  await checkGradients([evaluate(layer.init(key(0))), x] as const, ([params, given]) =>
    layer.apply(params, given),
  );
});

it('visionTransformer of patches', async () => {
  const layer = visionTransformer({
    imageSize: 4,
    patchSize: 2,
    width: 4,
    depth: 1,
    heads: 2,
    mlpHidden: 4,
    outputs: 4,
    pool: 'attention',
    patchBias: true,
    lnPre: false,
    projection: false,
  });
  const patches = new Float32Array(3 * 3 * 2 * 2 * 2).map((_, i) => Math.sin(i));
  const images = patchedImages([{ patches, grid: [2, 3] }], { patchSize: 2, positions: 2, patches: 7 });
  await checkGradients(evaluate(layer.init(key(0))), (params) => layer.apply(params, images));
});

it('textTransformer with stretched positions, without a causal mask, and with a bias', async () => {
  const size = { vocabulary: 6, width: 4, depth: 1, heads: 2, mlpHidden: 4, outputs: 2 };
  const layer = textTransformer({
    ...size,
    contextLength: 21,
    positions: 'stretched',
    causal: false,
    pool: 'last',
    projectionBias: true,
  });
  const ids = tensor(
    Int32Array.from({ length: 21 }, (_, i) => (i * i) % 6),
    [1, 21],
  );
  await checkGradients(evaluate(layer.init(key(0))), (params) => layer.apply(params, ids));
});

it.each(['class', 'mean'] as const)('visionTransformer, pool %s', async (pool) => {
  const layer = visionTransformer({
    imageSize: 4,
    patchSize: 2,
    width: 4,
    depth: 1,
    heads: 2,
    mlpHidden: 4,
    outputs: 2,
    pool,
  });
  const images = evaluate(input(2, 4, 4, 3));
  await checkGradients(evaluate(layer.init(key(0))), (params) => layer.apply(params, images));
});

it.each(['absolute', 'rotary'] as const)('textTransformer, %s', async (positions) => {
  const layer = textTransformer({
    vocabulary: 6,
    contextLength: 4,
    width: 4,
    depth: 1,
    heads: 2,
    mlpHidden: 4,
    outputs: 2,
    positions,
  });
  const ids = tensor(Int32Array.of(4, 1, 5, 0, 4, 3, 2, 5), [2, 4]);
  await checkGradients(evaluate(layer.init(key(0))), (params) => layer.apply(params, ids));
});
