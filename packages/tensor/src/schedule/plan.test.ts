/** Memory plans, run on names instead of numbers: each reader finds the value that it is meant to read. */
import { createReferenceDevice, sizeOf } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { evaluate, setDefaultDevice, type Tensor, zeros } from '../index';
import type { Node } from '../node';
import { Choices, randomGraph, runGraph, toTensor } from '../random-graph.test-helpers';
import { type Plan, planMemory } from './plan';
import { schedule } from './schedule';

const device = createReferenceDevice();
beforeAll(() => {
  setDefaultDevice(device);
});

const leaf = (...shape: number[]): Tensor => evaluate(zeros(shape).add(1));

function planOf(outputs: readonly Node[], donated: readonly Node[] = []) {
  const steps = schedule(outputs, device.limits);
  return { steps, plan: planMemory(steps, outputs, new Set(donated)) };
}

/** Follows which node's value each buffer holds. */
function simulate(
  { steps, plan }: ReturnType<typeof planOf>,
  outputs: readonly Node[],
  kept: readonly Node[],
): void {
  const { launches, externals, slots, fresh } = plan;
  const holds: (Node | undefined)[] = [...externals, ...slots.map(() => undefined)];
  const lengthAt = (position: number) =>
    sizeOf(externals[position]?.shape ?? [slots[position - externals.length]?.length ?? 0]);
  steps.forEach((step, time) => {
    const launch = launches[time];
    step.inputs.forEach((input, i) => {
      if (sizeOf(input.shape) > 0) expect(holds[launch?.inputs[i] as number]).toBe(input);
    });
    const written = launch?.outputs ?? [];
    expect(new Set(written).size).toBe(written.length);
    step.outputs.forEach((output, i) => {
      const position = written[i] as number;
      holds[position] = output;
      expect(lengthAt(position)).toBeGreaterThanOrEqual(sizeOf(output.shape));
    });
  });
  for (const output of outputs) {
    const position = plan.outputs.get(output) as number;
    if (sizeOf(output.shape) > 0) expect(holds[position]).toBe(output);
    expect(lengthAt(position)).toBe(sizeOf(output.shape));
  }
  for (const node of kept) if (externals.includes(node)) expect(holds[externals.indexOf(node)]).toBe(node);
  const places = outputs.map((output) => plan.outputs.get(output));
  expect(new Set(places).size).toBe(new Set(outputs).size);
  expect(fresh.every((position) => places.includes(position))).toBe(true);
}

test('no live buffer is written over, whatever is donated', () => {
  checkProperty(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 40 }), (seed, length) => {
      const graph = randomGraph(seed, length);
      const leaves = graph.leaves.map(toTensor);
      const outputs = [...new Set(runGraph(graph, leaves))].filter(
        ({ operation }) => operation.kind !== 'buffer',
      );
      const choices = new Choices(seed);
      const donated = leaves.filter(() => choices.chance(50));
      const kept = leaves.filter((x) => !donated.includes(x));
      simulate(planOf(outputs, donated), outputs, kept);
    }),
    { numRuns: 300 },
  );
});

const scratch = ({ slots, fresh }: Plan) => slots.length - fresh.length;

test('scratch memory is used again, and outputs are new', () => {
  let x = leaf(4, 4);
  for (let i = 0; i < 10; i++) x = x.matmul(x).tanh();
  const { plan, steps } = planOf([x]);
  expect(steps).toHaveLength(10);
  expect(scratch(plan)).toBe(2);
  expect(plan.fresh).toHaveLength(1);
});

test('an elementwise update takes over donated memory, one that reads elsewhere does not', () => {
  const [x, y] = [leaf(3, 3), leaf(3, 3)];
  const [sum, turned] = [x.add(y), x.transpose().add(y)];
  expect(planOf([sum], [x]).plan.outputs.get(sum)).toBe(0);
  expect(planOf([sum], [x]).plan.fresh).toEqual([]);
  expect(planOf([turned], [x]).plan.fresh).toHaveLength(1);
});

test('donated memory that is not read in time goes to the next output', () => {
  const [x, y] = [leaf(3, 3), leaf(3, 3)];
  const turned = x.transpose().add(y);
  const later = turned.matmul(y);
  const { plan } = planOf([turned, later], [x]);
  expect(plan.externals[plan.outputs.get(later) as number]).toBe(x);
});

test('what follows a product takes over donated memory that it reads element by element, never an operand', () => {
  const [w, x] = [leaf(3, 3), leaf(3, 3)];
  const stepped = w.sub(x.transpose().matmul(x));
  const { plan } = planOf([stepped], [w]);
  expect(plan.externals[plan.outputs.get(stepped) as number]).toBe(w);
  expect(planOf([stepped], [w, x]).plan.fresh).toEqual([]);
  const own = x.sub(x.transpose().matmul(x));
  expect(planOf([own], [x]).plan.fresh).toHaveLength(1);
});
