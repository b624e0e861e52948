/** Invariants of update rules: what each part does by itself, convergence, and steps under jit. */
import { grad, valueAndGrad } from '@clipin/autograd';
import { evaluate, full, init, jit, leaves, type Tensor, tensor } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import {
  type AdamState,
  adamW,
  addDecayedWeights,
  applyUpdates,
  chain,
  clipByGlobalNorm,
  descend,
  type GradientTransformation,
  globalNorm,
  isMatrix,
  type StateKind,
  type StateOf,
  scaleByAdam,
  sgd,
  warmupCosine,
} from './index';

beforeAll(async () => {
  await init({ device: 'reference' });
});

const values = async (x: Tensor) => Array.from(await x.data());
const vector = (numbers: readonly number[]) =>
  tensor(Float64Array.from(numbers), undefined, { dtype: 'f32' });
const at = (count: number) => full([], count, { dtype: 'i32' });
const numbers = fc.array(fc.double({ min: -1e3, max: 1e3, noNaN: true }), { minLength: 1, maxLength: 6 });

describe('clipByGlobalNorm', () => {
  it('limits the norm of the whole tree and keeps its direction', async () => {
    await checkProperty(
      fc.asyncProperty(
        numbers,
        numbers,
        fc.double({ min: 0.1, max: 100, noNaN: true }),
        async (a, b, limit) => {
          const tree = { a: vector(a), nested: [vector(b)] as [Tensor] };
          const [clipped] = clipByGlobalNorm(limit).update(tree, undefined, tree);
          const norm = Math.hypot(...a, ...b);
          expect(await globalNorm(tree).item()).toBeCloseTo(norm, 6);
          const factor = norm > limit ? limit / norm : 1;
          const got = [...(await values(clipped.a)), ...(await values(clipped.nested[0]))];
          [...a, ...b].forEach((value, i) => {
            expect(got[i]).toBeCloseTo(value * factor, 9);
          });
        },
      ),
    );
  });

  it('zeros stay zeros, a limit that is not positive is refused', async () => {
    const [clipped] = clipByGlobalNorm(1).update({ a: vector([0, 0]) }, undefined, { a: vector([0, 0]) });
    expect(await values(clipped.a)).toEqual([0, 0]);
    expect(() => clipByGlobalNorm(0)).toThrow('the limit is 0; wants more than 0');
  });
});

describe('warmupCosine', () => {
  it('rises in a line, falls as a cosine, and stays at its end', async () => {
    const schedule = warmupCosine({ peak: 2, warmupSteps: 4, totalSteps: 12, end: 0.5 });
    const got: number[] = [];
    for (let count = 0; count < 15; count++) got.push(await schedule(at(count)).item());
    const expected = Array.from({ length: 15 }, (_, n) => {
      if (n < 4) return (2 * (n + 1)) / 4;
      return 0.5 + (1.5 / 2) * (1 + Math.cos((Math.PI * Math.min(n - 4, 8)) / 8));
    });
    got.forEach((value, n) => {
      expect(value).toBeCloseTo(expected[n]!, 12);
    });
  });

  it('needs no warm-up, and refuses one as long as everything', async () => {
    expect(await warmupCosine({ peak: 3, warmupSteps: 0, totalSteps: 5 })(at(0)).item()).toBe(3);
    expect(() => warmupCosine({ peak: 3, warmupSteps: 5, totalSteps: 5 })).toThrow(
      'warmupSteps 5, totalSteps 5',
    );
  });
});

it('decays what the mask chooses by path or by shape, and nothing else', async () => {
  const params = { linear: { weight: tensor([[2, 4]]), bias: vector([8]) }, logitScale: tensor(16) };
  const zero = { linear: { weight: tensor([[0, 0]]), bias: vector([0]) }, logitScale: tensor(0) };
  const decayed = async (rule: ReturnType<typeof addDecayedWeights>) => {
    const [updates] = rule.update(zero, undefined, params);
    return Promise.all(leaves(updates).map(({ tensor: update }) => values(update)));
  };
  expect(await decayed(addDecayedWeights(0.5))).toEqual([[1, 2], [4], [8]]);
  expect(await decayed(addDecayedWeights(0.5, isMatrix))).toEqual([[1, 2], [0], [0]]);
  expect(await decayed(addDecayedWeights(0.5, (path) => path !== 'linear.bias'))).toEqual([[1, 2], [0], [8]]);
});

it('the first step of Adam is the sign of the gradient', async () => {
  const rule = scaleByAdam({ epsilon: 0 });
  await checkProperty(
    fc.asyncProperty(
      numbers.map((all) => all.map((x) => (Math.abs(x) < 1e-3 ? 1 : x))),
      async (gradient) => {
        const params = vector(gradient);
        const [updates] = rule.update(params, rule.init(params), params);
        (await values(updates)).forEach((update, i) => {
          expect(update).toBeCloseTo(Math.sign(gradient[i]!), 9);
        });
      },
    ),
    { numRuns: 30 },
  );
});

it('states have the types of the parameters, through chains', () => {
  const params = { w: tensor([[1]]), blocks: [{ gain: vector([1]) }] };
  const rule = chain(clipByGlobalNorm(1), chain(scaleByAdam(), descend(0.1)));
  const state = rule.init(params);
  expectTypeOf(state[0]).toEqualTypeOf<undefined>();
  expectTypeOf(state[1][0]).toEqualTypeOf<AdamState<typeof params>>();
  expectTypeOf(state[1][1].count).toEqualTypeOf<Tensor>();
  expect(leaves(state).map(({ path }) => path)).toEqual([
    '1.0.mean.w',
    '1.0.mean.blocks.0.gain',
    '1.0.variance.w',
    '1.0.variance.blocks.0.gain',
    '1.0.meanWeight',
    '1.0.varianceWeight',
    '1.1.count',
  ]);
});

describe('converges', () => {
  const parabola = ({ x }: { x: Tensor }) =>
    x
      .sub(vector([3, -2]))
      .square()
      .mul(vector([1, 10]))
      .sum();
  const rosenbrock = ({ x }: { x: Tensor }) => {
    const [a, b] = [x.slice([0, 1]), x.slice([1, 2])];
    return b.sub(a.square()).square().mul(100).add(a.neg().add(1).square()).sum();
  };

  it('sgd to the bottom of a parabola', async () => {
    const rule = sgd({ learningRate: 0.01 });
    const step = jit((params: { x: Tensor }, state: StateOf<typeof rule, { x: Tensor }>) => {
      const [updates, next] = rule.update(grad(parabola)(params), state, params);
      return { params: applyUpdates(params, updates), state: next };
    });
    let params = { x: vector([0, 0]) };
    let state = rule.init(params);
    for (let i = 0; i < 300; i++) ({ params, state } = step(params, state));
    const [x, y] = await values(params.x);
    expect(x).toBeCloseTo(3, 4);
    expect(y).toBeCloseTo(-2, 4);
  });

  it('adamW down the valley of Rosenbrock, traced once, with donated state', async () => {
    const steps = 1500;
    const rule = adamW({
      learningRate: warmupCosine({ peak: 0.05, warmupSteps: 20, totalSteps: steps }),
      b2: 0.98,
      weightDecay: 0,
    });
    let traces = 0;
    const step = jit(
      (params: { x: Tensor }, state: StateOf<typeof rule, { x: Tensor }>) => {
        traces++;
        const [loss, gradients] = valueAndGrad(rosenbrock)(params);
        const [updates, next] = rule.update(gradients, state, params);
        return { params: applyUpdates(params, updates), state: next, loss };
      },
      { donate: [0, 1] },
    );
    let params = evaluate({ x: vector([-1.2, 1]) });
    let state = evaluate(rule.init(params));
    const shapes = () =>
      leaves(state).map(({ path, tensor: { dtype, shape } }) => `${path} ${dtype}[${shape}]`);
    const before = shapes();
    let loss = Number.NaN;
    for (let i = 0; i < steps; i++) {
      const out = step(params, state);
      ({ params, state } = out);
      if (i === steps - 1) loss = await out.loss.item();
    }
    expect(traces).toBe(1);
    expect(shapes()).toEqual(before);
    expect(await state[2].count.item()).toBe(steps);
    expect(loss).toBeLessThan(1e-5);
  });
});

describe('f16 parameters', () => {
  const start = [0.5, -1.25, 3, 0.001];
  const slopes = [0.3, -2, 0.01, 5];
  const half = (numbers: readonly number[]) =>
    tensor(Float64Array.from(numbers), undefined, { dtype: 'f16' });

  async function followInF32<Kind extends StateKind>(rule: GradientTransformation<Kind>): Promise<void> {
    let [narrow, wide] = [{ w: half(start) }, { w: half(start).cast('f32') }];
    let [state, wideState] = [rule.init(narrow), rule.init(wide)];
    const gradients = { w: half(slopes) };
    for (let i = 0; i < 3; i++) {
      const [updates, next] = rule.update(gradients, state, narrow);
      const [wideUpdates, wideNext] = rule.update({ w: gradients.w.cast('f32') }, wideState, wide);
      expect(leaves(next).every(({ tensor: { dtype } }) => dtype !== 'f16')).toBe(true);
      expect(await values(updates.w)).toEqual(await values(wideUpdates.w));
      narrow = applyUpdates(narrow, updates);
      wide = { w: applyUpdates(wide, wideUpdates).w.cast('f16').cast('f32') };
      [state, wideState] = [next, wideNext];
      expect(narrow.w.dtype).toBe('f16');
      expect(await values(narrow.w)).toEqual(await values(wide.w));
    }
  }

  it('keep their dtype; averages and updates are f32, and only the sum is rounded', async () => {
    await followInF32(adamW({ learningRate: 0.01 }));
    await followInF32(sgd({ learningRate: 0.01 }));
  });

  it('stand still where an update is too small for f16, as f32 masters do not', async () => {
    const rule = descend(1e-4);
    const step = async (w: Tensor) => {
      const [updates] = rule.update({ w: vector([1]) }, rule.init({ w }), { w });
      return (await values(applyUpdates({ w }, updates).w))[0] as number;
    };
    expect(await step(half([1]))).toBe(1);
    expect(await step(vector([1]))).toBeCloseTo(0.9999, 12);
  });
});
