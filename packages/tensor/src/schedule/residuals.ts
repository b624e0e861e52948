/**
 * What a product keeps for kernels much later, such as those of the backward pass. They read its result, or they compute
 * something of it first, element by element: the derivative of an activation, say. Where that is all they want, it is
 * stored instead of the result, by the product itself: no more memory, and nothing costly is computed twice.
 */
import type { Node } from '../node';
import { isMovement } from './coordinates';
import { isLeaf } from './graph';

/** Nodes that should be roots, so that `roots` need not keep the results of some products; `asked` is stored anyway. */
export function residuals(
  asked: ReadonlySet<Node>,
  nodes: readonly Node[],
  roots: ReadonlySet<Node>,
): Set<Node> {
  const products = [...roots].filter((root) => root.operation.kind === 'matmul' && !asked.has(root));
  const readers = products.length > 0 ? readersOf(nodes, roots) : new Map<Node, Set<Node>>();
  const kept = products.map((product) => residualOf(product, readers.get(product) ?? [], roots));
  return new Set(kept.filter((node) => node !== undefined));
}

/** For each node, the roots whose kernels read or compute it. */
function readersOf(nodes: readonly Node[], roots: ReadonlySet<Node>): Map<Node, Set<Node>> {
  const readers = new Map<Node, Set<Node>>();
  for (const node of [...nodes].reverse()) {
    const owners = roots.has(node) ? [node] : (readers.get(node) ?? []);
    for (const input of node.inputs) {
      const told = readers.get(input) ?? new Set();
      for (const owner of owners) told.add(owner);
      readers.set(input, told);
    }
  }
  return readers;
}

/** The one thing that all later kernels want of `product`, if it is not the product itself. */
function residualOf(product: Node, readers: Iterable<Node>, roots: ReadonlySet<Node>): Node | undefined {
  const places = new Map<Node, Place>();
  const placeOf = (node: Node): Place => {
    const known = places.get(node) ?? (isLeaf(node) || roots.has(node) ? placeOfStored(node) : place(node));
    places.set(node, known);
    return known;
  };
  const placeOfStored = (node: Node): Place => {
    if (node === product) return 'beside';
    return isLeaf(node) || node.id < product.id ? 'before' : 'after';
  };
  const place = (node: Node): Place => {
    const inputs = node.inputs.map(placeOf);
    if (inputs.every((input) => input === 'before') && isInline(node)) return 'before';
    const { kind } = node.operation;
    return (kind === 'scalar' || kind === 'reshape') && !inputs.includes('after') ? 'beside' : 'after';
  };
  const wanted = new Set<Node>();
  const seen = new Set<Node>();
  const collectWanted = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    if (placeOf(node) === 'beside') wanted.add(node);
    else if (placeOf(node) === 'after' && !roots.has(node)) node.inputs.forEach(collectWanted);
  };
  for (const reader of readers) if (place(reader) === 'after') reader.inputs.forEach(collectWanted);
  const [kept, ...others] = wanted;
  return kept === product || others.length > 0 ? undefined : kept;
}

/** Where a node can be computed, as seen from a product: before it, element by element in its kernel, or only later. */
type Place = 'before' | 'beside' | 'after';

/** Whether a kernel computes the node wherever it is needed. */
const isInline = ({ operation }: Node): boolean =>
  operation.kind === 'scalar' ||
  operation.kind === 'constant' ||
  operation.kind === 'iota' ||
  isMovement(operation);
