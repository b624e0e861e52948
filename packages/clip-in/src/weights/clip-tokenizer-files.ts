/** The files from which `transformers` makes CLIP's tokenizer. */
import { clipPieces } from '@clipin/data';
import { jsonFile, textFile, type WriteFile } from './atomic-files';

const START = '<|startoftext|>';
const END = '<|endoftext|>';

/** The pad token is the end token, as in OpenAI's folders. */
const SETTINGS = {
  tokenizer_class: 'CLIPTokenizer',
  add_prefix_space: false,
  bos_token: START,
  do_lower_case: true,
  eos_token: END,
  errors: 'replace',
  pad_token: END,
  unk_token: END,
};

const SPECIAL = { bos_token: START, eos_token: END, pad_token: END, unk_token: END };

/**
 * `vocab.json`, `merges.txt` and the two files of settings.
 *
 * @param contextLength - the most tokens of a text
 */
export function clipTokenizerFiles(contextLength: number): Map<string, WriteFile> {
  const { vocabulary, merges } = clipPieces();
  return new Map([
    ['vocab.json', textFile(JSON.stringify(vocabulary))],
    ['merges.txt', textFile(['#version: 0.2', ...merges.map((pair) => pair.join(' ')), ''].join('\n'))],
    ['tokenizer_config.json', jsonFile({ ...SETTINGS, model_max_length: contextLength })],
    ['special_tokens_map.json', jsonFile(SPECIAL)],
  ]);
}
