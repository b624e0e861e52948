/** `clip-in classify`: which of some labels fits a picture. */
import { readFile } from 'node:fs/promises';
import { createEmbedder } from '../evaluation/embedder';
import { type Classified, classifier, promptsOf } from '../use/classify';
import { cutTexts, loadForUse, logitsOf, MODEL_HELP } from '../use/load-model';
import {
  type AddCommand,
  addDeviceOptions,
  collect,
  type DeviceFlags,
  wholeNumber,
  withDevice,
} from './shared';

interface Flags extends DeviceFlags {
  readonly model: string;
  readonly labels?: string;
  readonly labelsFile?: string;
  readonly template?: readonly string[];
  readonly top: number;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  clip-in classify cat.jpg --model openai/clip-vit-base-patch32 --labels "a cat,a dog"
  clip-in classify *.jpg --model runs/clip --labels-file breeds.txt --template "a photo of a {}, a type of pet"`;

/** `clip-in classify`. */
export const classifyCommand = (): AddCommand => (program) => {
  const command = program
    .command('classify')
    .description('say which of some labels fits a picture, with probabilities')
    .argument('<image...>', 'picture files')
    .requiredOption('--model <model>', MODEL_HELP)
    .option('--labels <labels>', 'the labels, with commas between them')
    .option('--labels-file <file>', 'a file with a label a line')
    .option(
      '--template <text>',
      'a sentence in which {} stands for the label, such as "a photo of a {}"; may be given again, and the mean counts. Default: the label as it is',
      collect,
    )
    .option('--top <number>', 'labels to show', wholeNumber('--top'), 5)
    .option('--json', 'print JSON')
    .action((images: string[], flags: Flags) => classify(images, flags));
  addDeviceOptions(command).addHelpText('after', EXAMPLES);
};

async function classify(images: readonly string[], flags: Flags): Promise<void> {
  const labels = await labelsOf(flags);
  const templates = flags.template ?? ['{}'];
  // Before time is spent.
  const prompts = promptsOf(labels, templates);
  await withDevice(flags, async ({ signal, another }) => {
    const pretrained = await loadForUse(flags.model, { another });
    for (const warning of cutTexts(pretrained, prompts)) console.error(`warning: ${warning}`);
    const embedder = createEmbedder(pretrained, { signal });
    const sorter = await classifier(embedder, { labels, templates, logits: await logitsOf(pretrained) });
    const results: Classified[] = [];
    for await (const result of sorter.classify(images)) {
      results.push(result);
      if ('error' in result) {
        console.error(`${result.error.message}`);
        process.exitCode = 1;
      } else if (!flags.json) console.log(tableOf(result, flags.top, images.length > 1));
    }
    if (flags.json) console.log(JSON.stringify(results.map(plain(flags.top)), undefined, 2));
  });
}

async function labelsOf({ labels, labelsFile }: Flags): Promise<string[]> {
  if ((labels === undefined) === (labelsFile === undefined))
    throw new Error(
      'classify: give the labels, either with --labels "a cat,a dog" or with --labels-file FILE',
    );
  if (labels !== undefined) return labels.split(',').map((label) => label.trim());
  const text = await readFile(labelsFile ?? '', 'utf8').catch((cause: Error) => {
    throw new Error(`--labels-file: cannot read ${labelsFile}: ${cause.message}`, { cause });
  });
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '');
}

const BAR = 24;

function tableOf(result: Extract<Classified, { scores: unknown }>, top: number, named: boolean): string {
  const shown = result.scores.slice(0, top);
  const width = Math.max(...shown.map(({ label }) => label.length));
  const lines = shown.map(({ label, probability }) => {
    const percent = `${(probability * 100).toFixed(1)} %`.padStart(7);
    return `${percent}  ${label.padEnd(width)}  ${'█'.repeat(Math.round(probability * BAR))}`.trimEnd();
  });
  return [...(named ? [`\n${result.source}`] : []), ...lines].join('\n');
}

const plain = (top: number) => (result: Classified) =>
  'error' in result
    ? { image: result.source, error: result.error.reason }
    : { image: result.source, labels: result.scores.slice(0, top) };
