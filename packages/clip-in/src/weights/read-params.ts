/** Parameters out of a source of tensors, one tensor after another, so that the file is never whole in memory. */
import { createHash } from 'node:crypto';
import { decodeF16, encodeF16, evaluate, leaves, type Tensor, tensor, withLeaves } from '@clipin/tensor';
import { parameterDType, type WeightDType } from './half-weights';
import { toOurs } from './layouts';
import { checkPlacements, type Naming, placements } from './naming';
import type { StoredTensor } from './safetensors';
import type { TensorSource } from './tensor-source';

/** Parameters and a digest of them. */
export interface ReadParams<T> {
  readonly params: T;
  /** SHA-256 of paths and values: the same for the same weights, whatever file they came from and whatever type they have. */
  readonly digest: string;
}

/**
 * Reads the parameters of a model.
 *
 * @param template - a tree of the right shapes; its own values are not computed
 * @param weights - what matrices and tables become
 * @throws Error naming the file and listing all tensors that are missing, left over, or of another shape
 */
export async function readParams<T>(
  source: TensorSource,
  naming: Naming,
  template: T,
  weights: WeightDType,
): Promise<ReadParams<T>> {
  const wanted = placements(naming, template);
  checkPlacements(naming, wanted, source);
  const tensors = new Map<string, Tensor>();
  const digests = new Map<string, string>();
  for (const { theirs, layout, parts } of wanted) {
    const data = floats(theirs, await source.read(theirs), source.file);
    const length = data.length / parts.length;
    parts.forEach(({ path, tensor: like }, i) => {
      const values = toOurs(layout, data.subarray(i * length, (i + 1) * length), like.shape);
      const halves = parameterDType(like, weights) === 'f16' ? encodeF16(values) : undefined;
      tensors.set(path, tensor(halves ?? values, like.shape, { device: like.device }));
      digests.set(path, halves ? digestOfHalves(halves) : digestOf(values));
    });
  }
  const order = leaves(template).map(({ path }) => path);
  return {
    params: withLeaves(
      template,
      order.map((path) => tensors.get(path)!),
    ),
    digest: combine(order, digests),
  };
}

/** The digest of parameters that are on a device. */
export async function digestOfParams(params: unknown): Promise<string> {
  const digests = new Map<string, string>();
  for (const { path, tensor: x } of leaves(evaluate(params))) {
    digests.set(path, digestOf(Float32Array.from(await x.data())));
  }
  return combine([...digests.keys()], digests);
}

function floats(name: string, { dtype, data }: StoredTensor, file: string): Float32Array {
  if (data instanceof Float32Array) return data;
  throw new Error(`${file}: ${name} holds integers (read as ${dtype}); weights are floats`);
}

const digestOf = (values: Float32Array): string =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');

/** Halves of which the values are made at a time. */
const piece = 2 ** 15;

/** The digest of the values in f32. */
function digestOfHalves(bits: Uint16Array): string {
  const hash = createHash('sha256');
  for (let start = 0; start < bits.length; start += piece)
    hash.update(decodeF16(bits.subarray(start, start + piece)));
  return hash.digest('hex');
}

const combine = (paths: readonly string[], digests: ReadonlyMap<string, string>): string =>
  createHash('sha256')
    .update(paths.map((path) => `${path} ${digests.get(path)}`).join('\n'))
    .digest('hex');
