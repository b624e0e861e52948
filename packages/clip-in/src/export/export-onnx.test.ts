import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { evaluate, init, randomKey, tensor, uniform } from '@clipin/tensor';
import * as ort from 'onnxruntime-web';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelConfig, TextConfig, VisionConfig } from '../configurations';
import { dualEncoder } from '../model';
import { exportOnnx } from './export-onnx';

const vision: VisionConfig = {
  imageSize: 12,
  patchSize: 4,
  width: 16,
  depth: 2,
  heads: 2,
  activation: 'quickGelu',
  pool: 'class',
};
const text: TextConfig = {
  vocabulary: 20,
  contextLength: 9,
  width: 12,
  depth: 2,
  heads: 2,
  activation: 'quickGelu',
  positions: 'absolute',
};

const families: Readonly<Record<string, ModelConfig>> = {
  'OpenAI CLIP': { embedding: 10, vision, text },
  'mean pool, exact gelu': {
    embedding: 10,
    vision: { ...vision, pool: 'mean', activation: 'gelu' },
    text: { ...text, activation: 'gelu' },
  },
  'rotary text, tanh gelu': {
    embedding: 10,
    vision: { ...vision, activation: 'geluTanh' },
    text: { ...text, positions: 'rotary', activation: 'geluTanh' },
  },
};

let folder: string;
beforeAll(async () => {
  await init({ device: 'wasm' });
  ort.env.wasm.numThreads = 1;
  folder = await mkdtemp(join(tmpdir(), 'clipin-onnx-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A model whose biases and gains are not 0 and 1, so that each of them is seen. */
function randomModel(config: ModelConfig) {
  const model = dualEncoder(config);
  const params = evaluate(model.init(randomKey(1)));
  return { model, params };
}

async function run(path: string, name: string, value: ort.Tensor): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(await readFile(path));
  const out = (await session.run({ [name]: value }))[session.outputNames[0] as string] as ort.Tensor;
  return (await out.getData()) as Float32Array;
}

describe('exportOnnx', () => {
  for (const [name, config] of Object.entries(families)) {
    it(`gives what the towers of ${name} give`, async () => {
      const { model, params } = randomModel(config);
      const files = await exportOnnx({ model, params }, join(folder, name));
      const side = config.vision.imageSize;
      for (const batch of [1, 3]) {
        const images = evaluate(uniform(randomKey(2), [batch, side, side, 3]));
        const planes = (await images.transpose([0, 3, 1, 2]).data()) as Float32Array;
        const got = await run(
          files.image,
          'pixel_values',
          new ort.Tensor('float32', planes, [batch, 3, side, side]),
        );
        expectClose(got, await model.image.apply(params.image, images).data());
      }
      for (const [batch, tokens] of [
        [1, 9],
        [3, 5],
      ] as const) {
        const ids = Int32Array.from({ length: batch * tokens }, (_, i) => (i * 7 + batch) % 19);
        for (let row = 0; row < batch; row++) ids[row * tokens + 2 + row] = 19;
        const got = await run(
          files.text,
          'input_ids',
          new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [batch, tokens]),
        );
        expectClose(got, await model.text.apply(params.text, tensor(ids, [batch, tokens])).data());
      }
    });
  }
});

function expectClose(got: ArrayLike<number>, wanted: ArrayLike<number>) {
  expect(got.length).toBe(wanted.length);
  const largest = Math.max(...Array.from(wanted, Math.abs));
  const worst = Math.max(...Array.from(wanted, (x, i) => Math.abs(x - (got[i] as number))));
  expect(worst).toBeLessThan(1e-5 * largest);
}
