/**
 * Helpers of the repository's own tests. No part of the floors: sources never import it, tests of any floor may.
 *
 * @module
 */
export { checkProperty } from './check-property';
export { collect } from './collect';
export { type ConformanceOptions, deviceConformance } from './conformance';
export { matmulCases } from './conformance/kernel-arbitraries';
export { type AttentionSizes, attentionBackwardCases, attentionCases } from './conformance/routines';
export { checkCase, type KernelCase } from './conformance/run-case';
export { writeFiles } from './write-files';
