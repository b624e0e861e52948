/** Training with f32 parameters that are cast to f16 for the forward pass, beside the same training in f32. */
import { valueAndGrad } from '@clipin/autograd';
import { evaluate, init, jit, mapTree, normal, randomKey, splitKey, type Tensor } from '@clipin/tensor';
import { describe, expect, it } from 'vitest';
import { adamW, applyUpdates, chain, clipByGlobalNorm, type StateOf } from './index';

await init({ device: 'wasm', threads: 1 });

const [batch, width, depth] = [256, 64, 4];
interface Params {
  readonly layers: readonly Tensor[];
  readonly last: Tensor;
}

const keys = splitKey(randomKey(3), depth + 3) as Tensor[];
const scaled = (key: Tensor, shape: readonly number[]) => normal(key, shape).mul(1 / Math.sqrt(width));
const start = (): Params =>
  evaluate({
    layers: keys.slice(3).map((key) => scaled(key, [width, width])),
    last: scaled(keys[2] as Tensor, [width, 1]),
  });

const same = (x: Tensor) => x;
const half = (x: Tensor) => x.cast('f16');

/** Mean squared error of a network whose weights, and activations between layers, pass through `store`. */
const lossIn =
  (store: (x: Tensor) => Tensor) =>
  (params: Params, x: Tensor, y: Tensor): Tensor => {
    const { layers, last } = mapTree(store, params);
    const features = layers.reduce((h, weight) => store(h.matmul(weight).tanh()), store(x));
    return features.matmul(last).sub(y).square().mean();
  };

async function train(store: (x: Tensor) => Tensor, steps: number) {
  const rule = chain(clipByGlobalNorm(1), adamW({ learningRate: 3e-3 }));
  const loss = lossIn(store);
  const step = jit(
    (params: Params, state: StateOf<typeof rule, Params>, x: Tensor, y: Tensor) => {
      const [value, gradients] = valueAndGrad(loss)(params, x, y);
      const [updates, next] = rule.update(gradients, state, params);
      return { params: applyUpdates(params, updates), state: next, loss: value };
    },
    { donate: [0, 1] },
  );
  const x = evaluate(normal(keys[0] as Tensor, [batch, width]));
  const y = evaluate(x.matmul(scaled(keys[1] as Tensor, [width, 1])).sin());
  let params = start();
  let state = evaluate(rule.init(params));
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const next = step(params, state, x, y);
    ({ params, state } = next);
    losses.push(await next.loss.item());
  }
  return { losses, params };
}

describe('mixed precision', () => {
  it('follows training in f32 closely, with f32 parameters', async () => {
    const [wide, mixed] = [await train(same, 100), await train(half, 100)];
    expect(wide.losses[99]).toBeLessThan(0.05 * (wide.losses[0] as number));
    wide.losses.forEach((loss, i) => {
      const away = Math.abs((mixed.losses[i] as number) - loss);
      expect(away, `step ${i}`).toBeLessThan(0.05 * loss + 1e-6);
    });
    for (const x of [...mixed.params.layers, mixed.params.last]) expect(x.dtype).toBe('f32');
  });

  it('loses gradients below what f16 holds, and a factor on the loss brings them back', async () => {
    const w = evaluate(normal(randomKey(1), [4, 4]).mul(0.1));
    const x = evaluate(normal(randomKey(2), [8, 4]));
    const loss = (at: Tensor, factor: number) =>
      x
        .matmul(at.cast('f16'))
        .square()
        .mean()
        .mul(1e-9 * factor);
    const gradient = async (factor: number) => {
      const [, g] = valueAndGrad(loss)(w, factor);
      return Array.from(await g.mul(1 / factor).data());
    };
    expect((await gradient(1)).every((slope) => slope === 0)).toBe(true);
    const [exact, scaledUp] = [await gradient(2 ** 30), await gradient(2 ** 22)];
    scaledUp.forEach((slope, i) => {
      const wanted = exact[i] as number;
      expect(Math.abs(slope - wanted)).toBeLessThan(2 ** -9 * Math.abs(wanted) + 2 ** -46);
    });
  });
});
