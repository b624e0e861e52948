/** Between a tree of tensors and the named arrays of a checkpoint. A tensor's path in the tree is its name. */
import { encodeF16, evaluate, type Leaf, leaves, type Tensor, tensor, withLeaves } from '@clipin/tensor';
import type { StoredTensor, TensorRecord } from './weights/safetensors';

/**
 * Computes the tensors of a tree and copies them to the host.
 *
 * @throws TypeError for a tensor of a dtype that checkpoints do not hold (bool), with its path
 */
export async function treeToRecord(tree: unknown): Promise<TensorRecord> {
  const found = leaves(evaluate(tree));
  return Object.fromEntries(
    await Promise.all(found.map(async (leaf) => [leaf.path, await store(leaf)] as const)),
  );
}

/** Options of {@link recordToTree}. */
export interface RecordToTreeOptions {
  /** Takes only names that begin with `prefix.`, and cuts that off: `params` for the parameters of a training state. */
  readonly prefix?: string;
}

/**
 * A tree like the template with the tensors of a record. The template's own values are not computed.
 *
 * @throws Error listing by name all tensors that are missing, left over, or of another shape or dtype
 */
export function recordToTree<T>(template: T, record: TensorRecord, { prefix }: RecordToTreeOptions = {}): T {
  const start = prefix === undefined ? '' : `${prefix}.`;
  const wanted = leaves(template);
  const names = new Set(wanted.map(({ path }) => start + path));
  const problems = [
    ...wanted.flatMap((leaf) => problemOf(start + leaf.path, leaf.tensor, record[start + leaf.path])),
    ...Object.keys(record)
      .filter((name) => name.startsWith(start) && !names.has(name))
      .map((name) => `  ${name}: left over, ${formatStored(record[name]!)}`),
  ];
  if (problems.length > 0) {
    throw new Error(
      `recordToTree: ${problems.length} of the tensors do not fit the model:\n${problems.join('\n')}`,
    );
  }
  return withLeaves(
    template,
    wanted.map(({ path, tensor: like }) => {
      const { data, shape, dtype } = record[start + path]!;
      return tensor(data, shape, { dtype, device: like.device });
    }),
  );
}

async function store({ path, tensor: x }: Leaf): Promise<StoredTensor> {
  const { dtype, shape } = x;
  if (dtype === 'bool')
    throw new TypeError(
      `treeToRecord: ${path} is bool; a checkpoint holds f32, f16, i32 and u32, so cast it`,
    );
  const data = await x.data();
  // The reference device computes in float64.
  if (dtype === 'f32')
    return { dtype, shape, data: data instanceof Float32Array ? data : Float32Array.from(data) };
  if (dtype === 'f16') return { dtype, shape, data: encodeF16(data) };
  if (dtype === 'i32')
    return { dtype, shape, data: data instanceof Int32Array ? data : Int32Array.from(data) };
  return { dtype, shape, data: data instanceof Uint32Array ? data : Uint32Array.from(data) };
}

function problemOf(name: string, like: Tensor, stored: StoredTensor | undefined): string[] {
  const wanted = `${like.dtype} [${like.shape.join(', ')}]`;
  if (!stored) return [`  ${name}: missing, ${wanted} needed`];
  const came = formatStored(stored);
  return came === wanted ? [] : [`  ${name}: is ${came}, ${wanted} needed`];
}

const formatStored = ({ dtype, shape }: StoredTensor): string => `${dtype} [${shape.join(', ')}]`;
