/** How the files of a model's folder are called. */

/** Names of weights in folders of `transformers`, in the order in which they are looked for. */
export const HUGGING_FACE_WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const;
/** The same in open_clip's. */
export const OPEN_CLIP_WEIGHTS = [
  'open_clip_model.safetensors',
  'open_clip_pytorch_model.safetensors',
  'open_clip_pytorch_model.bin',
] as const;
export const HUGGING_FACE_CONFIG = 'config.json';
export const OPEN_CLIP_CONFIG = 'open_clip_config.json';
export const PROCESSOR_CONFIG = 'preprocessor_config.json';
/** What a SigLIP's tokenizer is made from. */
export const TOKENIZER_FILE = 'tokenizer.json';
/** The ids of a cut vocabulary, which only this package knows. */
export const VOCABULARY_FILE = 'clip_in_vocabulary.json';
/** Files of tokenizers, which saving copies. */
export const TOKENIZER_FILES = [
  TOKENIZER_FILE,
  'tokenizer_config.json',
  'special_tokens_map.json',
  'vocab.json',
  'merges.txt',
] as const;

/** All that is read beside the weights. */
export const SETTINGS_FILES = [
  HUGGING_FACE_CONFIG,
  OPEN_CLIP_CONFIG,
  PROCESSOR_CONFIG,
  VOCABULARY_FILE,
  ...TOKENIZER_FILES,
] as const;

/** The file of weights to be read of a folder's files; undefined if there is none, or several and nothing tells which. */
export function weightsAmong(names: Iterable<string>): string | undefined {
  const there = new Set(names);
  const candidates = [
    ...(there.has(HUGGING_FACE_CONFIG) ? HUGGING_FACE_WEIGHTS : []),
    ...(there.has(OPEN_CLIP_CONFIG) ? OPEN_CLIP_WEIGHTS : []),
  ];
  const others = otherWeights(there);
  return (
    candidates.find((candidate) => there.has(candidate)) ?? (others.length === 1 ? others[0] : undefined)
  );
}

/** Files that look like weights, whatever their names. */
export const otherWeights = (names: Iterable<string>): string[] =>
  [...names].filter((name) => /\.(?:safetensors|pt|pth|bin)$/.test(name)).sort();
