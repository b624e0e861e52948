/** Files that are no models, damaged ones, and malicious ones: an error that names the file and says what is wrong. */
import { copyFile, cp, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { init } from '@clipin/tensor';
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPretrained } from './load-pretrained';
import { writeSafetensors } from './safetensors';
import { unpickleTensors } from './torch-pickle';

const fixture = (path: string): string => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bad-files-'));
  await init({ device: 'wasm', threads: 1 });
});
afterAll(() => rm(folder, { recursive: true }));

const refusal = (path: string): Promise<string> =>
  loadPretrained(path).then(
    () => 'loaded',
    (error: Error) => error.message,
  );

/** A copy of a fixture to be spoilt. */
async function copyOf(path: string, name: string): Promise<string> {
  const target = join(folder, name);
  await cp(fixture(path), target, { recursive: true });
  return target;
}

describe('files that are no weights', () => {
  it.each<[string, string | Uint8Array, RegExp]>([
    ['garbage', 'this is not a model at all', /is neither a safetensors file nor an archive of PyTorch/],
    ['nothing', '', /cut short; 0 bytes are no safetensors file/],
    [
      'a pointer of Git LFS',
      'version https://git-lfs.github.com/spec/v1\noid sha256:1',
      /pointer of Git LFS.*git lfs pull/,
    ],
    ['PyTorch of old', Uint8Array.of(0x80, 2, 0x8a, 10), /PyTorch 1.5 or older.*save it again/s],
    ['half a zip', 'PK\x03\x04 and then nothing', /End of central directory|not a zip/i],
  ])('%s', async (name, content, message) => {
    const file = join(folder, name.replaceAll(' ', '-'));
    await writeFile(file, content);
    const error = await refusal(file);
    expect(error).toMatch(message);
    expect(error).toContain(file);
  });

  it('paths and ids that there are not', async () => {
    expect(await refusal(join(folder, 'nowhere'))).toMatch(/nowhere: there is no such file or folder/);
    expect(await refusal(folder)).toMatch(/wanted is config.json with model.safetensors/);
    await expect(loadPretrained(fixture('openai-f16.pt'), { imageSize: 3 })).rejects.toThrow('imageSize 3');
  });
});

describe('damaged files', () => {
  it('an archive cut anywhere', async () => {
    const whole = await readFile(fixture('openai-f16.pt'));
    const file = join(folder, 'cut.pt');
    await checkProperty(
      fc.asyncProperty(fc.integer({ min: 4, max: whole.length - 1 }), async (length) => {
        await writeFile(file, whole.subarray(0, length));
        expect(await refusal(file)).toMatch(/cut\.pt: /);
      }),
      { numRuns: 20 },
    );
  });

  it('a safetensors file cut short, and a shard that is missing', async () => {
    const whole = await copyOf('hugging-face-f32', 'cut');
    await truncate(join(whole, 'model.safetensors'), 50_000);
    expect(await refusal(whole)).toMatch(/model\.safetensors: cut short/);
    const sharded = await copyOf('hugging-face-f16-sharded', 'shard');
    await rm(join(sharded, 'model-00002-of-00002.safetensors'));
    expect(await refusal(sharded)).toMatch(
      /index\.json: names what is not there:\n .*model-00002-of-00002\.safetensors: is missing/,
    );
  });

  it('an index that names tensors or places that there are not', async () => {
    const sharded = await copyOf('hugging-face-f16-sharded', 'index');
    const index = join(sharded, 'model.safetensors.index.json');
    const { weight_map } = JSON.parse(await readFile(index, 'utf8')) as {
      weight_map: Record<string, string>;
    };
    const [first] = Object.values(weight_map);
    await writeFile(index, JSON.stringify({ weight_map: { ...weight_map, more: first } }));
    expect(await refusal(sharded)).toMatch(/more: is not in model-00001/);
    await writeFile(index, JSON.stringify({ weight_map: { x: '../../secret' } }));
    expect(await refusal(sharded)).toMatch(/x is at "..\/..\/secret"/);
    await writeFile(index, '{"weight_map": ');
    expect(await refusal(sharded)).toMatch(/index\.json: is not JSON/);
  });

  it.each<[string, object, RegExp]>([
    ['of another kind', { model_type: 'bert' }, /model_type is "bert"; can be read: clip, siglip, siglip2/],
    ['of no kind', { architectures: [] }, /is not the configuration of a model/],
    [
      'with what is no number',
      { model_type: 'clip', text_config: { hidden_size: 'wide', hidden_act: 'tanh' } },
      /hidden_size[\s\S]*hidden_act|hidden_act[\s\S]*hidden_size/,
    ],
  ])('a config.json %s', async (name, config, message) => {
    const copy = await copyOf('hugging-face-f32', `config ${name}`);
    await writeFile(join(copy, 'config.json'), JSON.stringify(config));
    const error = await refusal(copy);
    expect(error).toMatch(message);
    expect(error).toContain(join(copy, 'config.json'));
  });

  it('images that are prepared in another size than the model takes', async () => {
    const copy = await copyOf('hugging-face-f32', 'processor');
    await writeFile(join(copy, 'preprocessor_config.json'), JSON.stringify({ size: 224, crop_size: 8 }));
    expect(await refusal(copy)).toMatch(/size is 224; the model takes images of 8 by 8/);
  });
});

describe('wrong checkpoints', () => {
  it('of another model altogether', async () => {
    const file = join(folder, 'resnet.safetensors');
    const data = Float32Array.of(1);
    await writeSafetensors(file, { 'layer1.0.conv1.weight': { dtype: 'f32', shape: [1], data } });
    expect(await refusal(file)).toMatch(
      /its tensors \(layer1.0.conv1.weight, …; 1 in all\) are not those of a model/,
    );
    await writeSafetensors(file, { 'visual.layer1.0.conv1.weight': { dtype: 'f32', shape: [1], data } });
    expect(await refusal(file)).toMatch(/its image tower is a ResNet/);
  });

  it('of another size: everything that does not fit is listed at once', async () => {
    const copy = await copyOf('hugging-face-f32', 'sizes');
    const file = join(copy, 'config.json');
    const config = JSON.parse(await readFile(file, 'utf8')) as { text_config: object };
    await writeFile(
      file,
      JSON.stringify({
        ...config,
        text_config: { ...config.text_config, num_hidden_layers: 3, vocab_size: 50 },
      }),
    );
    const error = await refusal(copy);
    expect(error).toMatch(
      /model\.safetensors: its tensors are not those of the model under the names of Hugging Face/,
    );
    expect(error).toMatch(
      /16 missing:\n[\s\S]*text_model\.encoder\.layers\.2\.self_attn\.q_proj\.weight: \[16, 16\] needed/,
    );
    expect(error).toMatch(
      /1 of another shape:\n {2}text_model\.embeddings\.token_embedding\.weight: is \[40, 16\], \[50, 16\] needed/,
    );
    await writeFile(
      file,
      JSON.stringify({ ...config, text_config: { ...config.text_config, num_hidden_layers: 1 } }),
    );
    expect(await refusal(copy)).toMatch(/16 left over:\n[\s\S]*F32 \[16, 16\]/);
  });

  it('given as another model by name, in a list that is cut with a count', async () => {
    const error = await loadPretrained(fixture('openai-f16.pt'), { config: 'ViT-B/32' }).catch(
      (e: Error) => e.message,
    );
    expect(error).toMatch(/264 missing:\n[\s\S]*… and 244 more\n[\s\S]*of another shape/);
  });

  it('without what tells its heads', async () => {
    expect(await refusal(fixture('long-clip.pt'))).toMatch(
      /nothing tells how many heads the vision tower of width 16 has; give the configuration/,
    );
  });
});

describe('a pickle that asks for more than tensors', () => {
  /** Protocol 2: the function, a tuple of one argument, a call. */
  const calling = (module: string, name: string) =>
    Buffer.concat([
      Buffer.from([0x80, 2]),
      Buffer.from(`c${module}\n${name}\n`),
      Buffer.from('X\x04\x00\x00\x00true\x85R.', 'latin1'),
    ]);

  it.each([
    ['os', 'system'],
    ['posix', 'system'],
    ['builtins', 'eval'],
    ['builtins', 'getattr'],
    ['subprocess', 'Popen'],
    ['__builtin__', 'exec'],
    ['webbrowser', 'open'],
    ['open_clip.model', 'CLIP'],
  ])('is refused %s.%s', (module, name) => {
    expect(() => unpickleTensors(calling(module, name))).toThrow(`asks for ${module}.${name}`);
  });

  it('is refused out of an archive', async () => {
    const evil = await archiveWith(calling('os', 'system'));
    expect(await refusal(evil)).toMatch(
      /evil\.pt: asks for os\.system, which is no part of a dictionary of weights/,
    );
  });

  it('any bytes are an error or tensors, and nothing else', () => {
    checkProperty(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          unpickleTensors(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
    );
  });

  /** The zip of a fixture with another pickle of the same length in its place. */
  async function archiveWith(pickle: Buffer): Promise<string> {
    const file = join(folder, 'evil.pt');
    await copyFile(fixture('openai-f16.pt'), file);
    const bytes = await readFile(file);
    const at = bytes.indexOf(Buffer.from([0x80, 2, 0x63])); // the protocol, and the first name
    expect(at).toBeGreaterThan(0);
    pickle.copy(bytes, at);
    await writeFile(file, bytes);
    expect((await stat(file)).size).toBe(bytes.length);
    return file;
  }
});
