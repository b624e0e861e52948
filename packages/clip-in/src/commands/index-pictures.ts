/** `clip-in index`: makes a folder of pictures searchable, and keeps it so. */
import { createEmbedder } from '../evaluation/embedder';
import { startProgress } from '../progress';
import { checkFolder } from '../use/find-pictures';
import { type IndexReport, indexFolder } from '../use/index-folder';
import { indexModelOf, loadForUse, MODEL_HELP } from '../use/load-model';
import { type AddCommand, addDeviceOptions, type DeviceFlags, withDevice } from './shared';

interface Flags extends DeviceFlags {
  readonly model: string;
  readonly index: string;
}

/** Where an index is, unless `--index` says so. */
export const DEFAULT_INDEX = '.clip-in-index';

const EXAMPLES = `
Examples:
  clip-in index photos --model openai/clip-vit-base-patch32
  clip-in search "a red bow tie on a black cat" --html found.html

Run it again after pictures were added, changed, renamed or deleted: only new contents are embedded. Ctrl-C keeps what is done.`;

/** `clip-in index`. */
export const indexCommand = (): AddCommand => (program) => {
  const command = program
    .command('index')
    .description('embed the pictures of a folder, and of the folders in it, for clip-in search')
    .argument('<folder>', 'the folder of pictures')
    .requiredOption('--model <model>', MODEL_HELP)
    .option('--index <directory>', 'where the index is kept', DEFAULT_INDEX)
    .action((folder: string, flags: Flags) => index(folder, flags));
  addDeviceOptions(command).addHelpText('after', EXAMPLES);
};

async function index(folder: string, { model: source, index: directory, ...flags }: Flags): Promise<void> {
  await checkFolder(folder);
  await withDevice(flags, async ({ signal, another }) => {
    const pretrained = await loadForUse(source, { another });
    const embedder = createEmbedder(pretrained, { signal });
    const model = indexModelOf(pretrained, source);
    let bar: ReturnType<typeof startProgress> | undefined;
    let seen = 0;
    const progress = (done: number, total: number) => {
      bar ??= startProgress({ title: 'pictures', total });
      bar.update(done, { examples: done - seen });
      seen = done;
    };
    const report = await indexFolder({ folder, directory, model, embedder, signal, progress }).finally(() =>
      bar?.stop(),
    );
    print(report, folder, directory);
  });
}

function print(report: IndexReport, folder: string, directory: string): void {
  const { pictures, embedded, known, unchanged, removed, skipped, complete } = report;
  for (const { path, reason } of skipped) console.error(`skipped ${path}: ${reason}`);
  const counts = { embedded, 'known contents': known, unchanged, removed, skipped: skipped.length };
  const told = Object.entries(counts).filter(([, count]) => count > 0);
  console.log(
    `${folder}: ${pictures} pictures; ${told.map(([name, count]) => `${count} ${name}`).join(', ')}`,
  );
  console.log(
    complete
      ? `index   ${directory}`
      : `stopped; what is embedded is kept in ${directory}, and the same command goes on from there`,
  );
}
