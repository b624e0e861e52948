/** Which steps become one kernel over many tensors, that they still run in order, and that values and memory stay right. */
import {
  type Body,
  createReferenceDevice,
  type DeviceBuffer,
  type ForeachKernel,
  type Instruction,
  type LoopKernel,
  sizeOf,
} from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { evaluate, setDefaultDevice, type Tensor, zeros } from '../index';
import { Node } from '../node';
import { Choices } from '../random-graph.test-helpers';
import type { Step } from './build';
import { foreachSteps } from './foreach';
import { mayOverwrite } from './overwrite';
import { planMemory } from './plan';
import { schedule } from './schedule';

const device = createReferenceDevice();
beforeAll(() => {
  setDefaultDevice(device);
});

const leaf = (...shape: number[]): Tensor => evaluate(zeros(shape).add(1));
const kernels = (...outputs: Tensor[]) => schedule(outputs, device.limits).map(({ kernel }) => kernel);
/** Numbers of parts: 1 of a kernel that is no foreach. */
const parts = (...outputs: Tensor[]) =>
  kernels(...outputs).map((kernel) => (kernel.kind === 'foreach' ? kernel.lengths.length : 1));
const foreachOf = (...outputs: Tensor[]): ForeachKernel => {
  const found = kernels(...outputs).find((kernel) => kernel.kind === 'foreach');
  if (found?.kind !== 'foreach') throw new Error('no foreach');
  return found;
};

test('what parts share, or two of them read, is not written over', () => {
  const [rate, x] = [leaf(), leaf(3)];
  const [scaled] = schedule([x.mul(rate), leaf(4).mul(rate)], device.limits) as [Step];
  expect(scaled.inputs.map((_, number) => mayOverwrite(scaled, number))).toEqual([false, true, true]);
  const [twice] = schedule([x.add(1), x.add(1), leaf(4).add(1)], device.limits) as [Step];
  expect(twice.inputs.map((_, number) => mayOverwrite(twice, number))).toEqual([false, false, true]);
});

/** A vector times itself, `[1]`: a product, which no elementwise work goes into. */
const squareOf = (x: Tensor): Tensor =>
  x
    .reshape([1, -1])
    .matmul(x.reshape([-1, 1]))
    .reshape([1]);

describe('one kernel', () => {
  test('the same work on tensors of any shapes', () => {
    const shapes = [[3], [4, 5], [1, 7], [2, 2, 2]];
    const kernel = foreachOf(
      ...shapes.map((shape) =>
        leaf(...shape)
          .mul(leaf(...shape))
          .add(2),
      ),
    );
    expect(kernel).toMatchObject({ lengths: [3, 20, 7, 8], shared: 0, own: 2 });
    expect(parts(...shapes.map((shape) => leaf(...shape).add(2)))).toEqual([4]);
  });

  test('a scalar of all is shared, scalars of each are their own', () => {
    const rate = leaf();
    const rated = [2, 3].map((n) => leaf(n).mul(rate));
    expect(foreachOf(...rated)).toMatchObject({ shared: 1, own: 1 });
    const owned = [2, 3].map((n) => leaf(n).mul(leaf()));
    expect(foreachOf(...owned)).toMatchObject({ shared: 0, own: 2 });
    const x = leaf(3);
    expect(foreachOf(x.add(1), x.add(1))).toMatchObject({ shared: 0, own: 1 });
    const element = leaf(5).slice([3, 4]);
    const sliced = [2, 3].map((n) => leaf(n).mul(element));
    const { program } = foreachOf(...sliced);
    expect(program).toContainEqual(expect.objectContaining({ input: 0, index: { offset: 3, strides: [0] } }));
  });

  test('fills, casts, averages of parameters, steps of gradient descent', () => {
    expect(parts(leaf(3).cast('f16'), leaf(5, 8).cast('f16'))).toEqual([2]);
    const decay = leaf();
    const averaged = [[3], [5, 8]].map((shape) =>
      leaf(...shape)
        .mul(decay)
        .add(leaf(...shape).mul(0.1)),
    );
    expect(parts(...averaged)).toEqual([2]);
    const [rate, clip] = [leaf(), leaf()];
    const stepped = [[3], [5, 8]].map((shape) =>
      leaf(...shape).sub(
        leaf(...shape)
          .mul(clip)
          .mul(rate),
      ),
    );
    expect(foreachOf(...stepped)).toMatchObject({ shared: 2, own: 2 });
    expect(parts(zeros([3]), zeros([4, 4]), zeros([2], { dtype: 'i32' }))).toEqual([2, 1]);
  });

  test('steps with several results', () => {
    const both = [3, 4].map((n) => leaf(n).exp()).flatMap((x) => [x, x.add(1)]);
    const kernel = foreachOf(...both);
    expect(kernel).toMatchObject({ lengths: [3, 4], own: 1 });
    expect(kernel.stores).toHaveLength(2);
    expect(parts(...both)).toEqual([2]);
  });

  test('of steps around others, at a place where all can run', () => {
    const [x, y] = [leaf(3), leaf(4)];
    const early = x.exp();
    const between = squareOf(early);
    expect(parts(early, between, y.exp())).toEqual([2, 1]); // at the first, for which the other waits
    const other = squareOf(leaf(6));
    expect(
      parts(
        x.exp(),
        other,
        leaf(1)
          .add(other.reshape([1]))
          .exp(),
        y.exp(),
      ),
    ).toEqual([1, 2]); // at the last
  });
});

describe('separate kernels', () => {
  test('different programs, constants and dtypes', () => {
    expect(parts(leaf(3).add(1), leaf(4).mul(1))).toEqual([1, 1]);
    expect(parts(leaf(3).add(1), leaf(4).add(2))).toEqual([1, 1]);
    expect(parts(leaf(3).mul(0), leaf(4).mul(-0))).toEqual([1, 1]);
    const whole = (n: number) => evaluate(zeros([n], { dtype: 'i32' }).add(1));
    expect(parts(leaf(3).add(leaf(3)), whole(4).add(whole(4)))).toEqual([1, 1]);
  });

  test('large tensors', () => {
    const [large, small] = [2 ** 16 + 1, 2 ** 16];
    expect(parts(leaf(large).add(1), leaf(large).add(1))).toEqual([1, 1]);
    expect(parts(leaf(small).add(1), leaf(small).add(1), leaf(large).add(1))).toEqual([2, 1]);
    const x = leaf(small);
    expect(parts(...Array.from({ length: 65 }, () => x.add(1)))).toEqual([64, 1]); // of 2²² elements
  });

  test('what reads through views, and folds', () => {
    expect(parts(leaf(3, 4).transpose().add(1), leaf(4, 5).transpose().add(1))).toEqual([1, 1]);
    expect(parts(leaf(3, 4).add(leaf(4)), leaf(4, 5).add(leaf(5)))).toEqual([1, 1]);
    expect(parts(leaf(3).flip(0).add(1), leaf(4).flip(0).add(1))).toEqual([1, 1]);
    expect(parts(leaf(9).slice([1]).add(1), leaf(8).slice([1]).add(1))).toEqual([1, 1]);
    expect(
      parts(
        leaf(9)
          .pad([[1, 0]])
          .mul(2),
        leaf(8)
          .pad([[1, 0]])
          .mul(2),
      ),
    ).toEqual([1, 1]);
    expect(parts(leaf(3).sum(), leaf(4).sum())).toEqual([1, 1]);
  });

  test('steps of which one waits for the other, also through a third', () => {
    const first = leaf(3).exp();
    const second = squareOf(first).expand([4]).exp();
    expect(parts(first, second).filter((n) => n > 1)).toEqual([]);
    // Of two such chains, the first of both together, and the second of both.
    const chains = [leaf(5), leaf(6)].flatMap((x) => {
      const once = x.exp();
      return [once, squareOf(once).expand(x.shape).add(1)];
    });
    expect(parts(...chains)).toEqual([2, 1, 1, 2]);
  });
});

const own = { offset: 0, strides: [1] };
const load = (input: number, index = own): Instruction => ({
  op: 'load',
  dtype: 'f32',
  input,
  index,
  guards: [],
});
const reduced: Instruction = { op: 'reduced', dtype: 'f32' };
const apply = (op: 'add' | 'multiply', a: number, b: number): Instruction => ({
  op,
  dtype: 'f32',
  args: [a, b],
});

/** Programs on one or two inputs; the last makes two results. */
const bodies: readonly Body[] = [
  { program: [load(0), load(1), apply('add', 0, 1)], stores: [2] },
  { program: [load(0), load(1, { offset: 0, strides: [0] }), apply('multiply', 0, 1)], stores: [2] },
  { program: [load(0), apply('add', 0, 0)], stores: [1] },
  { program: [load(0), load(1), apply('add', 0, 1), apply('multiply', 0, 2)], stores: [2, 3] },
];

/** Steps on vectors of few lengths, many of which compute the same and many wait for others; sums stand between them. */
function randomSteps(choices: Choices, count: number): { leaves: Node[]; steps: Step[]; wanted: Node[] } {
  const leaves: Node[] = [1, 2, 3, 5, 3, 2, 1, 5].map((length) => leaf(length));
  const nodes = [...leaves];
  const steps: Step[] = [];
  const recent = (length?: number): Node => {
    const found = nodes.filter(({ shape: [n] }) => length === undefined || n === length);
    return found[Math.max(0, found.length - 1 - choices.below(10))] as Node;
  };
  const add = (kernel: LoopKernel, inputs: readonly Node[], length: number) => {
    const outputs = kernel.stores.map(
      () => new Node(device, 'f32', [length], { kind: 'scalar', op: 'add' }, []),
    );
    nodes.push(...outputs);
    steps.push({ kernel, inputs, outputs });
  };
  while (steps.length < count) {
    const first = recent();
    const [length] = first.shape as readonly [number];
    if (choices.chance(15)) {
      const reduction = { op: 'sum', dtype: 'f32', axes: [length], program: [load(0)] } as const;
      add({ kind: 'loop', axes: [], reduction, program: [reduced], stores: [0] }, [first], 1);
      continue;
    }
    const { program, stores } = choices.pick(bodies);
    const isScaled = program === bodies[1]?.program;
    const second = recent(isScaled ? 1 : length);
    // An input stands once, as the steps of the library have it.
    const inputs = program.length === 2 || first === second ? [first] : [first, second];
    const named = program.map((step) =>
      step.op === 'load' ? { ...step, input: Math.min(step.input, inputs.length - 1) } : step,
    );
    add({ kind: 'loop', axes: [length], program: named, stores }, inputs, length);
  }
  const made = nodes.slice(leaves.length);
  return { leaves, steps, wanted: made.filter((_, i) => choices.chance(40) || i === made.length - 1) };
}

/** The values of the wanted nodes. */
async function run(steps: readonly Step[], wanted: readonly Node[], donated: readonly Node[]) {
  const plan = planMemory(steps, wanted, new Set(donated));
  const table = [
    ...plan.externals.map(({ dtype, shape }) => device.allocate(dtype, sizeOf(shape))),
    ...plan.slots.map(({ dtype, length }) => device.allocate(dtype, length)),
  ];
  plan.externals.forEach(({ id, shape }, position) => {
    const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) => ((id * 7 + i * 3) % 11) - 5);
    device.write(table[position] as DeviceBuffer, data);
  });
  device.load(plan.launches).run(table);
  const results = await Promise.all(
    wanted.map((node) => device.read(table[plan.outputs.get(node) as number] as DeviceBuffer)),
  );
  for (const buffer of table) device.free(buffer);
  return results;
}

test('random steps: together they run in order, and give what they give one by one, over donated memory too', async () => {
  let [parts, elementwise] = [0, 0];
  await checkProperty(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 2, max: 60 }), async (seed, count) => {
      const choices = new Choices(seed);
      const { leaves, steps, wanted } = randomSteps(choices, count);
      const joined = foreachSteps(steps);
      const there = new Set<Node>(leaves);
      for (const { kernel, inputs, outputs } of joined) {
        expect(inputs.filter((input) => !there.has(input))).toEqual([]);
        for (const output of outputs) there.add(output);
        if (kernel.kind === 'foreach') parts += kernel.lengths.length;
      }
      elementwise += steps.filter(({ kernel }) => kernel.kind === 'loop' && !kernel.reduction).length;
      const donated = leaves.filter(() => choices.chance(50));
      expect(await run(joined, wanted, donated)).toEqual(await run(steps, wanted, []));
    }),
    { numRuns: 300 },
  );
  expect(parts).toBeGreaterThan(0.4 * elementwise);
});
