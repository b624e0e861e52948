/**
 * The tests that every device must pass: random kernels compared with the float64 reference device, tables of special
 * values, programs, buffers. What a kernel means is said in `@clipin/kernel`; what may differ, in `estimate.ts`.
 */
import { createReferenceDevice, type Device, type DType, dtypes } from '@clipin/kernel';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { checkProperty } from './check-property';
import {
  checkBufferErrors,
  checkCounters,
  checkEmptyBuffers,
  checkRoundTrips,
  checkWriteCopies,
} from './conformance/buffers';
import { checkExtremes, checkScatterOrder } from './conformance/folds';
import { foreachCases } from './conformance/foreach';
import { checkEveryHalf } from './conformance/halves';
import { inPlaceCases, loopCases, matmulCases, reductionCases } from './conformance/kernel-arbitraries';
import {
  checkLargeSizes,
  checkOrderOfLaunches,
  checkWritesBetweenRuns,
} from './conformance/programs-of-launches';
import { attentionBackwardCases, attentionCases, scatterAddCases } from './conformance/routines';
import { rowCases } from './conformance/rows';
import { checkCase, type KernelCase } from './conformance/run-case';
import { checkSpecialValues } from './conformance/special-values';

/** How hard to test, and what the device does not promise. */
export interface ConformanceOptions {
  /** Random cases of each property; default 20. */
  readonly cases?: number;
  /** Whether the device keeps NaN, infinities, signs of zero and numbers below 2⁻¹²⁶ as IEEE 754 has them; default yes. */
  readonly ieee?: boolean;
}

/** Compiling kernels on a software GPU takes most of the time. */
const timeout = 120_000;

/**
 * Defines the tests of a device.
 *
 * @param name - of the device, for the test report
 * @param create - makes it, once, before the tests; they destroy it
 */
export function deviceConformance(
  name: string,
  create: () => Promise<Device>,
  { cases = 20, ieee = true }: ConformanceOptions = {},
): void {
  describe(`${name} computes what the reference computes`, () => {
    const reference = createReferenceDevice();
    let device: Device;
    beforeAll(async () => {
      device = await create();
    });
    afterAll(() => device?.destroy());

    const families: Record<string, fc.Arbitrary<KernelCase>> = {
      'loop nests': loopCases,
      'loop nests in place': inPlaceCases,
      foreach: foreachCases(),
      'foreach in place': foreachCases(true),
      reductions: reductionCases(),
      'reductions in place': reductionCases(true),
      rows: rowCases(),
      'rows in place': rowCases(true),
      'matrix products': matmulCases(),
      'matrix products in place': matmulCases(true),
      'matrix products of programs': matmulCases(false, true),
      'scatter-add': scatterAddCases,
      attention: attentionCases(),
      'derivative of attention': attentionBackwardCases(),
    };
    for (const [family, arbitrary] of Object.entries(families)) {
      test(family, { timeout }, () =>
        checkProperty(
          fc.asyncProperty(arbitrary, (example) => checkCase(device, reference, example)),
          { numRuns: cases },
        ),
      );
    }

    const argumentCounts = { one: 1, two: 2, three: 3 };
    for (const dtype of Object.keys(dtypes) as DType[]) {
      test.each(Object.entries(argumentCounts))(
        `special values of operations on %s ${dtype}`,
        { timeout },
        (_, arity) => checkSpecialValues(device, arity, dtype, ieee),
      );
    }

    test('a maximum or minimum of nothing, and of NaN', () => checkExtremes(device, ieee));
    test('every half', { timeout }, () => checkEveryHalf(device, ieee));
    test('sums of scatter-add are taken in order', () => checkScatterOrder(device));
    test('launches run in order, programs again', { timeout }, () => checkOrderOfLaunches(device));
    test('writes between runs', { timeout }, () => checkWritesBetweenRuns(device));
    test('large products and sums, twice the same', { timeout }, () => checkLargeSizes(device));
    test('buffers give back what was written', () => checkRoundTrips(device));
    test('a write copies', () => checkWriteCopies(device));
    test('buffers without elements', () => checkEmptyBuffers(device));
    test('errors of buffers', () => checkBufferErrors(device));
    test('all memory was given back', () => checkCounters(device));
  });
}
