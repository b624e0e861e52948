/**
 * A dual encoder as two ONNX models, one a tower, for other runtimes. The graphs are built from the configuration and not from a
 * trace of the tensors' operations: a trace knows only the sizes it was taken with, where batch and tokens are to be open, and
 * loses what onnxruntime looks for (LayerNormalization, Softmax). That no parameter is left out is checked.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DualEncoder, DualEncoderParams } from '../model';
import { imageGraph, textGraph } from './onnx-towers';
import { writeOnnx } from './write-onnx';

/** What is exported. */
export interface ExportedModel {
  readonly model: DualEncoder;
  readonly params: DualEncoderParams;
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
 * - text: `input_ids`, int64 `[batch, tokens]`, with any number of tokens up to the context length → `text_embeds`
 *
 * Both give unit rows `[batch, embedding]`. The metadata have `logit_scale`, the factor on cosines, as it is multiplied with.
 *
 * @throws Error naming the path when a file cannot be written
 */
export async function exportOnnx(source: ExportedModel, directory: string): Promise<OnnxFiles> {
  const { model, params } = source;
  const { vision, text } = model.config;
  const graphs = { image: imageGraph(vision, params.image), text: textGraph(text, params.text) };
  const logitScale = String(await params.logitScale.exp().item());
  await mkdir(directory, { recursive: true }).catch((cause: unknown) => {
    throw new Error(`exportOnnx: cannot make the directory ${directory}`, { cause });
  });
  const all: string[] = [];
  for (const [name, graph] of Object.entries(graphs)) {
    graph.metadata('logit_scale', logitScale);
    all.push(...(await writeOnnx(join(directory, `${name}.onnx`), graph)));
  }
  const path = (name: string) => join(directory, `${name}.onnx`);
  return { image: path('image'), text: path('text'), all };
}
