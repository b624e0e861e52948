/**
 * Published models and what PyTorch makes of them, as `reference/write_reference.py` writes them: inputs, and how far our
 * outputs are from theirs.
 */
import { type PatchedImages, patchedImages } from '@clipin/nn';
import { type Tensor, tensor } from '@clipin/tensor';
import { type DualEncoder, type DualEncoderParams, logits } from './model';
import type { StoredTensor, TensorRecord } from './weights/safetensors';

/** {@link difference} of each output. */
export type Differences = Readonly<Record<string, number>>;

/** A tensor of the reference, on the default device. */
export function given(values: TensorRecord, name: string): Tensor {
  const { data, shape, dtype } = stored(values, name);
  return tensor(data, shape, { dtype });
}

function stored(values: TensorRecord, name: string): StoredTensor {
  const found = values[name];
  if (!found) throw new Error(`the reference has no ${name}; it has ${Object.keys(values).join(', ')}`);
  return found;
}

/** The images, or patches of images of several shapes, for a tower whose learned positions are a square of side `grid`. */
export function givenImages(values: TensorRecord, grid: number): Tensor | PatchedImages {
  if (values.pixels) return given(values, 'pixels');
  const { data, shape } = stored(values, 'patches');
  const [batch, count, size] = shape as readonly [number, number, number];
  const shapes = stored(values, 'shapes').data;
  const images = Array.from({ length: batch }, (_, i) => {
    const [rows = 0, columns = 0] = shapes.slice(2 * i);
    const start = i * count * size;
    const patches = Float32Array.from(data.slice(start, start + rows * columns * size));
    return { patches, grid: [rows, columns] as const };
  });
  return patchedImages(images, { patchSize: Math.sqrt(size / 3), positions: grid, patches: count });
}

/** Unit embeddings of the reference's images. */
export function embedImages(
  { image, config: { vision } }: DualEncoder,
  params: DualEncoderParams['image'],
  values: TensorRecord,
): Tensor {
  return image.apply(params, givenImages(values, Math.floor(vision.imageSize / vision.patchSize)));
}

/** Embeddings and logits against those of the reference. */
export async function differences(
  model: DualEncoder,
  params: DualEncoderParams,
  values: TensorRecord,
): Promise<Differences> {
  const images = embedImages(model, params.image, values);
  const texts = model.text.apply(params.text, given(values, 'ids'));
  return {
    images: await difference(images, values, 'images'),
    texts: await difference(texts, values, 'texts'),
    logits: await difference(logits(params, images, texts), values, 'logits'),
  };
}

/** Features of patches and looks of the pool against those of the reference. */
export async function featureDifferences(
  { image, config: { vision } }: DualEncoder,
  params: DualEncoderParams,
  values: TensorRecord,
): Promise<Differences> {
  const grid = Math.floor(vision.imageSize / vision.patchSize);
  const { embedding, patches, attention } = image.features(params.image, givenImages(values, grid));
  const real = values.mask?.data; // what fills images up is anything
  return {
    embedding: await difference(embedding, values, 'images'),
    patches: await difference(patches, values, 'looks', real && ((row) => real[row] === 1)),
    attention: await difference(attention, values, 'attention'),
  };
}

/** The largest difference of a tensor from the reference's, in parts of the largest value. */
export async function difference(
  actual: Tensor,
  values: TensorRecord,
  name: string,
  counts: (row: number) => boolean = () => true,
): Promise<number> {
  const wanted = stored(values, name);
  if (String(actual.shape) !== String(wanted.shape)) {
    throw new Error(
      `${name} has shape [${actual.shape.join(', ')}], the reference [${wanted.shape.join(', ')}]`,
    );
  }
  const got = await actual.data();
  const width = wanted.shape.at(-1) as number;
  let [most, largest] = [0, 0];
  for (const [i, value] of Array.from(wanted.data).entries()) {
    if (!counts(Math.floor(i / width))) continue;
    const apart = Math.abs((got[i] as number) - value);
    most = Math.max(most, apart); // NaN stays
    largest = Math.max(largest, Math.abs(value));
  }
  return most / largest;
}
