/** `clip-in convert`: a model into the layout of another library. */

import { Option } from 'commander';
import { configurations, type ModelName } from '../configurations';
import { loadNamed, MODEL_HELP } from '../use/load-model';
import type { LoadPretrainedOptions } from '../weights/load-pretrained';
import { saveHuggingFace, saveOpenClip } from '../weights/save-pretrained';
import { type AddCommand, addDeviceOptions, type DeviceFlags, withDevice } from './shared';

const SAVERS = { huggingface: saveHuggingFace, 'open-clip': saveOpenClip } as const;

/** Layouts that can be written. */
export type Layout = keyof typeof SAVERS;

/** Options of `clip-in convert`. */
export interface ConvertOptions {
  readonly source: string;
  readonly target: string;
  readonly to: Layout;
  readonly load: LoadPretrainedOptions;
}

interface Flags extends DeviceFlags {
  readonly to: Layout;
  readonly model?: ModelName;
  readonly revision?: string;
}

/** `clip-in convert`. */
export const convertCommand =
  (run: (given: ConvertOptions) => Promise<void> = runConvert): AddCommand =>
  (program) => {
    const command = program
      .command('convert')
      .description("write a model as Hugging Face's transformers or open_clip read it")
      .argument('<source>', MODEL_HELP)
      .argument('<target>', 'the folder to write; of open-clip also a file that ends with .safetensors')
      .addOption(
        new Option('--to <layout>', 'the layout to write').choices(Object.keys(SAVERS)).makeOptionMandatory(),
      )
      .addOption(
        new Option('--model <name>', 'what the weights are, if no file says it').choices(
          Object.keys(configurations),
        ),
      )
      .option('--revision <name>', 'a branch, tag or commit on the hub')
      .action((source: string, target: string, { to, model, revision, ...flags }: Flags) => {
        const load = { ...(model && { config: model }), ...(revision !== undefined && { revision }) };
        return withDevice(flags, ({ another }) => run({ source, target, to, load: { ...load, another } }));
      });
    addDeviceOptions(command);
  };

async function runConvert({ source, target, to, load }: ConvertOptions): Promise<void> {
  const pretrained = await loadNamed(source, load);
  await SAVERS[to](target, pretrained);
  console.log(`${pretrained.name} written to ${target}`);
}
