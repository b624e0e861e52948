import { createReferenceDevice } from '@clipin/kernel';
import { attention, normal, randomKey, setDefaultDevice, type Tensor, tensor } from '@clipin/tensor';
import { beforeAll, expect, it } from 'vitest';
import { checkpoint, customVjp, grad, stopGradient, valueAndGrad } from './index';

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

const values = async (x: Tensor) => Array.from(await x.data());

async function central(f: (x: Tensor) => Tensor, x: Tensor): Promise<number[]> {
  const at = await values(x);
  const slopes: number[] = [];
  for (let i = 0; i < at.length; i++) {
    const step = 1e-5;
    const shifted = async (by: number) =>
      f(
        tensor(
          Float64Array.from(at, (v, j) => (i === j ? v + by : v)),
          x.shape,
        ),
      ).item();
    slopes.push(((await shifted(step)) - (await shifted(-step))) / (2 * step));
  }
  return slopes;
}

const close = (a: number[], b: number[]) => {
  expect(a.length).toBe(b.length);
  a.forEach((v, i) => {
    expect(v).toBeCloseTo(b[i] as number, 6);
  });
};

it('matches central differences on compositions', async () => {
  const x = normal(randomKey(3), [3, 4]);
  const w = normal(randomKey(4), [4, 3]);
  const fs: ((x: Tensor) => Tensor)[] = [
    (x) => x.matmul(w).tanh().square().sum(),
    (x) => x.slice([2, undefined, -2], [0, 4, 3]).exp().sum(),
    (x) =>
      x
        .pad([
          [1, 0],
          [0, 2],
        ])
        .transpose()
        .reshape([-1])
        .square()
        .max(),
    (x) =>
      x
        .gather(tensor(Int32Array.of(2, 0, 2)))
        .mul(x)
        .product(1)
        .sum(),
    (x) => checkpoint((y: Tensor) => y.sin().mul(y))(x).sum(),
    (x) =>
      grad((y: Tensor) => y.matmul(w).exp().sum())(x)
        .square()
        .sum(),
    (x) =>
      customVjp((y: Tensor) => [y.square(), (g: Tensor): [Tensor] => [g.mul(y).mul(2)]])(x)
        .mul(x)
        .sum(),
    (x) =>
      grad((z: Tensor) =>
        customVjp((y: Tensor) => [y.square(), (g: Tensor): [Tensor] => [g.mul(y).mul(2)]])(z)
          .mul(z)
          .sum(),
      )(x)
        .square()
        .sum(),
    (x) =>
      grad((z: Tensor) => checkpoint((y: Tensor) => y.sin().mul(y))(z).sum())(x)
        .square()
        .sum(),
  ];
  for (const f of fs) close(await values(grad(f)(x)), await central(f, x));
});

it('differentiates attention once and twice', async () => {
  const x = normal(randomKey(5), [1, 3, 2, 2]);
  const k = normal(randomKey(6), [1, 3, 2, 2]);
  const f = (q: Tensor) =>
    attention(q, k.add(q.mul(0.3)), q.mul(k), { causal: true })
      .result.square()
      .sum();
  close(await values(grad(f)(x)), await central(f, x));
  const second = (q: Tensor) => grad(f)(q).square().sum();
  close(await values(grad(second)(x)), await central(second, x));
});

it('keeps trees and aux, and stops gradients', async () => {
  const params = { a: tensor([1, 2]), b: [tensor(3)] };
  const [[loss, aux], g] = valueAndGrad(
    (p: typeof params) => [p.a.sum().mul(p.b[0] as Tensor), { twice: p.a.mul(2) }] as const,
    { hasAux: true },
  )(params);
  expect(await loss.item()).toBe(9);
  expect(await values(aux.twice)).toEqual([2, 4]);
  expect(await values(g.a)).toEqual([3, 3]);
  expect(await values(g.b[0] as Tensor)).toEqual([3]);
  expect(await values(grad((x: Tensor) => x.mul(stopGradient(x)).sum())(params.a))).toEqual([1, 2]);
});
