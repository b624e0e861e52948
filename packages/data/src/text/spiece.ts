/**
 * sentencepiece's own file (`spiece.model`) as the description that `@huggingface/tokenizers` applies. Unigram models only, such as
 * T5's and SigLIP's; byte-pair ones (Gemma's) come with a tokenizer.json.
 */
import { PbfReader } from 'pbf';

/** A unigram model, as a tokenizer.json has it. */
export interface UnigramDescription {
  readonly added_tokens: readonly object[];
  readonly normalizer: object;
  readonly pre_tokenizer: object;
  readonly post_processor: null;
  readonly decoder: null;
  readonly model: {
    readonly type: 'Unigram';
    readonly unk_id: number;
    readonly vocab: readonly [string, number][];
  };
}

interface Piece {
  text: string;
  score: number;
  type: number;
}

// Numbers of the fields and values in sentencepiece_model.proto.
const PIECES = 1;
const TRAINER = 2;
const [TEXT, SCORE, TYPE] = [1, 2, 3];
const MODEL_TYPE = 3;
const UNIGRAM = 1;
const [NORMAL, UNKNOWN, CONTROL] = [1, 2, 3];

/**
 * Reads a unigram model.
 * @throws Error if the bytes are no model of sentencepiece, or one of another type
 */
export function readSpiece(bytes: Uint8Array, path: string): UnigramDescription {
  const { pieces, modelType } = readModel(bytes, path);
  const unknown = pieces.findIndex(({ type }) => type === UNKNOWN);
  if (pieces.length === 0 || unknown < 0) {
    throw new Error(
      `loadTokenizer: ${path} is no model of sentencepiece: it has no pieces, or none for what is unknown`,
    );
  }
  if (modelType !== UNIGRAM) {
    throw new Error(
      `loadTokenizer: ${path} has the model type ${modelType}, expected ${UNIGRAM} (unigram); put the model's tokenizer.json there`,
    );
  }
  const plain = { special: true, normalized: false, single_word: false, lstrip: false, rstrip: false };
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
  return {
    added_tokens: pieces.flatMap(({ text, type }, id) =>
      type === UNKNOWN || type === CONTROL ? [{ id, content: text, ...plain }] : [],
    ),
    normalizer: { type: 'Precompiled', precompiled_charsmap: '' }, // applied as NFKC and its rules for spaces, whatever it holds
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace] },
    post_processor: null,
    decoder: null,
    model: { type: 'Unigram', unk_id: unknown, vocab: pieces.map(({ text, score }) => [text, score]) },
  };
}

function readModel(bytes: Uint8Array, path: string): { pieces: Piece[]; modelType: number } {
  const model = { pieces: [] as Piece[], modelType: UNIGRAM };
  try {
    new PbfReader(bytes).readFields((field, _, reader) => {
      if (field === PIECES) {
        const piece: Piece = { text: '', score: 0, type: NORMAL };
        reader.readMessage((inner) => {
          if (inner === TEXT) piece.text = reader.readString();
          if (inner === SCORE) piece.score = reader.readFloat();
          if (inner === TYPE) piece.type = reader.readVarint();
        }, piece);
        model.pieces.push(piece);
      } else if (field === TRAINER) {
        reader.readMessage((inner) => {
          if (inner === MODEL_TYPE) model.modelType = reader.readVarint();
        }, model);
      }
    }, model);
  } catch (cause) {
    throw new Error(`loadTokenizer: ${path} is no model of sentencepiece, or was cut off`, { cause });
  }
  return model;
}
