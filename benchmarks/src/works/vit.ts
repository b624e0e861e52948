/** CLIP's image tower from pictures to embeddings, in the sizes that `configurations` of `clip-in` has. */
import { destroyDevice, init, randomKey, tensor } from '@clipin/tensor';
import { configurations, dualEncoder, exportOnnx, type ModelConfig } from 'clip-in';
import { mapVit, type Values, type Vit } from '../library';
import { constant, uniform } from '../random';
import { block } from './block-step';
import type { WorkOf } from './work';

/** So many pictures to their embeddings. `peers` as a work has them. */
export function vit(
  name: 'ViT-B/32' | 'ViT-L/14',
  batch: number,
  { peers, memory = false }: Pick<WorkOf<'vit'>, 'peers' | 'memory'> = {},
): WorkOf<'vit'> {
  const config = configurations[name];
  const { imageSize, patchSize, heads } = config.vision;
  return {
    name: `${name} image embedding, batch ${batch}`,
    kind: 'vit',
    unit: 'images/s',
    amount: batch,
    comparedRuns: 1,
    memory,
    ...(peers && { peers }),
    async problem(folder) {
      const params = parameters(config);
      const images = uniform(5, [batch, imageSize, imageSize, 3], 2);
      return { params, onnx: await exported(config, params, folder), images, patchSize, heads };
    },
  };
}

function parameters({ vision, embedding }: ModelConfig): Vit<Values> {
  const { imageSize, patchSize, width, depth } = vision;
  const inputs = patchSize ** 2 * 3;
  const norm = () => ({ gain: constant([width], 1), bias: constant([width], 0) });
  return {
    patches: uniform(1, [inputs, width], Math.sqrt(3 / inputs)),
    classToken: uniform(2, [width]),
    positions: uniform(3, [1 + (imageSize / patchSize) ** 2, width]),
    lnPre: norm(),
    blocks: Array.from({ length: depth }, (_, i) => block(10 * (i + 1), width)),
    lnPost: norm(),
    projection: uniform(4, [width, embedding], Math.sqrt(3 / width)),
  };
}

/** Writes the tower as `exportOnnx` of `clip-in` does. */
async function exported(config: ModelConfig, params: Vit<Values>, folder: string): Promise<string> {
  const device = await init({ device: 'wasm', threads: 1, blas: false });
  const { patches, ...others } = mapVit(params, ({ data, shape }) => tensor(data, shape));
  const noText = { ...config.text, vocabulary: 2, contextLength: 1, width: 8, depth: 1, heads: 1 };
  const model = dualEncoder({ ...config, text: noText });
  const { text, logitScale } = model.init(randomKey(0));
  const files = await exportOnnx(
    { model, params: { image: { patches: { weight: patches }, ...others }, text, logitScale } },
    folder,
  );
  destroyDevice(device);
  return files.image;
}
