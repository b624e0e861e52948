/** Whatever the scheduler fuses, shares or writes over: values are those of nested loops, and of one kernel a step. */
import { createReferenceDevice } from '@clipin/kernel';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { evaluate, jit, setDefaultDevice, type Tensor } from './index';
import { type Graph, randomGraph, runGraph, toTensor } from './random-graph.test-helpers';

beforeAll(() => {
  setDefaultDevice(createReferenceDevice());
});

const graphs = (steps: number) =>
  fc.record({ seed: fc.nat(), steps: fc.integer({ min: 1, max: steps }) }).map(({ seed, steps }) => ({
    graph: randomGraph(seed, steps),
    toString: () => `randomGraph(${seed}, ${steps})`,
  }));

const read = (tensors: readonly Tensor[]) =>
  Promise.all(tensors.map(async (x) => Array.from(await x.data())));
const expected = ({ outputs, values }: Graph) => outputs.map((number) => values[number]?.data);
const shapes = ({ outputs, values }: Graph) =>
  outputs.map((number) => [values[number]?.dtype, values[number]?.shape]);

describe('random graphs', () => {
  test('evaluated at the end equal nested loops', async () => {
    await checkProperty(
      fc.asyncProperty(graphs(40), async ({ graph }) => {
        const outputs = runGraph(graph, graph.leaves.map(toTensor));
        expect(outputs.map(({ dtype, shape }) => [dtype, shape])).toEqual(shapes(graph));
        evaluate(outputs);
        expect(await read(outputs)).toEqual(expected(graph));
      }),
      { numRuns: 400 },
    );
  });

  test('evaluated step by step equal nested loops', async () => {
    await checkProperty(
      fc.asyncProperty(graphs(40), async ({ graph }) => {
        const outputs = runGraph(graph, graph.leaves.map(toTensor), (results) => evaluate([...results]));
        expect(await read(outputs)).toEqual(expected(graph));
      }),
      { numRuns: 100 },
    );
  });

  test('evaluated now and then, in any order, equal nested loops', async () => {
    await checkProperty(
      fc.asyncProperty(graphs(40), fc.infiniteStream(fc.nat(4)), async ({ graph }, coins) => {
        const outputs = runGraph(graph, graph.leaves.map(toTensor), (results) => {
          if (coins.next().value === 0) evaluate(results[0]);
        });
        const values: number[][] = [];
        for (let i = outputs.length - 1; i >= 0; i--) values.unshift(...(await read([outputs[i] as Tensor])));
        expect(values).toEqual(expected(graph));
      }),
      { numRuns: 150 },
    );
  });

  test('under jit, with donated arguments and replayed, equal nested loops', async () => {
    await checkProperty(
      fc.asyncProperty(graphs(40), async ({ graph }) => {
        const run = jit(
          (leaves: readonly Tensor[], _constants: readonly Tensor[]) => runGraph(graph, leaves),
          { donate: [0] },
        );
        for (let call = 0; call < 3; call++) {
          const outputs = run(graph.leaves.map(toTensor), []);
          expect(await read(outputs)).toEqual(expected(graph));
        }
      }),
      { numRuns: 150 },
    );
  });
});
