/** `clip-in heatmap`: where a model looks in a picture, and where it sees a text, as a picture. */
import { writeFile } from 'node:fs/promises';
import { createEmbedder } from '../evaluation/embedder';
import { heatMapFigure } from '../use/heat-map-figure';
import { heatMaps } from '../use/heat-maps';
import { cutTexts, loadForUse, MODEL_HELP } from '../use/load-model';
import { type AddCommand, addDeviceOptions, checkFolderOf, type DeviceFlags, withDevice } from './shared';

interface Flags extends DeviceFlags {
  readonly model: string;
  readonly out: string;
}

const EXAMPLES = `
Example:
  clip-in heatmap cat.jpg "a red bow tie" --model openai/clip-vit-base-patch16 --out heat.png`;

/** `clip-in heatmap`. */
export const heatmapCommand = (): AddCommand => (program) => {
  const command = program
    .command('heatmap')
    .description('draw where a model looks in a picture, and how near each part of it is to a text')
    .argument('<image>', 'the picture')
    .argument('<text>', 'what to look for')
    .requiredOption('--model <model>', MODEL_HELP)
    .requiredOption('--out <file>', 'the PNG to write')
    .action((image: string, text: string, flags: Flags) => heatmap(image, text, flags));
  addDeviceOptions(command).addHelpText('after', EXAMPLES);
};

async function heatmap(image: string, text: string, { model: source, out, ...flags }: Flags): Promise<void> {
  await checkFolderOf('--out', out);
  await withDevice(flags, async ({ signal, another }) => {
    const pretrained = await loadForUse(source, { another });
    for (const warning of cutTexts(pretrained, [text])) console.error(`warning: ${warning}`);
    const maps = await heatMaps(pretrained, createEmbedder(pretrained, { signal }), image, text);
    const { preprocess, name } = pretrained;
    await writeFile(out, await heatMapFigure({ image, text, maps, preprocess, model: name }));
    console.log(`cosine ${maps.cosine.toFixed(3)}; heat maps in ${out}`);
  });
}
