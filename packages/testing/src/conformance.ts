/**
 * The tests that every device must pass: random kernels compared with the float64 reference device, tables of special
 * values, programs, buffers. What a kernel means is said in `@clipin/kernel`; what may differ, in `estimate.ts`.
 */
import { createReferenceDevice, type Device } from '@clipin/kernel';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { checkProperty } from './check-property';
import { inPlaceCases, loopCases, matmulCases, reductionCases } from './conformance/kernel-arbitraries';
import { attentionBackwardCases, attentionCases, scatterAddCases } from './conformance/routines';
import { checkCase, type KernelCase } from './conformance/run-case';

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
      reductions: reductionCases(),
      'reductions in place': reductionCases(true),
      'matrix products': matmulCases(),
      'matrix products in place': matmulCases(true),
      'scatter-add': scatterAddCases,
      attention: attentionCases,
      'derivative of attention': attentionBackwardCases,
    };
    for (const [family, arbitrary] of Object.entries(families)) {
      test(family, { timeout }, () =>
        checkProperty(
          fc.asyncProperty(arbitrary, (example) => checkCase(device, reference, example)),
          { numRuns: cases },
        ),
      );
    }
  });
}
