/**
 * A dual encoder as two ONNX models, one a tower, for other runtimes. The graphs are built from the configuration and not from a
 * trace of the tensors' operations: a trace knows only the sizes it was taken with, where batch and tokens are to be open, and
 * loses what onnxruntime looks for (LayerNormalization, Softmax). That no parameter is left out is checked.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { PreprocessOptions } from '@clipin/data';
import type { DualEncoder, DualEncoderParams } from '../model';
import { imageGraph, textGraph } from './onnx-towers';
import { writeOnnx } from './write-onnx';

/** What is exported; a `PretrainedModel` is one. */
export interface ExportedModel {
  readonly model: DualEncoder;
  readonly params: DualEncoderParams;
  /** How pictures become `pixel_values`; goes into the metadata. */
  readonly preprocess?: PreprocessOptions;
}

/** The files of an export. */
export interface OnnxFiles {
  /** Path of `image.onnx`. */
  readonly image: string;
  /** Path of `text.onnx`. */
  readonly text: string;
  /** All paths, those of weights beside a model included. */
  readonly all: readonly string[];
}

/**
 * Writes `image.onnx` and `text.onnx` (operator set 17, f32) into a directory, which is made if need be:
 *
 * - image: `pixel_values`, f32 `[batch, 3, size, size]`, channels first and normalized → `image_embeds`
 * - text: `input_ids`, int64 `[batch, tokens]` → `text_embeds`. Any number of tokens up to the context length where the end
 *   token stands for the text; else just that number, since such a tower reads the padding. Where the metadata have a
 *   `short_length`, texts that fit are padded to it, and only longer ones to the context length
 *
 * Both give unit rows `[batch, embedding]`. The weights of a model of a gibibyte or more are in a file beside it, `….onnx.data`.
 *
 * A NaFlex tower takes what `patchedImages` of `@clipin/nn` gives: `pixel_values`, f32 `[batch, patches, patch · patch · 3]`,
 * `pixel_attention_mask`, int64 `[batch, patches]`, and `position_weights`, f32 `[batch, patches, positions]`.
 *
 * The metadata have `logit_scale` (the factor on cosines itself, not its logarithm) and `logit_bias` where there is one;
 * `preprocess`, as JSON, of the image; `context_length` and `vocabulary` of the text.
 *
 * @throws Error naming the path when a file cannot be written, or the parameters that the export does not know
 */
export async function exportOnnx(source: ExportedModel, directory: string): Promise<OnnxFiles> {
  const { model, params, preprocess } = source;
  const { vision, text } = model.config;
  const shared = await logitMetadata(params);
  const towers = {
    image: {
      graph: imageGraph(vision, params.image),
      metadata: { ...shared, ...(preprocess && { preprocess: JSON.stringify(preprocess) }) },
    },
    text: {
      graph: textGraph(text, params.text),
      metadata: {
        ...shared,
        context_length: String(text.contextLength),
        ...(text.shortLength !== undefined && { short_length: String(text.shortLength) }),
        vocabulary: String(text.vocabulary),
      },
    },
  };
  await mkdir(directory, { recursive: true }).catch((cause: Error) => {
    throw new Error(`exportOnnx: cannot make the directory ${directory}: ${cause.message}`, { cause });
  });
  const path = (name: string) => join(directory, `${name}.onnx`);
  const all: string[] = [];
  for (const [name, { graph, metadata }] of Object.entries(towers)) {
    for (const [key, value] of Object.entries(metadata)) graph.metadata(key, value);
    all.push(...(await writeOnnx(path(name), graph)));
  }
  return { image: path('image'), text: path('text'), all };
}

async function logitMetadata({ logitScale, logitBias }: DualEncoderParams): Promise<Record<string, string>> {
  return {
    logit_scale: String(await logitScale.exp().item()),
    ...(logitBias && { logit_bias: String(await logitBias.item()) }),
  };
}
