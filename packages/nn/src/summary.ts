/** What a tree of parameters holds, read from shapes alone: nothing is computed. */
import { type Leaf, leaves } from '@clipin/tensor';

/** Number of elements of all tensors of a tree. */
export const countParameters = (params: unknown): number =>
  leaves(params).reduce((sum, { tensor }) => sum + tensor.size, 0);

/** Positions in lists, as parts of a path. */
const indices = /(?<=^|\.)\d+(?=\.|$)/g;

interface Row {
  readonly path: string;
  readonly shape: string;
  readonly count: string;
}

/**
 * A table of paths, shapes and numbers of elements, as text. Equal parameters of the items of a list share a row:
 * `blocks.0-11.ln1.gain`.
 */
export function summary(params: unknown): string {
  const groups = new Map<string, Leaf[]>();
  for (const leaf of leaves(params)) {
    const name = `${leaf.path.replace(indices, '#')} ${String(leaf.tensor.shape)} ${leaf.tensor.dtype}`;
    groups.set(name, [...(groups.get(name) ?? []), leaf]);
  }
  const rows = [
    { path: 'parameter', shape: 'shape', count: 'elements' },
    ...[...groups.values()].map(rowOf),
    { path: 'total', shape: '', count: grouped(countParameters(params)) },
  ];
  const width = (column: keyof Row) => Math.max(...rows.map((row) => row[column].length));
  const [paths, shapes, counts] = [width('path'), width('shape'), width('count')];
  return rows
    .map(
      ({ path, shape, count }) => `${path.padEnd(paths)}  ${shape.padEnd(shapes)}  ${count.padStart(counts)}`,
    )
    .join('\n');
}

const grouped = (n: number): string => n.toLocaleString('en-US');

function rowOf(group: readonly Leaf[]): Row {
  const [first, last] = [group[0]!, group[group.length - 1]!];
  const ends = last.path.match(indices) ?? [];
  const path = first.path.replace(indices, (start) => {
    const end = ends.shift();
    return end === undefined || end === start ? start : `${start}-${end}`;
  });
  const total = group.reduce((sum, { tensor }) => sum + tensor.size, 0);
  return { path, shape: `${first.tensor.dtype}[${first.tensor.shape.join(', ')}]`, count: grouped(total) };
}
