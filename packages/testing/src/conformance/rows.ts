/** Random row kernels: up to three folds, each on what comes before it, then work on the row, with outputs of both sizes. */
import { type ReduceOp, type RowFold, type RowKernel, rowPasses, sizeOf } from '@clipin/kernel';
import fc from 'fast-check';
import {
  asPlainLoads,
  bodies,
  caseOf,
  foldOf,
  outputsOf,
  storesOf,
  targetsInPlace,
} from './kernel-arbitraries';
import { append, type Draft, extendDraft, type Inputs } from './programs';
import type { KernelCase } from './run-case';
import { shapes } from './views';

const reduceOps = fc.constantFrom<ReduceOp>('sum', 'product', 'max', 'min');

/** Adds a fold of the last value that can be folded, and its result. */
function appendFold(draft: Draft, folds: RowFold[], op: ReduceOp, count: number): void {
  const fold = foldOf(op, draft, count);
  const number = folds.push({ op: fold.op, of: fold.program.length - 1 }) - 1;
  append(draft, { op: 'reduced', dtype: fold.dtype, fold: number }, fold.estimate);
}

/** Row kernels; with `inPlace`, outputs of the size of the rows go where inputs were. */
export const rowCases = (inPlace = false): fc.Arbitrary<KernelCase> =>
  fc
    .record({
      axes: shapes(2, 40),
      row: shapes(2, 200),
      folds: fc.array(fc.record({ op: reduceOps, before: bodies(1) }), { minLength: 1, maxLength: 3 }),
      body: bodies(0),
      elements: fc.boolean(),
      rowStores: fc.array(fc.nat(9), { maxLength: 1 }),
    })
    .map(({ axes, row, folds: picks, body, elements, rowStores: wanted }) => {
      const inputs: Inputs = [];
      const draft: Draft = { program: [], estimates: [] };
      const folds: RowFold[] = [];
      const points = [...axes, ...row];
      for (const { op, before } of picks) {
        const { leaves, steps } = inPlace ? asPlainLoads(before) : before;
        extendDraft(draft, inputs, points, leaves.slice(0, 2), steps.slice(0, 4));
        appendFold(draft, folds, op, sizeOf(row));
      }
      const after = inPlace ? asPlainLoads(body) : body;
      extendDraft(draft, inputs, points, after.leaves.slice(0, 2), after.steps);
      const stores = elements || inPlace ? storesOf(draft, body).slice(0, 2) : [];
      const kernel: RowKernel = {
        kind: 'row',
        axes,
        row,
        program: draft.program,
        folds,
        stores,
        rowStores: [],
      };
      const { varies } = rowPasses(kernel);
      const same = draft.program.flatMap((_, at) => (varies[at] ? [] : [at]));
      const least = stores.length > 0 ? [] : [0];
      const rowStores = [...wanted, ...least].map(
        (pick) => same[same.length - 1 - (pick % same.length)] as number,
      );
      const outputs = [
        ...outputsOf(draft, stores, sizeOf(points)),
        ...outputsOf(draft, rowStores, sizeOf(axes)),
      ];
      const targets = inPlace ? targetsInPlace(draft, stores) : [];
      return caseOf({ ...kernel, rowStores }, inputs, outputs, targets);
    });
