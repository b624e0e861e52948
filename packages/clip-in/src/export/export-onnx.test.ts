import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SIGLIP_PREPROCESS } from '@clipin/data';
import { type ImagePatches, patchedImages } from '@clipin/nn';
import { evaluate, init, leaves, normal, randomKey, tensor, uniform, withLeaves } from '@clipin/tensor';
import * as ort from 'onnxruntime-web';
import { PbfReader } from 'pbf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configurations, type ModelConfig, withRotaryText } from '../configurations';
import { type DualEncoder, type DualEncoderParams, dualEncoder } from '../model';
import { exportOnnx, type OnnxFiles } from './export-onnx';

let folder: string;
beforeAll(async () => {
  await init({ device: 'wasm' });
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'fatal'; // it prints what it throws
  folder = await mkdtemp(join(tmpdir(), 'clipin-onnx-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A configuration of the same form in small. Where patches leave an edge of the original's image, they leave one here too. */
function reduced({ vision, text, ...others }: ModelConfig): ModelConfig {
  const rest = vision.imageSize % vision.patchSize === 0 ? 0 : 1;
  const size = { width: 16, depth: 2, heads: 2, ...(vision.mlpHidden && { mlpHidden: 20 }) };
  return {
    ...others,
    embedding: vision.projection === false ? 16 : 10,
    vision: { ...vision, ...size, imageSize: 12 + rest, patchSize: 4 },
    text: {
      ...text,
      ...size,
      width: 12,
      vocabulary: 40,
      contextLength: text.positions === 'stretched' ? 26 : 9,
      ...(text.shortLength !== undefined && { shortLength: 5 }),
    },
  };
}

/** With every gain, bias and token different from what it is at first, so that each of them counts. */
function randomModel(config: ModelConfig) {
  const model = dualEncoder(config);
  const first = model.init(randomKey(1));
  const moved = leaves(first).map(({ tensor: x }, i) => x.add(normal(randomKey(i + 2), x.shape).mul(0.2)));
  return { model, params: evaluate(withLeaves(first, moved)) };
}

const session = async (path: string) => ort.InferenceSession.create(await readFile(path));

async function run(model: ort.InferenceSession, feeds: Readonly<Record<string, ort.Tensor>>) {
  const out = (await model.run(feeds))[model.outputNames[0] as string] as ort.Tensor;
  return (await out.getData()) as Float32Array;
}

const longs = (values: ArrayLike<number>, shape: readonly number[]) =>
  new ort.Tensor('int64', BigInt64Array.from(Array.from(values), BigInt), shape);

/** The largest difference over the largest value. */
function relative(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  expect(got.length).toBe(wanted.length);
  const largest = Math.max(...Array.from(wanted, Math.abs));
  return Math.max(...Array.from(wanted, (x, i) => Math.abs(x - (got[i] as number)))) / largest;
}

const tolerance = 1e-5;

interface Exported {
  readonly model: DualEncoder;
  readonly params: DualEncoderParams;
  readonly files: OnnxFiles;
}

async function exported(name: string, config: ModelConfig): Promise<Exported> {
  const { model, params } = randomModel(config);
  return { model, params, files: await exportOnnx({ model, params }, join(folder, name)) };
}

async function compareSquares({ model, params, files }: Exported): Promise<void> {
  const side = model.config.vision.imageSize;
  const tower = await session(files.image);
  for (const batch of [1, 3]) {
    const images = evaluate(uniform(randomKey(batch), [batch, side, side, 3]));
    const planes = Float32Array.from(await images.transpose([0, 3, 1, 2]).data());
    const got = await run(tower, { pixel_values: new ort.Tensor('float32', planes, [batch, 3, side, side]) });
    expect(relative(got, await model.image.apply(params.image, images).data())).toBeLessThan(tolerance);
  }
}

async function compareGrids({ model, params, files }: Exported): Promise<void> {
  const { imageSize, patchSize } = model.config.vision;
  const tower = await session(files.image);
  const image = (rows: number, columns: number): ImagePatches => {
    const values = rows * columns * patchSize ** 2 * 3;
    return { grid: [rows, columns], patches: Float32Array.from({ length: values }, (_, i) => Math.sin(i)) };
  };
  for (const [images, count] of [
    [[image(2, 5)], 10],
    [[image(4, 2), image(1, 3), image(3, 3)], 11],
  ] as const) {
    const patched = patchedImages(images, {
      patchSize,
      positions: Math.floor(imageSize / patchSize),
      patches: count,
    });
    const { patches, mask, positions } = patched;
    const got = await run(tower, {
      pixel_values: new ort.Tensor('float32', Float32Array.from(await patches.data()), patches.shape),
      pixel_attention_mask: longs(await mask.cast('i32').data(), mask.shape),
      position_weights: new ort.Tensor('float32', Float32Array.from(await positions.data()), positions.shape),
    });
    expect(relative(got, await model.image.apply(params.image, patched).data())).toBeLessThan(tolerance);
  }
}

async function compareTexts({ model, params, files }: Exported): Promise<void> {
  const { contextLength, vocabulary, causal = true, pool = 'end' } = model.config.text;
  const { shortLength = contextLength } = model.config.text;
  const tower = await session(files.text);
  const lengths = causal && pool === 'end' ? [contextLength, 4] : [contextLength, shortLength];
  for (const length of lengths) {
    for (const batch of [1, 3]) {
      const ids = Int32Array.from({ length: batch * length }, (_, i) => (i * 7 + batch) % (vocabulary - 1));
      for (let row = 0; row < batch; row++) ids[row * length + row + 1] = vocabulary - 1; // ends
      const got = await run(tower, { input_ids: longs(ids, [batch, length]) });
      const wanted = await model.text.apply(params.text, tensor(ids, [batch, length])).data();
      expect(relative(got, wanted)).toBeLessThan(tolerance);
    }
  }
}

describe('exportOnnx', () => {
  const families: Readonly<Record<string, ModelConfig>> = {
    ...configurations,
    'mean pool': {
      ...configurations['small-world'],
      vision: { ...configurations['small-world'].vision, pool: 'mean' },
    },
    'CLIP-IN from SigLIP': withRotaryText(configurations['SigLIP-B/16']),
    'another rotary base': {
      ...configurations['small-world'],
      text: { ...withRotaryText(configurations['small-world']).text, rotaryBase: 500 },
    },
  };
  // Those that are the same in small are exported once.
  const forms = new Map(
    Object.entries(families).map(([name, config]) => [JSON.stringify(reduced(config)), name]),
  );

  for (const [form, name] of forms) {
    const config = JSON.parse(form) as ModelConfig;
    it(`gives the embeddings of ${name}, of any batch and number of tokens`, async () => {
      const all = await exported(name.replace('/', '-'), config);
      await (config.vision.naflex ? compareGrids(all) : compareSquares(all));
      await compareTexts(all);
    });
  }

  const clip = reduced(configurations['ViT-B/32']);
  const siglip = reduced(configurations['SigLIP-B/16']);

  it('refuses what is no input of the tower', async () => {
    const { files } = await exported('refusing', clip);
    const [image, text] = [await session(files.image), await session(files.text)];
    const pixels = new ort.Tensor('float32', new Float32Array(3 * 16 ** 2), [1, 3, 16, 16]);
    await expect(run(image, { pixel_values: pixels })).rejects.toThrow(/pixel_values.*Expected: 12/s);
    const tooLong = clip.text.contextLength + 1;
    await expect(run(text, { input_ids: longs(new Int32Array(tooLong), [1, tooLong]) })).rejects.toThrow();
    await expect(run(text, { input_ids: longs([clip.text.vocabulary], [1, 1]) })).rejects.toThrow(/bounds/);
  });

  it('wants the padding where it counts', async () => {
    const { files } = await exported('padded', siglip);
    const text = await session(files.text);
    await expect(run(text, { input_ids: longs([1, 2, 3], [1, 3]) })).rejects.toThrow(/Expected: 9/);
  });

  it('says in the metadata what the embeddings are to be done with', async () => {
    const { model, params } = randomModel(siglip);
    const preprocess = SIGLIP_PREPROCESS(12);
    const files = await exportOnnx({ model, params, preprocess }, join(folder, 'metadata'));
    const image = metadataOf(await readFile(files.image));
    const { logitScale, logitBias } = params;
    expect(Number(image.logit_scale)).toBeCloseTo(Math.exp(await logitScale.item()), 4);
    expect(Number(image.logit_bias)).toBe(await logitBias?.item());
    expect(JSON.parse(image.preprocess ?? '')).toEqual(preprocess);
    const text = metadataOf(await readFile(files.text));
    expect(Object.keys(text).sort()).toEqual(['context_length', 'logit_bias', 'logit_scale', 'vocabulary']);
    expect(text).toMatchObject({ context_length: '9', vocabulary: '40' });
  });

  it('refuses a model with parameters that it does not know', async () => {
    const { model, params } = randomModel(clip);
    const image = { ...params.image, registers: params.image.positions.add(1) };
    await expect(exportOnnx({ model, params: { ...params, image } }, folder)).rejects.toThrow(
      'exportOnnx: the export does not know what these parameters do: registers',
    );
  });

  it('names the directory that cannot be made', async () => {
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    await expect(exportOnnx(randomModel(clip), join(file, 'below'))).rejects.toThrow(join(file, 'below'));
  });
});

/** Field 14 of a model, read by a decoder of others with no schema of ours. */
function metadataOf(model: Uint8Array): Record<string, string | undefined> {
  const entry = (tag: number, strings: string[], pbf: PbfReader) => {
    strings[tag] = pbf.readString();
  };
  return new PbfReader(model).readFields<Record<string, string | undefined>>((tag, found, pbf) => {
    if (tag !== 14) return;
    const [, key = '', value] = pbf.readMessage<string[]>(entry, []);
    found[key] = value;
  }, {});
}
