/** The towers of a dual encoder as graphs of ONNX: what `image.onnx` and `text.onnx` compute. How files are written is not here. */
import { rotaryTables, type TextTransformerParams, type VisionTransformerParams } from '@clipin/nn';
import { leaves, type Tensor } from '@clipin/tensor';
import type { TextConfig, VisionConfig } from '../configurations';
import { OnnxGraph } from './onnx-graph';
import {
  added,
  l2Normalize,
  layerNorm,
  type OnnxContext,
  type OnnxQueries,
  type OnnxRotary,
  reshape,
  transformer,
  unsqueeze,
} from './onnx-layers';

const epsilon = 1e-5;

/** `pixel_values`, f32 `[batch, 3, imageSize, imageSize]` → `image_embeds`, unit rows `[batch, embedding]`. */
export function imageGraph(config: VisionConfig, params: VisionTransformerParams): OnnxGraph {
  const { imageSize, patchSize, width, pool } = config;
  const graph = graphOf('image', params);
  const images = graph.input('pixel_values', ['batch', 3, imageSize, imageSize]);
  const embedded = patches(graph, images, params.patches.weight, patchSize);
  const withClass = params.classToken ? classFirst(graph, embedded, params.classToken, width) : embedded;
  const placed = layerNorm(graph, added(graph, withClass, params.positions), params.lnPre, epsilon);
  const first: OnnxQueries = {
    take: (x) => graph.node('Gather', [x, graph.integers([0])], { axis: 1 }),
  };
  const features = transformer(
    graph,
    placed,
    params.blocks,
    { ...config, epsilon },
    {},
    pool === 'class' ? first : undefined,
  );
  const pooled =
    pool === 'class'
      ? reshape(graph, features, [-1, width])
      : graph.node('ReduceMean', [features], { axes: [1], keepdims: 0 });
  const projected = graph.node('MatMul', [
    layerNorm(graph, pooled, params.lnPost, epsilon),
    graph.weight(params.projection),
  ]);
  return finish(graph, 'image_embeds', projected, params.projection, params);
}

/** `input_ids`, i64 `[batch, tokens]` → `text_embeds`, unit rows `[batch, embedding]`. */
export function textGraph(config: TextConfig, params: TextTransformerParams): OnnxGraph {
  const { width } = config;
  const graph = graphOf('text', params);
  const ids = graph.input('input_ids', ['batch', 'tokens'], 'i64');
  const embedded = graph.node('Gather', [graph.weight(params.tokens.weight), ids], { axis: 0 });
  const count = graph.node('Gather', [graph.node('Shape', [ids]), graph.integers([1])], { axis: 0 });
  const upTo = (table: Tensor, name?: string) =>
    graph.node('Slice', [graph.weight(table, name), graph.integers([0]), count, graph.integers([0])]);
  const placed = params.positions ? graph.node('Add', [embedded, upTo(params.positions)]) : embedded;
  const rotary = config.positions === 'rotary' ? rotaryOf(config, params.tokens.weight, upTo) : undefined;
  const context: OnnxContext = { mask: causalMask(graph, count), ...(rotary && { rotary }) };
  // The first token with the largest id is the end token.
  const ends = graph.node('ArgMax', [ids], { axis: 1, keepdims: 1, select_last_index: 0 }); // [batch, 1]
  const features = transformer(
    graph,
    placed,
    params.blocks,
    { ...config, epsilon },
    context,
    queriesAt(graph, ends, context),
  );
  const pooled = reshape(graph, features, [-1, width]);
  const projected = graph.node('MatMul', [
    layerNorm(graph, pooled, params.lnFinal, epsilon),
    graph.weight(params.projection),
  ]);
  return finish(graph, 'text_embeds', projected, params.projection, params);
}

/** A graph whose weights have the names of the parameters. */
const graphOf = (name: string, params: object): OnnxGraph =>
  new OnnxGraph({ name, names: new Map(leaves(params).map(({ path, tensor }) => [tensor, path])) });

/** Adds the last step and the output. @throws Error when the graph leaves out a parameter, since it were another model then */
function finish(
  graph: OnnxGraph,
  name: string,
  embedding: string,
  { shape }: Tensor,
  params: object,
): OnnxGraph {
  graph.output(name, l2Normalize(graph, embedding), ['batch', shape[1] as number]);
  const used = new Set(graph.weights.map((weight) => weight.name));
  const forgotten = leaves(params).filter(({ path }) => !used.has(path));
  if (forgotten.length > 0) {
    const list = forgotten.map(({ path }) => path).join(', ');
    throw new Error(`exportOnnx: the export does not know what these parameters do: ${list}`);
  }
  return graph;
}

/** `[batch, 3, side, side]` → `[batch, patches, width]`: a convolution, whose weight is ours in another order. */
function patches(graph: OnnxGraph, images: string, weight: Tensor, patchSize: number): string {
  const width = weight.shape[1] as number;
  const kernel = weight.reshape([patchSize, patchSize, 3, width]).transpose([3, 2, 0, 1]);
  const sides = [patchSize, patchSize];
  const map = graph.node('Conv', [images, graph.weight(kernel, 'patches.weight')], {
    kernel_shape: sides,
    strides: sides,
  });
  return graph.node('Transpose', [reshape(graph, map, [0, width, -1])], { perm: [0, 2, 1] });
}

/** Puts the class token before the patches of every image. */
function classFirst(graph: OnnxGraph, x: string, classToken: Tensor, width: number): string {
  const batch = graph.node('Gather', [graph.node('Shape', [x]), graph.integers([0])], { axis: 0 });
  const sizes = graph.node('Concat', [batch, graph.integers([1, width])], { axis: 0 });
  const repeated = graph.node('Expand', [graph.weight(classToken), sizes]);
  return graph.node('Concat', [repeated, x], { axis: 1 });
}

/** What is added to scores so that token `i` sees tokens `0…i`: `[tokens, tokens]`. */
function causalMask(graph: OnnxGraph, count: string): string {
  const end = graph.node('Squeeze', [count]);
  const places = graph.node('Range', [graph.integers(0), end, graph.integers(1)]);
  const later = graph.node('Greater', [places, unsqueeze(graph, places, [1])]);
  return graph.node('Where', [later, graph.number(Number.NEGATIVE_INFINITY), graph.number(0)]);
}

/** The tables of all positions, as many as there are tokens. */
function rotaryOf(
  { width, heads, contextLength }: TextConfig,
  { device }: Tensor,
  upTo: (table: Tensor, name: string) => string,
): OnnxRotary {
  const dim = width / heads;
  const { cos, sin } = rotaryTables(contextLength, dim, device);
  const table = (x: Tensor) => x.reshape([contextLength, dim]);
  return { cos: upTo(table(cos), 'rotary.cos'), sin: upTo(table(sin), 'rotary.sin') };
}

/** The tokens at these places `[batch, 1]`, with their rows of mask and tables. */
function queriesAt(graph: OnnxGraph, places: string, { mask, rotary }: OnnxContext): OnnxQueries {
  const indices = unsqueeze(graph, places, [2]); // [batch, 1, 1]
  // [tokens, any] → [batch, 1, 1, any]: the same for all heads
  const rows = (table: string) => unsqueeze(graph, graph.node('Gather', [table, places], { axis: 0 }), [1]);
  return {
    take: (x) => graph.node('GatherND', [x, indices], { batch_dims: 1 }),
    ...(mask !== undefined && { mask: rows(mask) }),
    ...(rotary && { rotary: { cos: rows(rotary.cos), sin: rows(rotary.sin) } }),
  };
}
