/**
 * Which nodes become buffers. A kernel belongs to its root, the node that it stores; every other node is computed
 * inside the kernels of its users. This pass chooses roots by three rules of thumb:
 *
 * 1. what is asked for, what routines and products read, and what other kernels share is a root, but
 * 2. movement, and arithmetic cheaper than a trip through memory, is repeated in each kernel that needs it, and
 * 3. a reduction or product takes the elementwise work that follows it along, as its epilogue.
 *
 * The choice affects speed, never results: the builder adds roots where something cannot be fused after all.
 */
import { type ScalarOp, sizeOf } from '@clipin/kernel';
import type { Node } from '../node';
import { identity, isMovement, seeThrough } from './coordinates';

/** The most nodes that one kernel computes. */
const kernelNodes = 400;
/** The most with movement, which costs a kernel nothing but the depth of the walk through it. */
const kernelDepth = 1000;
/** Work, in loads and operations, that is repeated rather than stored and loaded again. */
const cheapCost = 4;
/** The most elements of a node that are computed for one of a kernel's: each time it is seen shifted they double. */
const mostWays = 4;

const costly: ReadonlySet<ScalarOp> = new Set(['exp', 'log', 'sin', 'cos', 'tanh', 'erf', 'sqrt', 'divide']);

/** Whether a scalar operation takes as long as several loads; a division by a constant does not. */
const isCostly = ({ operation, inputs }: Node): boolean =>
  operation.kind === 'scalar' &&
  costly.has(operation.op) &&
  !(operation.op === 'divide' && inputs[1]?.operation.kind === 'constant');

/** A node whose value is there already. */
export const isLeaf = ({ operation }: Node): boolean =>
  operation.kind === 'buffer' || operation.kind === 'parameter';

/** Unrealized nodes that the outputs need, inputs first. */
export function collect(outputs: readonly Node[]): Node[] {
  const seen = new Set<Node>();
  const stack = outputs.filter((node) => !isLeaf(node));
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.operation.kind === 'routine') stack.push(...node.operation.call.outputs);
    for (const input of node.inputs) if (!isLeaf(input) && !seen.has(input)) stack.push(input);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** The node that an operand reads through movement: a leaf, or a node that must become one. */
export function operandBase(operand: Node): Node {
  let node = operand;
  let coordinates: ReturnType<typeof identity> = identity(operand.shape.length);
  while (isMovement(node.operation) && node.operation.kind !== 'pad') {
    const [input] = node.inputs as [Node];
    const moved = seeThrough(node.operation, input.shape, node.shape, coordinates, operand.shape);
    if (!moved) return reshapeBase(node);
    node = input;
    coordinates = moved.coordinates;
  }
  return node;
}

/** The node whose elements, in the same order, `node` reshapes. */
export function reshapeBase(node: Node): Node {
  let base = node;
  while (base.operation.kind === 'reshape') base = base.inputs[0] as Node;
  return base;
}

/** Whether a node repeats its input along an axis. */
const grows = ({ operation, shape, inputs: [input] }: Node): boolean =>
  operation.kind === 'expand' && input !== undefined && sizeOf(shape) > sizeOf(input.shape);

/** Nodes that a reduction reads, and something else. */
function sharedWithReductions(nodes: readonly Node[]): Set<Node> {
  const reduced = new Set(
    nodes.flatMap(({ operation, inputs }) => (operation.kind === 'reduce' ? inputs : [])),
  );
  const others = nodes.flatMap(({ operation, inputs }) => (operation.kind === 'reduce' ? [] : inputs));
  return new Set(others.filter((node) => reduced.has(node)));
}

/** What computing a node inside a kernel costs, in loads and operations. */
function inlineCosts(nodes: readonly Node[]): Map<Node, number> {
  const costs = new Map<Node, number>();
  const shared = sharedWithReductions(nodes);
  const costOf = (node: Node): number => {
    const cost = costs.get(node) ?? 1;
    return cost > cheapCost && shared.has(node) ? 1 : cost; // it will be stored
  };
  for (const node of nodes) {
    const { operation } = node;
    if (operation.kind === 'constant' || operation.kind === 'iota') costs.set(node, 0);
    else if (operation.kind === 'scalar' || isMovement(operation)) {
      const inputs = node.inputs.reduce((sum, input) => sum + costOf(input), 0);
      if (grows(node) && inputs >= cheapCost) {
        costs.set(node, 1); // it will be stored before it is repeated
        continue;
      }
      const own = operation.kind !== 'scalar' ? 0 : isCostly(node) ? 8 : 1;
      costs.set(node, Math.min(inputs + own, 1000));
    } else costs.set(node, 1);
  }
  return costs;
}

/** How the users of a node compute it. */
interface Use {
  /** Roots of the kernels that need the node. */
  readonly owners: Set<Node>;
  /** Every way up to the root is elementwise: the node may be what the kernel is built around. */
  direct: boolean;
  /** Repeated along an axis that it does not have. */
  repeated: boolean;
  /** Roots, reductions and movements through which it is seen: as many elements of it are computed for one of a root. */
  readonly views: Set<Node>;
}

/** The roots that the outputs need, outputs among them. */
export function chooseRoots(outputs: readonly Node[], nodes: readonly Node[]): Set<Node> {
  const roots = new Set<Node>(outputs.filter((node) => !isLeaf(node)));
  const costs = inlineCosts(nodes);
  const uses = new Map<Node, Use>(
    nodes.map((node) => [node, { owners: new Set(), direct: true, repeated: false, views: new Set() }]),
  );
  const anchored = new Set<Node>();
  const sizes = new Map<Node, number>();
  const ways = new Map<Node, number>();

  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i] as Node;
    const { operation } = node;
    const use = uses.get(node) as Use;
    if (operation.kind === 'constant' || operation.kind === 'iota') continue;
    ways.set(
      node,
      [...use.views].reduce((sum, view) => sum + (ways.get(view) ?? 1), 0),
    );
    if (!roots.has(node) && !staysInside(node, use)) roots.add(node);
    if (roots.has(node)) {
      Object.assign(use, { owners: new Set([node]), direct: true, repeated: false, views: new Set([node]) });
      ways.set(node, 1);
    }
    for (const owner of use.owners) sizes.set(owner, (sizes.get(owner) ?? 0) + 1);
    if (operation.kind === 'reduce' || operation.kind === 'matmul')
      for (const owner of use.owners) anchored.add(owner);
    tellInputs(node, use);
  }
  return roots;

  function staysInside(node: Node, { owners, direct, repeated }: Use): boolean {
    const { kind } = node.operation;
    if (kind === 'routine') return false;
    const room = (most: number) => [...owners].every((root) => (sizes.get(root) ?? 0) < most);
    if (isMovement(node.operation)) return room(kernelDepth);
    const [owner] = owners;
    if (kind === 'reduce' || kind === 'matmul') {
      return owners.size === 1 && direct && owner !== undefined && !anchored.has(owner);
    }
    const cost = costs.get(node) ?? 0;
    if (repeated && cost >= cheapCost) return false;
    if (cost > cheapCost && (owners.size > 1 || (ways.get(node) ?? 1) > mostWays)) return false;
    return room(kernelNodes);
  }

  function tellInputs(node: Node, use: Use): void {
    const { operation } = node;
    const store = (base: Node) => {
      if (!isLeaf(base)) roots.add(base);
    };
    if (operation.kind === 'matmul' || operation.kind === 'routine') {
      const inOrder = operation.kind === 'routine' && operation.call.routine.kind === 'scatterAdd';
      for (const input of node.inputs) store(inOrder ? reshapeBase(input) : operandBase(input));
      return;
    }
    node.inputs.forEach((input, position) => {
      if (isLeaf(input)) return;
      if (operation.kind === 'gather' && position === 0) {
        store(reshapeBase(input));
        return;
      }
      const told = uses.get(input) as Use;
      for (const owner of use.owners) told.owners.add(owner);
      const views = operation.kind === 'scalar' ? use.views : [node];
      for (const view of views) told.views.add(view);
      const elementwise = operation.kind === 'scalar' || operation.kind === 'reshape';
      told.direct &&= elementwise && use.direct;
      told.repeated ||= grows(node) || (use.repeated && operation.kind !== 'reduce');
    });
  }
}
