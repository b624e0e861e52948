import { fileURLToPath } from 'node:url';
import { createReferenceDevice, type Device } from '@clipin/kernel';
import { countParameters } from '@clipin/nn';
import { destroyDevice, init, randomKey, startDevice } from '@clipin/tensor';
import { encode } from 'fast-png';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configurations } from '../configurations';
import { createEmbedder } from '../evaluation/embedder';
import { dualEncoder } from '../model';
import { heatMaps } from '../use/heat-maps';
import { loadPretrained } from './load-pretrained';
import { placeTowers } from './place-towers';

let device: Device;
let second: Device;

beforeAll(async () => {
  device = await init({ device: 'wasm', threads: 1 });
  second = await startDevice({ device: 'wasm', threads: 1 });
});
afterAll(() => {
  for (const one of [device, second]) destroyDevice(one);
});

const another = () => Promise.resolve(second);
const small = dualEncoder(configurations['small-world']);

describe('towers go', () => {
  it('both on the device while it has room for them, to the byte', async () => {
    const key = randomKey(0);
    const sizes = [small.image, small.text].map((tower) => 4 * countParameters(tower.init(key)));
    const [image, text] = sizes as [number, number];
    expect(await placeTowers(small, device, another, image + text)).toEqual({ image: device, text: device });
    expect(await placeTowers(small, device, another, image + text - 1)).toEqual({
      image: device,
      text: second,
    });
    await expect(placeTowers(small, device, undefined, image + text - 1)).rejects.toThrow(
      /each needs one of its own: loadPretrained\(source, \{ another: startDevice \}\)/,
    );
    await expect(placeTowers(small, device, another, Math.max(image, text) - 1)).rejects.toThrow(
      image > text ? /the image tower has 0\.00 GB/ : /the text tower has 0\.00 GB/,
    );
  });

  it.each([
    ['ViT-L/14@336', false],
    ['SigLIP-So400m/14@384', false],
    ['DFN-ViT-H/14@378', true],
    ['SigLIP2-So400m/16@384', true],
  ] as const)('%s: on two wasm devices: %s', async (name, two) => {
    const { image, text } = await placeTowers(dualEncoder(configurations[name]), device, another);
    expect([image, text]).toEqual([device, two ? second : device]);
  });

  it('nowhere where one is larger than a device; on others than wasm there is no such limit', async () => {
    const huge = dualEncoder(configurations['LAION-ViT-bigG/14']);
    await expect(placeTowers(huge, device, another)).rejects.toThrow(
      'the image tower has 7.38 GB of parameters, and a wasm device has room for 3.76 GB; it needs a GPU',
    );
    const reference = createReferenceDevice();
    expect(await placeTowers(huge, reference)).toEqual({ image: reference, text: reference });
  });
});

it('towers on two devices give what they give on one: embeddings and heat maps', async () => {
  const path = fileURLToPath(new URL('./fixtures/hugging-face-f32', import.meta.url));
  const data = Uint8Array.from({ length: 20 * 24 * 3 }, (_, i) => (i * 37) % 256);
  const picture = { name: 'a.png', bytes: encode({ width: 24, height: 20, data, channels: 3, depth: 8 }) };
  const seen = async (devices?: { image: Device; text: Device }) => {
    const loaded = await loadPretrained(path, { ...(devices && { devices }) });
    // The vocabulary of the file is cut to a few ids.
    const tokenizer = { size: 40, pad: 0, start: 38, end: 39, encode: () => [38, 5, 7, 39] };
    const model = { ...loaded, tokenizer };
    const embedder = createEmbedder(model);
    const texts = await embedder.texts(['whatever']);
    const maps = await heatMaps(model, embedder, picture, 'whatever');
    const images = [];
    for await (const item of embedder.images([picture])) images.push(item);
    return { texts, maps, images };
  };
  expect(await seen({ image: device, text: second })).toEqual(await seen());
});
