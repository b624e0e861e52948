/** From lazy nodes to kernels in the order in which they can run. */
import { type DeviceLimits, sizeOf } from '@clipin/kernel';
import type { Node } from '../node';
import { buildStep, type Step } from './build';
import { foreachSteps } from './foreach';
import { fuseOperands } from './fuse-operands';
import { fuseRows } from './fuse-rows';
import { chooseRoots, collect } from './graph';
import { mergeSteps } from './merge';
import { CannotFuse } from './program';
import { residuals } from './residuals';

/** The kernels that compute `outputs`, inputs first. Nodes without elements need none. */
export function schedule(outputs: readonly Node[], limits: DeviceLimits): Step[] {
  const nodes = collect(outputs);
  const asked = new Set(outputs);
  const usual = chooseRoots(outputs, nodes);
  const kept = residuals(asked, nodes, usual);
  const roots = kept.size > 0 ? chooseRoots([...outputs, ...kept], nodes) : usual;
  const steps: { readonly order: number; readonly step: Step }[] = [];
  const done = new Set<Node>();
  const pending = [...roots];
  for (let root = pending.pop(); root; root = pending.pop()) {
    if (done.has(root) || sizeOf(root.shape) === 0) continue;
    try {
      const step = buildStep(root, roots, limits);
      for (const output of step.outputs) done.add(output);
      steps.push({ order: root.id, step });
    } catch (error) {
      if (!(error instanceof CannotFuse) || error.nodes.every((node) => roots.has(node))) throw error;
      for (const node of error.nodes) roots.add(node);
      pending.push(root, ...error.nodes);
    }
  }
  // A routine's results have neighbouring numbers, and every step reads nodes with smaller numbers than its own.
  const inOrder = steps.sort((a, b) => a.order - b.order).map(({ step }) => step);
  const merged = mergeSteps(fuseRows(inOrder, roots, asked, limits), asked, limits);
  return foreachSteps(fuseOperands(merged, asked, limits));
}
