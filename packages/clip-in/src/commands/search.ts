/** `clip-in search`: the pictures of an index that fit a text or are like a picture. */
import { writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { createEmbedder } from '../evaluation/embedder';
import { contactSheet } from '../use/contact-sheet';
import { checkModel } from '../use/index-folder';
import { cutTexts, indexModelOf, loadForUse } from '../use/load-model';
import { openIndex } from '../use/picture-index';
import { type Query, searchIndex } from '../use/search-index';
import { DEFAULT_INDEX } from './index-pictures';
import {
  type AddCommand,
  addDeviceOptions,
  checkFolderOf,
  type DeviceFlags,
  wholeNumber,
  withDevice,
} from './shared';

interface Flags extends DeviceFlags {
  readonly index: string;
  readonly model?: string;
  readonly like?: string;
  readonly top: number;
  readonly html?: string;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  clip-in search "a red bow tie on a black cat" --html found.html
  clip-in search --like cat.jpg --top 50 --json`;

/** `clip-in search`. */
export const searchCommand = (): AddCommand => (program) => {
  const command = program
    .command('search')
    .description('find pictures of an index by a text, or by a picture that they are like')
    .argument('[text]', 'what the pictures show')
    .option('--like <image>', 'a picture, instead of the text')
    .option('--index <directory>', 'the index that clip-in index made', DEFAULT_INDEX)
    .option('--model <model>', 'where the model is; default: where it was when the index was made')
    .option('--top <number>', 'pictures to show', wholeNumber('--top'), 20)
    .option('--html <file>', 'write a contact sheet')
    .option('--json', 'print JSON')
    .action((text: string | undefined, flags: Flags) => search(text, flags));
  addDeviceOptions(command).addHelpText('after', EXAMPLES);
};

async function search(text: string | undefined, flags: Flags): Promise<void> {
  const query = queryOf(text, flags.like);
  if (flags.html !== undefined) await checkFolderOf('--html', flags.html);
  using index = await openIndex(flags.index);
  const { folder, model, complete } = index.description;
  await withDevice(flags, async ({ signal, another }) => {
    const pretrained = await loadForUse(flags.model ?? model.source, { another });
    checkModel(index, indexModelOf(pretrained, flags.model ?? model.source));
    if (!complete)
      console.error('warning: the index is not complete; "clip-in index" on the same folder goes on with it');
    if ('text' in query)
      for (const warning of cutTexts(pretrained, [query.text])) console.error(`warning: ${warning}`);
    const matches = await searchIndex(index, createEmbedder(pretrained, { signal }), {
      query,
      top: flags.top,
    });
    const found = matches.map(({ path, score }) => ({ path: shown(join(folder, path)), score }));
    if (flags.json) console.log(JSON.stringify(found, undefined, 2));
    else for (const { path, score } of found) console.log(`${score.toFixed(3)}  ${path}`);
    if (flags.html === undefined) return;
    const sheet = await contactSheet({
      title: text ?? `Pictures like ${flags.like}`,
      ...(flags.like !== undefined && { like: flags.like }),
      folder,
      matches,
      searched: index.count(),
      model: model.name,
      file: flags.html,
    });
    await writeFile(flags.html, sheet);
    console.error(`contact sheet  ${flags.html}`);
  });
}

function queryOf(text: string | undefined, like: string | undefined): Query {
  if (text !== undefined && like === undefined) return { text };
  if (text === undefined && like !== undefined) return { like };
  throw new Error('search: say what to look for, either with a text or with --like IMAGE');
}

/** From here, if it is below; else from the root. */
function shown(path: string): string {
  const way = relative('', path);
  return way.startsWith('..') ? resolve(path) : way;
}
