/**
 * Trees: nested objects and arrays with tensors at the leaves, such as `{ attention: { query: Tensor, ... }, ... }`.
 * Other leaves (numbers, strings, booleans, null, undefined) are part of a tree's structure.
 */
import { realize } from './evaluate';
import { Tensor } from './tensor';

/** Everything of a tree but its tensors. */
export type Structure =
  | { readonly kind: 'tensor' }
  | { readonly kind: 'static'; readonly value: string | number | boolean | null | undefined }
  | { readonly kind: 'array'; readonly items: readonly Structure[] }
  | { readonly kind: 'object'; readonly keys: readonly string[]; readonly items: readonly Structure[] };

/** A tensor of a tree and where it is: `attention.query`. */
export interface Leaf {
  readonly path: string;
  readonly tensor: Tensor;
}

const join = (path: string, key: string | number): string => (path === '' ? String(key) : `${path}.${key}`);

/** The tensors of a tree with their paths, in the order of its keys. */
export function leaves(tree: unknown): Leaf[] {
  const found: Leaf[] = [];
  takeApart(tree, '', found);
  return found;
}

/** A tree as its tensors and its structure. @throws TypeError for a leaf that has no place in a tree, with its path. */
export function flatten(tree: unknown): { readonly leaves: Tensor[]; readonly structure: Structure } {
  const found: Leaf[] = [];
  const structure = takeApart(tree, '', found);
  return { leaves: found.map(({ tensor }) => tensor), structure };
}

function takeApart(tree: unknown, path: string, found: Leaf[]): Structure {
  if (tree instanceof Tensor) {
    found.push({ path, tensor: tree });
    return { kind: 'tensor' };
  }
  if (
    tree === null ||
    tree === undefined ||
    typeof tree === 'string' ||
    typeof tree === 'number' ||
    typeof tree === 'boolean'
  ) {
    return { kind: 'static', value: tree };
  }
  if (Array.isArray(tree)) {
    return { kind: 'array', items: tree.map((item, i) => takeApart(item, join(path, i), found)) };
  }
  if (!isPlainObject(tree)) {
    const what = typeof tree === 'object' ? (tree.constructor?.name ?? 'object') : typeof tree;
    throw new TypeError(
      `a tree cannot hold a ${what}${path && ` (at ${path})`}; it may hold tensors, plain objects, arrays, numbers, strings, ` +
        'booleans and null; make tensors of arrays with tensor(), and await promises first',
    );
  }
  const keys = Object.keys(tree);
  const values = Object.values(tree);
  return { kind: 'object', keys, items: keys.map((key, i) => takeApart(values[i], join(path, key), found)) };
}

/**
 * Whether a tree has this structure, statics included; then its tensors are appended to `found`. The same answer as comparing
 * with `flatten`, without building anything: what `jit` asks in every call.
 */
export function hasStructure(structure: Structure, tree: unknown, found: Tensor[]): boolean {
  switch (structure.kind) {
    case 'tensor':
      return tree instanceof Tensor && found.push(tree) > 0;
    case 'static':
      return Object.is(tree, structure.value);
    case 'array': {
      const { items } = structure;
      if (!Array.isArray(tree) || tree.length !== items.length) return false;
      for (let i = 0; i < items.length; i++) {
        if (!hasStructure(items[i] as Structure, tree[i], found)) return false;
      }
      return true;
    }
    case 'object':
      return isPlainObject(tree) && hasEntries(structure, tree, found);
  }
}

function hasEntries(
  { keys, items }: Extract<Structure, { kind: 'object' }>,
  tree: Readonly<Record<string, unknown>>,
  found: Tensor[],
): boolean {
  let next = 0;
  for (const key in tree) {
    if (!Object.hasOwn(tree, key)) continue;
    if (key !== keys[next] || !hasStructure(items[next] as Structure, tree[key], found)) return false;
    next++;
  }
  return next === keys.length;
}

function isPlainObject(tree: unknown): tree is Readonly<Record<string, unknown>> {
  if (typeof tree !== 'object' || tree === null) return false;
  const prototype: unknown = Object.getPrototypeOf(tree);
  return prototype === Object.prototype || prototype === null;
}

/** The tree of this structure with these tensors. Builds nothing beside it: every call of a compiled function comes here. */
export function unflatten(structure: Structure, tensors: readonly Tensor[]): unknown {
  return build(structure, tensors, { next: 0 });
}

function build(part: Structure, tensors: readonly Tensor[], at: { next: number }): unknown {
  switch (part.kind) {
    case 'tensor':
      return tensors[at.next++];
    case 'static':
      return part.value;
    case 'array': {
      const array = new Array<unknown>(part.items.length);
      for (let i = 0; i < array.length; i++) array[i] = build(part.items[i] as Structure, tensors, at);
      return array;
    }
    case 'object': {
      const object: Record<string, unknown> = {};
      for (let i = 0; i < part.keys.length; i++) {
        const key = part.keys[i] as string;
        const value = build(part.items[i] as Structure, tensors, at);
        if (key !== '__proto__') object[key] = value;
        else
          Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      }
      return object;
    }
  }
}

/** A tree of the same type with other tensors at its leaves, in the order of `leaves`. */
export function withLeaves<T>(tree: T, tensors: readonly Tensor[]): T {
  // The structure is that of `tree`, so the type is too; TypeScript cannot follow a walk over unknown keys.
  return unflatten(flatten(tree).structure, tensors) as T;
}

/**
 * Applies a function to each tensor of a tree, or to the corresponding tensors of several trees of one structure.
 *
 * @throws TypeError naming the numbers of leaves when the trees differ
 */
export function mapTree<T>(
  apply: (...tensors: [Tensor, ...Tensor[]]) => Tensor,
  tree: T,
  ...others: readonly T[]
): T {
  const first = leaves(tree);
  const rest = others.map((other) => leaves(other));
  for (const other of rest) {
    const differs =
      other.length !== first.length ? 'number' : first.find(({ path }, i) => other[i]?.path !== path)?.path;
    if (differs) {
      throw new TypeError(
        `mapTree: trees of ${first.length} and ${other.length} tensors differ (first at ${differs})`,
      );
    }
  }
  return withLeaves(
    tree,
    first.map(({ tensor }, i) => apply(tensor, ...rest.map((other) => (other[i] as Leaf).tensor))),
  );
}

/**
 * Computes all tensors of a tree now, in one schedule.
 *
 * @returns the same tree
 */
export function evaluate<T>(tree: T): T {
  realize(flatten(tree).leaves);
  return tree;
}
