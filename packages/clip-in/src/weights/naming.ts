/**
 * Names of tensors, as data: how a library calls what our tree of parameters holds, and in which layout it keeps it. One
 * table serves loading and saving. The tables themselves are in `names-….ts`.
 */
import { type Leaf, leaves } from '@clipin/tensor';
import { type Layout, ourShape, theirShape } from './layouts';
import type { TensorInfo } from './safetensors';
import { listed } from './tensor-source';

/**
 * A name of theirs, the paths of ours that it holds, one after another along its first axis, and the layout. `{i}` stands
 * for the number of a block.
 */
export type TensorName = readonly [theirs: string, ours: string | readonly string[], layout: Layout];

/** How a library names the tensors of a dual encoder. */
export interface Naming {
  /** For errors, such as `Hugging Face's CLIPModel`. */
  readonly title: string;
  /** Whose files of settings go with it. */
  readonly library: 'hugging-face' | 'open-clip';
  readonly names: readonly TensorName[];
  /** Tensors that are no parameters and are left aside: buffers of indices and masks, and sizes. */
  readonly ignored?: RegExp;
}

/** A tensor of theirs and the place of its parts in our tree. */
export interface Placement {
  readonly theirs: string;
  /** Their shape. */
  readonly shape: readonly number[];
  readonly layout: Layout;
  readonly parts: readonly Leaf[];
}

/**
 * Where each tensor of a tree is kept under a naming.
 *
 * @param tree - parameters; only their paths and shapes are looked at
 * @throws Error listing the parameters that the naming has no name for
 */
export function placements(naming: Naming, tree: unknown): Placement[] {
  const byPath = new Map(leaves(tree).map((leaf) => [leaf.path, leaf]));
  const named = new Set<string>();
  const found = naming.names.flatMap(([theirs, ours, layout]) => {
    const paths = typeof ours === 'string' ? [ours] : ours;
    return numbers(paths[0]!, byPath).flatMap((i): Placement[] => {
      const parts = paths.flatMap((path) => byPath.get(withNumber(path, i)) ?? []);
      if (parts.length < paths.length) return [];
      for (const { path } of parts) named.add(path);
      const shape = theirShape(layout, parts[0]!.tensor.shape, parts.length);
      return [{ theirs: withNumber(theirs, i), shape, layout, parts }];
    });
  });
  const unnamed = [...byPath.keys()].filter((path) => !named.has(path));
  if (unnamed.length > 0) {
    throw new Error(
      `${naming.title} has no name for ${unnamed.length} of the parameters, so this model cannot be kept under its names:\n` +
        listed(unnamed.map((path) => `  ${path}`)),
    );
  }
  return found;
}

/** The shapes of our parameters by their paths, as far as a file's tensors tell them. */
export function ourShapes(naming: Naming, found: NamedTensors): Map<string, readonly number[]> {
  const byName = new Map(naming.names.map((row) => [row[0], row]));
  const shapes = new Map<string, readonly number[]>();
  for (const [name, { shape }] of found.tensors) {
    const i = /\.(\d+)\./.exec(name)?.[1];
    const row = byName.get(name) ?? byName.get(name.replace(/\.\d+\./, '.{i}.'));
    if (!row) continue;
    const [, ours, layout] = row;
    const paths = typeof ours === 'string' ? [ours] : ours;
    const own = ourShape(layout, shape, paths.length);
    for (const path of paths) if (own) shapes.set(withNumber(path, i), own);
  }
  return shapes;
}

/** The numbers of blocks for which there is such a path; one undefined for a path without a number. */
function numbers(path: string, byPath: ReadonlyMap<string, Leaf>): (number | undefined)[] {
  if (!path.includes('{i}')) return [undefined];
  let count = 0;
  while (byPath.has(withNumber(path, count))) count++;
  return Array.from({ length: count }, (_, i) => i);
}

const withNumber = (text: string, i: number | string | undefined): string =>
  i === undefined ? text : text.replace('{i}', String(i));

/** A file's tensor under the name that the naming expects: without what was put before all names. */
export interface NamedTensors {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/**
 * Checks that the tensors of a file are those that are wanted.
 *
 * @throws Error naming the file and listing all tensors that are missing, left over, or of another shape
 */
export function checkPlacements(naming: Naming, wanted: readonly Placement[], found: NamedTensors): void {
  const names = new Set(wanted.map(({ theirs }) => theirs));
  const missing = wanted.filter(({ theirs }) => !found.tensors.has(theirs));
  const wrong = wanted.flatMap(({ theirs, shape }) => {
    const came = found.tensors.get(theirs)?.shape;
    return came && !sameShape(came, shape)
      ? [`  ${theirs}: is [${came.join(', ')}], [${shape.join(', ')}] needed`]
      : [];
  });
  const extra = [...found.tensors].filter(([name]) => !names.has(name) && !naming.ignored?.test(name));
  const problems = [
    ...sectionOf(
      'missing',
      missing.map(({ theirs, shape }) => `  ${theirs}: [${shape.join(', ')}] needed`),
    ),
    ...sectionOf('of another shape', wrong),
    ...sectionOf(
      'left over',
      extra.map(([name, { dtype, shape }]) => `  ${name}: ${dtype} [${shape.join(', ')}]`),
    ),
  ];
  if (problems.length > 0) {
    throw new Error(
      `${found.file}: its tensors are not those of the model under the names of ${naming.title}\n${problems.join('\n')}`,
    );
  }
}

const sectionOf = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [`${lines.length} ${title}:\n${listed(lines)}`];

/** Equal but for sides of 1 in front: a scalar may be kept as `[]` or `[1]`. */
function sameShape(a: readonly number[], b: readonly number[]): boolean {
  const [x, y] = [withoutLeadingOnes(a), withoutLeadingOnes(b)];
  return x.length === y.length && x.every((side, i) => side === y[i]);
}

function withoutLeadingOnes(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((side) => side !== 1);
  return first < 0 ? [] : shape.slice(first);
}
