/**
 * Every family of published models at its full size against PyTorch, randomly initialized, on wasm and on webgpu: makes the
 * reference, loads it as a user would, embeds an image and two texts, and writes how far they are apart into the table of
 * docs/real-models.md.
 *
 *     PYTHON=python3 npm run example packages/clip-in/reference/full-size.ts -- [NAME…]
 *
 * Names are those of `configurations`; default: all but bigG, which has 2.5 billion parameters. One model after another, each in
 * a process of its own and each tower on a device of its own; one of a billion parameters takes about 12 GB of memory, 5 GB of
 * disk, and on a software adapter minutes.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import type { TextTransformerParams } from '@clipin/nn';
import { countParameters } from '@clipin/nn';
import {
  type Device,
  destroyDevice,
  leaves,
  setDefaultDevice,
  type Tensor,
  tensor,
  withLeaves,
} from '@clipin/tensor';
import { createWasmDevice } from '@clipin/wasm';
import { createWebgpuDevice } from '@clipin/webgpu';
import counted from '../src/fixtures/parameter-counts.json';
import { loadPretrained, logits, type PretrainedModel } from '../src/index';
import { difference, embedImages, given } from '../src/towers.test-helpers';
import { readSafetensors, type StoredTensor, type TensorRecord } from '../src/weights/safetensors';

const run = promisify(execFile);
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const document = here('../../../docs/real-models.md');

/** What was measured of a model. */
interface Row {
  readonly parameters: number;
  /** How the files are laid out. */
  readonly layout: string;
  /** Relative differences by device. */
  readonly wasm: Figures;
  readonly webgpu: Figures;
}

interface Figures {
  readonly image: number;
  readonly text: number;
  readonly logits: number;
}

/** Makes the reference of a model in a folder of its own, and measures it in another process. */
async function compare(name: string): Promise<Row> {
  const folder = await mkdtemp(join(tmpdir(), 'clip-in-full-size-'));
  try {
    await run(process.env.PYTHON ?? 'python3', [here('write_reference.py'), 'full', folder, name]);
    const { stdout } = await run(process.execPath, [
      ...process.execArgv,
      here('full-size.ts'),
      '--measure',
      folder,
    ]);
    return JSON.parse(stdout.trim().split('\n').at(-1) as string);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measure(folder: string): Promise<Row> {
  const files = await readdir(folder);
  const reference = await readSafetensors(join(folder, 'values.safetensors'));
  const devices = { image: await wasm(), text: await wasm() };
  const loaded = await loadPretrained(files.includes('model.pt') ? join(folder, 'model.pt') : folder, {
    devices,
  });
  const onWasm = await both(loaded, reference, devices);
  // The towers one after another, so that no more is in memory than must be.
  const webgpu = await createWebgpuDevice({ adapter: 'any' });
  const { image, text, ...rest } = loaded.params;
  const parameters = countParameters(loaded.params);
  const moved = { ...(await moveTo(webgpu, rest)), image: await moveTo(webgpu, image), text };
  destroyDevice(devices.image);
  const cut = await cutTokens(webgpu, text, reference);
  const onWebgpu = await both(
    { ...loaded, params: { ...moved, text: await moveTo(webgpu, cut.text) } },
    cut.reference,
    { image: webgpu, text: webgpu },
  );
  return { parameters, layout: layoutOf(files), wasm: onWasm, webgpu: onWebgpu };
}

/** Without a BLAS of the machine, so that it is ours that is measured. */
const wasm = (): Promise<Device> => createWasmDevice({ blas: false });

/** Embeddings and logits against the reference, each tower on its device. */
async function both(
  { model, params }: Pick<PretrainedModel, 'model' | 'params'>,
  reference: TensorRecord,
  devices: { readonly image: Device; readonly text: Device },
): Promise<Figures> {
  setDefaultDevice(devices.image);
  const images = embedImages(model, params.image, reference);
  const image = await difference(images, reference, 'images');
  setDefaultDevice(devices.text);
  const texts = model.text.apply(params.text, given(reference, 'ids'));
  const text = await difference(texts, reference, 'texts');
  const there = await copyTo(devices.text, images);
  return { image, text, logits: await difference(logits(params, there, texts), reference, 'logits') };
}

const copyTo = async (device: Device, x: Tensor): Promise<Tensor> =>
  tensor(Float32Array.from(await x.data()), x.shape, { device });

async function moveTo<T>(device: Device, tree: T): Promise<T> {
  const copies: Tensor[] = [];
  for (const { tensor: x } of leaves(tree)) copies.push(await copyTo(device, x));
  return withLeaves(tree, copies);
}

/**
 * Where the table of tokens is more than a buffer of the device holds, only the rows of the ids that occur, in the same order;
 * else nothing changes.
 */
async function cutTokens(
  device: Device,
  text: TextTransformerParams,
  reference: TensorRecord,
): Promise<{ text: TextTransformerParams; reference: TensorRecord }> {
  const ids = reference.ids as StoredTensor;
  if (text.tokens.weight.size * 4 <= device.limits.bufferBytes) return { text, reference };
  const present = [...new Set(ids.data)].sort((a, b) => a - b);
  const weight = text.tokens.weight.gather(
    tensor(Int32Array.from(present), [present.length], { device: text.tokens.weight.device }),
  );
  const data = Int32Array.from(ids.data, (id) => present.indexOf(id));
  return { text: { ...text, tokens: { weight } }, reference: { ...reference, ids: { ...ids, data } } };
}

function layoutOf(files: readonly string[]): string {
  if (files.includes('config.json')) return 'Hugging Face';
  return files.includes('open_clip_config.json') ? 'open_clip' : 'state dictionary';
}

/** Puts a row into the table, in the place of one of the same name, or where it belongs. */
async function record(name: string, row: Row): Promise<void> {
  const text = await readFile(document, 'utf8');
  const [before = '', table = '', after = ''] = text.split(
    /(?<=<!-- full size -->\n)|(?=<!-- end of full size -->)/,
  );
  const order = Object.keys(counted);
  const [head = '', line = '', ...rows] = table.trim().split('\n');
  const kept = rows.filter((other) => !other.startsWith(`| ${name} |`));
  const nameOf = (other: string) => other.split('|')[1]?.trim() ?? '';
  const all = [...kept, format(name, row)].sort(
    (a, b) => order.indexOf(nameOf(a)) - order.indexOf(nameOf(b)),
  );
  await writeFile(document, `${before}${[head, line, ...all].join('\n')}\n${after}`);
}

const format = (name: string, { parameters, layout, wasm: a, webgpu: b }: Row): string =>
  `| ${[name, layout, (parameters / 1e6).toFixed(1), ...[a, b].flatMap(({ image, text, logits }) => [image, text, logits].map((x) => x.toExponential(1)))].join(' | ')} |`;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { measure: { type: 'string' } },
});
if (flags.measure !== undefined) {
  console.log(JSON.stringify(await measure(flags.measure)));
  process.exit(0);
}
const names =
  positionals.length > 0 ? positionals : Object.keys(counted).filter((name) => !name.endsWith('bigG/14'));
for (const name of names) {
  const row = await compare(name);
  console.log(name, row);
  await record(name, row);
}
