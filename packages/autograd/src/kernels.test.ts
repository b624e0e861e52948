/** Forward and backward passes fuse: how many kernels they become. */
import { createReferenceDevice, type Launch } from '@clipin/kernel';
import { evaluate, setDefaultDevice, softmax, type Tensor, zeros } from '@clipin/tensor';
import { expect, test } from 'vitest';
import { valueAndGrad } from './index';

const reference = createReferenceDevice();
let launches: readonly Launch[] = [];
setDefaultDevice({
  ...reference,
  limits: { ...reference.limits, kernelBuffers: 10 },
  load(given) {
    launches = given;
    return reference.load(given);
  },
});

const leaf = (...shape: number[]): Tensor => evaluate(zeros(shape).add(0.5));
const params = { x: leaf(2, 4, 8), weight: leaf(8, 8), gain: leaf(8), bias: leaf(8) };
type Params = typeof params;

function kernelsOf(f: (p: Params) => Tensor): number {
  evaluate(valueAndGrad((p: Params) => f(p).square().sum())(params));
  return launches.length;
}

const gelu = (x: Tensor): Tensor => x.mul(0.5).mul(x.div(Math.SQRT2).erf().add(1));
const layerNorm = (x: Tensor, { gain, bias }: Params): Tensor => {
  const centered = x.sub(x.mean(-1, { keepDims: true }));
  const spread = centered.square().mean(-1, { keepDims: true }).add(1e-5).sqrt();
  return centered.div(spread).mul(gain).add(bias);
};

// Among them are the loss, and zeros for parameters that are not used.
test.each<[name: string, most: number, f: (p: Params) => Tensor]>([
  ['softmax', 11, ({ x }) => softmax(x)],
  ['layerNorm', 13, (p) => layerNorm(p.x, p)],
  ['a linear layer with gelu', 9, ({ x, weight, bias }) => gelu(x.matmul(weight).add(bias))],
])('%s and its gradients take at most %i', (_, most, f) => {
  expect(kernelsOf(f)).toBeLessThanOrEqual(most);
});
