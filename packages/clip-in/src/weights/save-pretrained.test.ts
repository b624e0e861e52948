/** Saving as Hugging Face's and open_clip's folders: what is loaded, saved and loaded again is the same to the bit. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { init, leaves } from '@clipin/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configurations, type ModelConfig } from '../configurations';
import { smallWorldCheckpoint } from '../pretrained';
import { writeFiles } from './atomic-files';
import { fromHuggingFace, toHuggingFace } from './hugging-face-config';
import { loadPretrained, type PretrainedModel } from './load-pretrained';
import { huggingFaceClip } from './names-hugging-face';
import { narrow } from './narrow.test-helpers';
import { fromOpenClip, toOpenClip } from './open-clip-config';
import { readSafetensors } from './safetensors';
import { saveHuggingFace, saveOpenClip } from './save-pretrained';
import { weightFiles } from './write-params';

const fixture = (path: string): string => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'save-pretrained-'));
  await init({ device: 'wasm', threads: 1 });
});
afterAll(() => rm(folder, { recursive: true }));

/** Every parameter's bytes by path. */
async function bits({ params }: PretrainedModel): Promise<Record<string, string>> {
  const found = await Promise.all(
    leaves(params).map(async ({ path, tensor: x }) => {
      const data = await x.data();
      return [path, Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')] as const;
    }),
  );
  return Object.fromEntries(found);
}

async function expectSame(got: PretrainedModel, wanted: PretrainedModel): Promise<void> {
  expect(got.model.config).toEqual(wanted.model.config);
  expect(got.fingerprint).toBe(wanted.fingerprint);
  const usual = { interpolation: 'bicubic' };
  expect({ ...usual, ...got.preprocess }).toEqual({ ...usual, ...wanted.preprocess });
  expect(got.assumptions ?? []).toEqual([]);
  expect(await bits(got)).toEqual(await bits(wanted));
}

describe('round trip', () => {
  it.each([
    'hugging-face-f32',
    'hugging-face-f16-sharded',
    'hugging-face-siglip',
    'open-clip-folder',
    'open-clip-siglip',
    'openai-f16.pt',
    'openai-torchscript.pt',
    smallWorldCheckpoint,
  ])('%s through Hugging Face and open_clip', async (path) => {
    const loaded = await loadPretrained(path === smallWorldCheckpoint ? path : fixture(path));
    const theirs = join(folder, 'hugging-face', path.replaceAll('/', '_'));
    await saveHuggingFace(theirs, loaded);
    const once = await loadPretrained(theirs);
    await expectSame(once, loaded);
    const others = join(folder, 'open-clip', path.replaceAll('/', '_'));
    await saveOpenClip(others, once);
    await expectSame(await loadPretrained(others), loaded);
  });

  it.each([
    ['hugging-face-naflex', undefined],
    ['long-clip.pt', { positions: 'stretched', contextLength: 30 }],
    ['clip-in.pt', { positions: 'rotary', contextLength: 30, activation: 'gelu' }],
  ] as const)('%s through the one that has it', async (path, text) => {
    const config = text && narrow(text);
    const loaded = await loadPretrained(fixture(path), { ...(config && { config }) });
    const target = join(folder, `${path}.saved`);
    if (text) {
      await expect(saveHuggingFace(target, loaded)).rejects.toThrow(
        `Hugging Face's library has no such model: text positions: ${text.positions}, not absolute`,
      );
      await saveOpenClip(target, loaded);
    } else {
      await expect(saveOpenClip(target, loaded)).rejects.toThrow('NaFlex');
      await saveHuggingFace(target, loaded);
    }
    await expectSame(await loadPretrained(target), loaded);
  });

  it('a file of weights alone says its configuration in its header', async () => {
    const loaded = await loadPretrained(fixture('clip-in.pt'), {
      config: narrow({ positions: 'rotary', contextLength: 30, activation: 'gelu' }),
    });
    const file = join(folder, 'alone.safetensors');
    await saveOpenClip(file, loaded);
    await expectSame(await loadPretrained(file), loaded);
  });

  it('a small world keeps its cut vocabulary', async () => {
    const loaded = await loadPretrained(smallWorldCheckpoint);
    const target = join(folder, 'small-world');
    await saveHuggingFace(target, loaded);
    const { tokenizer } = await loadPretrained(target);
    const caption = 'a red apple left of a cat';
    expect(tokenizer.encode(caption)).toEqual(loaded.tokenizer.encode(caption));
  });
});

describe('what is written is what PyTorch writes', () => {
  it.each([
    ['hugging-face-f32', 'model.safetensors', saveHuggingFace],
    ['hugging-face-naflex', 'model.safetensors', saveHuggingFace],
    ['open-clip-siglip', 'open_clip_model.safetensors', saveOpenClip],
  ] as const)('%s: the same names, shapes and bits', async (path, file, save) => {
    const target = join(folder, `${path}.same`);
    await save(target, await loadPretrained(fixture(path)));
    const {
      'text_model.embeddings.position_ids': _,
      'vision_model.embeddings.position_ids': __,
      ...theirs
    } = await readSafetensors(join(fixture(path), file));
    expect(await readSafetensors(join(target, file))).toEqual(theirs);
  });

  it('CLIP’s tokenizer in the files that transformers reads', async () => {
    const target = join(folder, 'tokenizer');
    await saveHuggingFace(target, await loadPretrained(fixture('hugging-face-f32')));
    const vocabulary = JSON.parse(await readFile(join(target, 'vocab.json'), 'utf8')) as Record<
      string,
      number
    >;
    expect(Object.keys(vocabulary)).toHaveLength(49408);
    expect([vocabulary['<|startoftext|>'], vocabulary['cat</w>'], vocabulary['<|endoftext|>']]).toEqual([
      49406, 2368, 49407,
    ]);
    const merges = (await readFile(join(target, 'merges.txt'), 'utf8')).trimEnd().split('\n');
    expect([merges.length, merges[0], merges[1]]).toEqual([48895, '#version: 0.2', 'i n']);
  });
});

describe('configurations', () => {
  it('OpenAI’s ViT-B/32 is all defaults', () => {
    expect(fromHuggingFace({ model_type: 'clip' }, 'config.json')).toEqual(configurations['ViT-B/32']);
  });

  it('the parts that files of before 2023 repeat hold', () => {
    const old = {
      model_type: 'clip',
      projection_dim: 768,
      text_config: { hidden_size: 1 },
      text_config_dict: { hidden_size: 768, num_attention_heads: 12, intermediate_size: 3072 },
      vision_config_dict: null,
    };
    expect(fromHuggingFace(old, 'config.json').text).toEqual(configurations['ViT-L/14'].text);
  });

  it.each(Object.entries(configurations))(
    '%s survives the files that can say it',
    (_, config: ModelConfig) => {
      const { positions } = config.text;
      if (positions === 'absolute') {
        expect(fromHuggingFace(toHuggingFace(config, { end: 1, pad: 0 }), 'config.json')).toEqual(config);
      }
      if (config.vision.naflex) return;
      const read = fromOpenClip({ model_cfg: toOpenClip(config) }, 'open_clip_config.json', () => {
        throw new Error('not asked');
      });
      // open_clip knows SigLIP's image towers by name, and some of them with plain GELU.
      const { activation } = read.vision;
      expect(read).toEqual({ ...config, vision: { ...config.vision, activation } });
      if (config.vision.pool === 'class') expect(activation).toBe(config.vision.activation);
    },
  );
});

describe('files are whole or not there', () => {
  it('several files with an index where one would be too large', async () => {
    const loaded = await loadPretrained(fixture('hugging-face-f32'));
    const target = join(folder, 'shards');
    await cp(fixture('hugging-face-f32'), target, { recursive: true });
    await rm(join(target, 'model.safetensors'));
    const files = weightFiles(huggingFaceClip, loaded.params, {
      name: 'model',
      metadata: {},
      shardBytes: 20_000,
    });
    await writeFiles(target, files);
    const names = (await readdir(target)).filter((name) => name.startsWith('model'));
    expect(names.length).toBeGreaterThan(3);
    expect(names).toContain(`model-00001-of-0000${names.length - 1}.safetensors`);
    for (const name of names) expect((await stat(join(target, name))).size).toBeLessThan(25_000);
    await expectSame(await loadPretrained(target), loaded);
  });

  it('a disk that is full, or a folder that cannot be made, is said with the path', async () => {
    const loaded = await loadPretrained(fixture('hugging-face-f32'));
    const file = join(folder, 'a-file');
    await writeFile(file, '');
    await expect(saveHuggingFace(join(file, 'x'), loaded)).rejects.toThrow(
      `saving ${join(file, 'x', 'config.json')} failed: ENOTDIR`,
    );
  });

  // A limit on the size of files stands for a full disk: writing fails in the middle.
  it.skipIf(process.platform === 'win32')('a disk that is full leaves what was there', async () => {
    const target = join(folder, 'limited');
    await saveHuggingFace(target, await loadPretrained(fixture('hugging-face-f32')));
    const before = await contentOf(target);
    const program = programOf(
      `await saveHuggingFace(${JSON.stringify(target)}, model)`,
      'hugging-face-siglip',
    );
    const script = `ulimit -f 16; trap '' XFSZ; exec "$0" "$@"`;
    const { stderr } = await promisify(execFile)('bash', ['-c', script, process.execPath, ...program]).catch(
      (error: { stderr: string }) => error,
    );
    expect(stderr).toContain(`saving ${join(target, 'config.json')} failed: EFBIG`);
    expect(await contentOf(target)).toEqual(before);
  });

  it('a process killed at any moment leaves whole files', async () => {
    const target = join(folder, 'killed');
    const program = programOf(
      `for (;;) { await saveOpenClip(${JSON.stringify(target)}, model); console.log('saved'); }`,
      'hugging-face-f32',
    );
    const { fingerprint } = await loadPretrained(fixture('hugging-face-f32'));
    const child = spawn(process.execPath, program, { stdio: ['ignore', 'pipe', 'inherit'] });
    await lines(child, 4);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    expect((await loadPretrained(target)).fingerprint).toBe(fingerprint);
    await saveOpenClip(target, await loadPretrained(fixture('hugging-face-f32')));
    expect((await readdir(target)).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

/** Arguments of Node for a program that has loaded a fixture. */
function programOf(statement: string, path: string): string[] {
  const file = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
  const text = `
    import { init } from '@clipin/tensor';
    import { loadPretrained } from ${file('./load-pretrained.ts')};
    import { saveHuggingFace, saveOpenClip } from ${file('./save-pretrained.ts')};
    await init({ device: 'wasm', threads: 1 });
    const model = await loadPretrained(${JSON.stringify(fixture(path))});
    ${statement}`;
  return ['--conditions', 'clipin-source', '--import', 'tsx', '--input-type=module', '-e', text];
}

async function contentOf(target: string): Promise<Record<string, string>> {
  const names = await readdir(target);
  const entries = names.map(async (name) => [name, (await readFile(join(target, name))).toString('base64')]);
  return Object.fromEntries(await Promise.all(entries)) as Record<string, string>;
}

/** Waits until a process has printed so many lines. */
async function lines({ stdout }: ChildProcess, count: number): Promise<void> {
  let seen = 0;
  for await (const chunk of stdout!) {
    seen += String(chunk).split('\n').length - 1;
    if (seen >= count) return;
  }
  throw new Error('the process ended by itself');
}
