/** Parameters into files of tensors under another library's names, one tensor after another. */
import { evaluate } from '@clipin/tensor';
import { joined } from '../joined';
import type { WriteFile } from './atomic-files';
import { jsonFile } from './atomic-files';
import { toTheirs } from './layouts';
import { type Naming, type Placement, placements } from './naming';
import { type DeferredTensor, streamSafetensors } from './safetensors';

/** A file holds at most so many bytes of tensors, but one tensor at least; as `transformers` writes them. */
const SHARD_BYTES = 5e9;
const ELEMENT_BYTES = 4;

/** How weights are written. */
export interface WeightFiles {
  /** The file's name up to `.safetensors`. */
  readonly name: string;
  /** What the header says beside the tensors. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Most bytes of tensors in a file. Default: 5 GB. */
  readonly shardBytes?: number;
}

/**
 * The files that hold parameters in f32: one, or several with an index where there is too much for one.
 *
 * @throws Error listing the parameters that the naming has no name for
 */
export function weightFiles(
  naming: Naming,
  params: unknown,
  { name, metadata, shardBytes = SHARD_BYTES }: WeightFiles,
): Map<string, WriteFile> {
  const shards = inShards(placements(naming, evaluate(params)), shardBytes);
  const nameOf = (i: number) =>
    shards.length === 1
      ? `${name}.safetensors`
      : `${name}-${counted(i + 1)}-of-${counted(shards.length)}.safetensors`;
  const files = new Map<string, WriteFile>();
  shards.forEach((shard, i) => {
    const tensors = new Map(shard.map((placement) => [placement.theirs, deferred(placement)]));
    files.set(nameOf(i), (path) => streamSafetensors(path, tensors, metadata));
  });
  if (shards.length > 1) {
    const total_size = shards.flat().reduce((sum, placement) => sum + bytesOf(placement), 0);
    const places = shards.flatMap((shard, i) => shard.map(({ theirs }) => [theirs, nameOf(i)] as const));
    files.set(
      `${name}.safetensors.index.json`,
      jsonFile({ metadata: { total_size }, weight_map: Object.fromEntries(places) }),
    );
  }
  return files;
}

const counted = (i: number): string => String(i).padStart(5, '0');

const bytesOf = ({ shape }: Placement): number =>
  shape.reduce((product, side) => product * side, ELEMENT_BYTES);

function inShards(all: readonly Placement[], limit: number): Placement[][] {
  const shards: Placement[][] = [[]];
  let filled = 0;
  for (const placement of all) {
    const bytes = bytesOf(placement);
    if (filled > 0 && filled + bytes > limit) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(placement);
    filled += bytes;
  }
  return shards;
}

const deferred = ({ shape, layout, parts }: Placement): DeferredTensor => ({
  dtype: 'f32',
  shape,
  async data() {
    const arrays: Float32Array[] = [];
    for (const { tensor } of parts)
      arrays.push(toTheirs(layout, floatsOf(await tensor.data()), tensor.shape));
    return arrays.length === 1 ? arrays[0]! : joined(arrays);
  },
});

/** The reference device computes in float64. */
const floatsOf = (data: ArrayLike<number>): Float32Array =>
  data instanceof Float32Array ? data : Float32Array.from(data);
