/** `clip-in export`: a model as ONNX, for other runtimes. */
import { exportOnnx } from '../export/export-onnx';
import { loadNamed, MODEL_HELP } from '../use/load-model';
import { type AddCommand, addDeviceOptions, type DeviceFlags, withDevice } from './shared';

const EXAMPLES = `
Writes image.onnx (pixel_values → image_embeds) and text.onnx (input_ids → text_embeds); weights of a gibibyte or more go
into a file beside the model.

Example:
  clip-in export weights/clip-vit-base-patch32 onnx/clip-vit-base-patch32`;

/** `clip-in export`. */
export const exportCommand = (): AddCommand => (program) => {
  const command = program
    .command('export')
    .description('write both towers of a model as ONNX, for other runtimes')
    .argument('<model>', MODEL_HELP)
    .argument('<directory>', 'for the files; made if it is not there')
    .action((model: string, directory: string, flags: DeviceFlags) =>
      withDevice(flags, async ({ another }) => {
        const { all } = await exportOnnx(await loadNamed(model, { another }), directory);
        for (const path of all) console.log(path);
      }),
    );
  addDeviceOptions(command).addHelpText('after', EXAMPLES);
};
