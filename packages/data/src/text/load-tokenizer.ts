/**
 * The tokenizer of a model's folder: CLIP's own, or one of SentencePiece (SigLIP: T5's of 32,000 pieces; SigLIP 2: Gemma's of 256,000),
 * which `@huggingface/tokenizers` applies as the folder describes it. A text is canonical before (lower case, no punctuation of
 * ASCII), as in open_clip and big_vision; `transformers` gives SigLIP 2 texts that are lower-cased only.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Tokenizer as PieceTokenizer } from '@huggingface/tokenizers';
import { canonicalize } from './clean';
import { clipTokenizer } from './clip-tokenizer';
import { readSpiece } from './spiece';
import { checkText, type Tokenizer } from './tokenizer';

/** What of a `tokenizer.json` is looked at here. */
interface Description {
  readonly model: {
    readonly type: string;
    readonly vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[];
  };
}

/**
 * The tokenizer in a folder of Hugging Face's or open_clip's layout: `tokenizer.json`, or without it SigLIP's `spiece.model` or
 * CLIP's `vocab.json`. SigLIP's ends and pads with `</s>` (1); SigLIP 2's ends with `<eos>` (1) and pads with `<pad>` (0);
 * neither has a start. Their rows have 64 ids.
 * @throws Error if the folder has no tokenizer, or one of another family
 */
export async function loadTokenizer(directory: string): Promise<Tokenizer> {
  const [whole, spiece, vocabulary] = ['tokenizer.json', 'spiece.model', 'vocab.json'].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  const json = await read(whole);
  if (json) return ofDescription(parsed<Description>(json, whole), whole);
  const model = await read(spiece);
  if (model) return ofDescription(readSpiece(model, spiece), spiece);
  const old = await read(vocabulary);
  if (old)
    return sameAsClip(new Map(Object.entries(parsed<Record<string, number>>(old, vocabulary))), vocabulary);
  throw new Error(
    `loadTokenizer: ${directory} has neither tokenizer.json nor, as older folders, spiece.model or vocab.json; put the model's there`,
  );
}

/** The bytes of a file; undefined if there is none. */
async function read(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new Error(`loadTokenizer: cannot read ${path}`, { cause });
  }
}

function parsed<T>(bytes: Uint8Array, path: string): T {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as T;
  } catch (cause) {
    throw new Error(`loadTokenizer: ${path} is not JSON; was its download cut off?`, { cause });
  }
}

function ofDescription(description: Description, path: string): Tokenizer {
  const ids = idsOf(description, path);
  if (ids.has('<|endoftext|>') && ids.has('a</w>')) return sameAsClip(ids, path);
  return sentencePieceTokenizer(description, ids, path);
}

/** All published models of CLIP have one vocabulary, which comes with this package. */
function sameAsClip(ids: ReadonlyMap<string, number>, path: string): Tokenizer {
  const clip = clipTokenizer();
  const [size, end, word] = [ids.size, ids.get('<|endoftext|>'), ids.get('cat</w>')];
  if (size === clip.size && end === clip.end && word === clip.encode('cat')[1]) return clip;
  throw new Error(
    `loadTokenizer: ${path} has ${size} pieces with <|endoftext|> at ${end}, expected CLIP's ${clip.size} with ${clip.end}`,
  );
}

/** The id of each piece. */
function idsOf({ model }: Description, path: string): Map<string, number> {
  if (model?.type === 'Unigram' && Array.isArray(model.vocab)) {
    return new Map(model.vocab.map(([piece]: readonly [string, number], id) => [piece, id]));
  }
  if (model?.type === 'BPE' && !Array.isArray(model.vocab)) return new Map(Object.entries(model.vocab));
  throw new Error(
    `loadTokenizer: ${path} is of type ${JSON.stringify(model?.type)}, expected "BPE" or "Unigram"`,
  );
}

function sentencePieceTokenizer(
  description: Description,
  ids: ReadonlyMap<string, number>,
  path: string,
): Tokenizer {
  const [gemma, t5] = [ids.get('<eos>'), ids.get('</s>')];
  const end = gemma ?? t5;
  const pad = gemma === undefined ? end : ids.get('<pad>');
  if (end === undefined || pad === undefined) {
    throw new Error(
      `loadTokenizer: ${path} has neither </s>, as SigLIP's, nor <eos> and <pad>, as SigLIP 2's`,
    );
  }
  const model = new PieceTokenizer(description, {});
  return {
    size: ids.size,
    pad,
    end,
    directory: dirname(path),
    encode(text) {
      checkText(text);
      return [...model.encode(canonicalize(text), { add_special_tokens: false }).ids, end];
    },
  };
}
