/** `grad`, `valueAndGrad`, `vjp`: trees, types, nesting, jit, and what is refused. */
import { createReferenceDevice } from '@clipin/kernel';
import { jit, type Operation, setDefaultDevice, Tensor, tensor, withRecorders, zeros } from '@clipin/tensor';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { checkpoint, customVjp, elementwise, grad, stopGradient, valueAndGrad, vjp } from './index';

setDefaultDevice(createReferenceDevice());

const read = async (x: Tensor) => Array.from(await x.data());

describe('trees', () => {
  const params = {
    w: tensor([1, 2]),
    layers: [{ b: tensor(3) }, { b: tensor(4) }] as const,
    name: 'net',
    none: null,
  };
  const loss = (p: typeof params, x: Tensor) => p.w.mul(x).sum().mul(p.layers[0].b).add(p.layers[1].b);

  test('gradients have the type and the structure of the parameters', async () => {
    const [value, gradients] = valueAndGrad(loss)(params, tensor([5, 6]));
    expectTypeOf(gradients).toEqualTypeOf<typeof params>();
    expectTypeOf(value).toEqualTypeOf<Tensor>();
    expectTypeOf(grad(loss)).parameters.toEqualTypeOf<[typeof params, Tensor]>();
    expectTypeOf(grad(loss)).returns.toEqualTypeOf<typeof params>();
    expect(await value.item()).toBe(55);
    expect(await read(gradients.w)).toEqual([15, 18]);
    expect(await read(gradients.layers[0].b)).toEqual([17]);
    expect(await read(gradients.layers[1].b)).toEqual([1]);
    expect(gradients.name).toBe('net');
    expect(gradients.none).toBe(null);
  });

  test('aux comes through, typed', async () => {
    const f = (p: typeof params, x: Tensor) => [loss(p, x), { seen: p.w.mul(2), steps: 3 }] as const;
    const [[value, aux], gradients] = valueAndGrad(f, { hasAux: true })(params, tensor([5, 6]));
    expectTypeOf(aux).toEqualTypeOf<{ readonly seen: Tensor; readonly steps: 3 }>();
    expectTypeOf(gradients).toEqualTypeOf<typeof params>();
    expect(await value.item()).toBe(55);
    expect(await read(aux.seen)).toEqual([2, 4]);
    expect(aux.steps).toBe(3);
  });

  test('what the value does not depend on has gradient zeros', async () => {
    const g = grad((p: { a: Tensor; b: Tensor }) => p.a.sum())({ a: tensor([1, 2]), b: tensor([[3]]) });
    expect(await read(g.b)).toEqual([0]);
    expect(g.b.shape).toEqual([1, 1]);
  });

  test('the same tensor at two places has a gradient at each', async () => {
    const x = tensor([2, 3]);
    const g = grad(({ a, b }: { a: Tensor; b: Tensor }) => a.mul(b).mul(b).sum())({ a: x, b: x });
    expect(await read(g.a)).toEqual([4, 9]);
    expect(await read(g.b)).toEqual([8, 18]);
  });
});

describe('vjp', () => {
  test('of several arguments and results', async () => {
    const f = (a: Tensor, tree: { b: Tensor }) => ({ product: a.mul(tree.b), sum: a.add(tree.b), same: a });
    const [value, pullback] = vjp(f, tensor([1, 2]), { b: tensor([3, 4]) });
    expect(await read(value.product)).toEqual([3, 8]);
    const ones = tensor([1, 1]);
    const [a, tree] = pullback({ product: tensor([1, 10]), sum: ones, same: ones });
    expectTypeOf(tree).toEqualTypeOf<{ b: Tensor }>();
    expect(await read(a)).toEqual([5, 42]);
    expect(await read(tree.b)).toEqual([2, 21]);
    const [again] = pullback({ product: ones, sum: zeros([2]), same: zeros([2]) });
    expect(await read(again)).toEqual([3, 4]);
  });

  test('a gradient that is not like the value is refused', () => {
    const [, pullback] = vjp((x: Tensor) => x.mul(2), tensor([1, 2]));
    expect(() => pullback(tensor([1]))).toThrow(
      'vjp: the gradient Tensor(f32[1] on reference) is not like the value Tensor(f32[2] on reference)',
    );
  });
});

describe('nesting', () => {
  const cube = (x: Tensor) => x.mul(x).mul(x).sum();

  test('third derivatives', async () => {
    const second = grad((x: Tensor) => grad(cube)(x).sum());
    expect(await read(second(tensor([2, -1])))).toEqual([12, -6]);
    expect(await read(grad((x: Tensor) => second(x).sum())(tensor([2, -1])))).toEqual([6, 6]);
  });

  test('an inner gradient does not see the outer variable as its own', async () => {
    // d/dx [x · d/dy (x + y)] = 1, the classical confusion of perturbations gives 2.
    const f = (x: Tensor) => x.mul(grad((y: Tensor) => x.add(y).sum())(tensor(1))).sum();
    expect(await grad(f)(tensor(3)).item()).toBe(1);
  });

  test('with jit inside and outside', async () => {
    const f = jit((x: Tensor) => x.exp().mul(x).sum());
    const x = tensor([0.5, 2]);
    const expected = await read(grad(f)(x));
    expect(
      expected.map((v, i) => v - Math.exp([0.5, 2][i] as number) * (1 + ([0.5, 2][i] as number))),
    ).toEqual([0, 0]);
    const compiled = jit((y: Tensor) => valueAndGrad(f)(y));
    for (let call = 0; call < 2; call++) expect(await read(compiled(x)[1])).toEqual(expected);
    const second = jit((y: Tensor) => grad((z: Tensor) => grad(f)(z).sum())(y));
    const [first] = await read(second(x));
    expect(first).toBeCloseTo(Math.exp(0.5) * 2.5, 12);
  });
});

describe('refused', () => {
  test('a loss that is no f32 scalar', () => {
    const x = tensor([1, 2]);
    expect(() => grad((y: Tensor) => y.mul(2))(x)).toThrow(
      'grad: the function returned Tensor(f32[2] on reference); wants an f32 scalar, such as a sum or a mean',
    );
    expect(() => grad((y: Tensor) => y.sum().cast('i32'))(x)).toThrow(
      'grad: the function returned Tensor(i32[] on reference)',
    );
    expect(() => grad((() => [x.sum(), 1]) as never)(x)).toThrow('aux needs { hasAux: true }');
  });

  test('a parameter that is no f32, by its path', () => {
    const params = { steps: [tensor(Int32Array.of(1))] };
    expect(() => grad((p: typeof params) => p.steps[0]?.cast('f32').sum() ?? tensor(0))(params)).toThrow(
      'grad: Tensor(i32[1] on reference) at steps.0 cannot be differentiated; only f32 and f16 can, pass others as further arguments',
    );
    expect(() => vjp((x: Tensor) => x, tensor([true]))).toThrow(
      'vjp: Tensor(bool[1] on reference) at 0 cannot be differentiated',
    );
  });

  test('a rule of the wrong shape', () => {
    const wrong = customVjp((x: Tensor) => [x.mul(2), (): [Tensor] => [tensor([1, 2, 3])]]);
    expect(() => grad((x: Tensor) => wrong(x).sum())(tensor([1, 2]))).toThrow(
      'the derivative rule of customVjp gave Tensor(f32[3] on reference) for an input Tensor(f32[2] on reference)',
    );
  });

  test('a checkpoint that closes over what is differentiated', () => {
    const f = (w: Tensor) => checkpoint((x: Tensor) => x.mul(w))(tensor([1, 2])).sum();
    expect(() => grad(f)(tensor([3, 4]))).toThrow(
      'checkpoint: the function closes over Tensor(f32[2] on reference), which a gradient is taken of; pass it as an argument',
    );
  });
});

describe('stopGradient', () => {
  test('of a tree: the values without their dependence', async () => {
    const f = (x: Tensor) => {
      const { y } = stopGradient({ y: x.mul(x) });
      return x.mul(y).sum();
    };
    expect(await read(grad(f)(tensor([2, 3])))).toEqual([4, 9]);
  });
});

describe('customVjp', () => {
  const doubled = customVjp((x: Tensor, y: Tensor) => [
    { z: x.mul(y), w: x.sum() },
    (g: { z: Tensor; w: Tensor }): [Tensor, Tensor] => [g.z.mul(y).mul(2).add(g.w), g.z.mul(0)],
  ]);

  test('the rule replaces the derivative; results nobody uses have gradient zeros', async () => {
    const g = grad((x: Tensor) => doubled(x, x).z.sum())(tensor([Number.POSITIVE_INFINITY, 3]));
    expect(await read(g)).toEqual([Infinity, 6]);
  });

  test('second derivatives go through the rule', async () => {
    const square = customVjp((x: Tensor) => [x.square(), (g: Tensor): [Tensor] => [g.mul(x).mul(2)]]);
    const second = grad((x: Tensor) => grad((y: Tensor) => square(y).mul(y).sum())(x).sum());
    expect(await read(second(tensor([2, -1])))).toEqual([12, -6]);
  });
});

describe('elementwise', () => {
  const f = (x: Tensor) => x.mul(x.sin()).exp();
  const points = tensor([0.3, -0.7, 1.1]);

  test('value and derivatives, the second too, are those of the function', async () => {
    const of = (g: (x: Tensor) => Tensor) => {
      const first = grad((x: Tensor) => g(x).square().sum());
      const second = grad((x: Tensor) => first(x).mul(x).sum());
      return Promise.all([g(points), first(points), second(points)].map(read));
    };
    const [wanted, got] = [await of(f), await of(elementwise(f))];
    got.forEach((values, i) => {
      values.forEach((value, j) => {
        expect(value).toBeCloseTo(wanted[i]?.[j] as number, 12);
      });
    });
  });

  test('refuses a function that changes the shape, or reads what a gradient is taken of', () => {
    const summed = elementwise((x) => x.sum());
    expect(() => grad((x: Tensor) => summed(x))(points)).toThrow(
      'elementwise: the function made Tensor(f32[] on reference) of Tensor(f32[3] on reference); wants the same shape',
    );
    const scaled = (p: { x: Tensor; scale: Tensor }) => elementwise((x) => x.mul(p.scale))(p.x).sum();
    expect(() => grad(scaled)({ x: points, scale: tensor(2) })).toThrow(
      'elementwise: the function closes over Tensor(f32[] on reference), which a gradient is taken of; do without elementwise',
    );
  });
});

describe('checkpoint', () => {
  const block = (x: Tensor, w: { a: Tensor }) => x.matmul(w.a).tanh().matmul(w.a).sin();
  const x = tensor([
    [0.3, -0.7],
    [1.1, 0.2],
    [0.5, 0.9],
  ]);
  const w = {
    a: tensor([
      [0.4, -1.2],
      [0.8, 0.6],
    ]),
  };

  test('gradients are equal bit for bit', async () => {
    const [kept, again] = [block, checkpoint(block)].map((f) =>
      grad((p: typeof w) => f(f(x, p), p).square().sum())(w),
    );
    expect(await read(again?.a as Tensor)).toEqual(await read(kept?.a as Tensor));
    const [twice, twiceAgain] = [block, checkpoint(block)].map((f) =>
      grad((p: typeof w) =>
        grad((q: typeof w) => f(x, q).square().sum())(p)
          .a.square()
          .sum(),
      )(w),
    );
    // Second derivatives add the same terms in another order.
    const expected = await read(twice?.a as Tensor);
    (await read(twiceAgain?.a as Tensor)).forEach((v, n) => {
      expect(v).toBeCloseTo(expected[n] as number, 12);
    });
  });

  /** Counts operations of a kind that run. */
  function countOf(name: string, run: () => unknown): number {
    let count = 0;
    const is = (operation: Operation) => operation.kind === 'scalar' && operation.op === name;
    withRecorders([{ record: ({ operation }) => void (is(operation) && count++) }], run);
    return count;
  }

  test('the function is computed again in the backward pass, and nothing of it is kept', () => {
    const once = (f: typeof block) => () => grad((p: typeof w) => f(x, p).sum())(w);
    expect(countOf('tanh', once(block))).toBe(1);
    let runs = 0;
    const counted = checkpoint((y: Tensor, p: typeof w) => {
      runs++;
      return block(y, p);
    });
    const [value, pullback] = vjp((p: typeof w) => counted(x, p).sum(), w);
    expect(runs).toBe(1);
    expect(value).toBeInstanceOf(Tensor);
    pullback(tensor(1));
    expect(runs).toBe(2);
  });

  test('without a gradient it is the function', async () => {
    expect(await read(checkpoint(block)(x, w))).toEqual(await read(block(x, w)));
  });
});
