/** The towers of a dual encoder as graphs of ONNX: what `image.onnx` and `text.onnx` compute. How files are written is not here. */
import {
  type AttentionPoolParams,
  keptPositions,
  type PatchEmbeddingParams,
  rotaryTables,
  type TextTransformerParams,
  type VisionTransformerParams,
} from '@clipin/nn';
import { leaves, type Tensor } from '@clipin/tensor';
import type { TextConfig, TowerConfig, VisionConfig } from '../configurations';
import { readsPadding } from '../text-lengths';
import { OnnxGraph, type OnnxShape } from './onnx-graph';
import {
  attention,
  l2Normalize,
  layerNorm,
  mlp,
  type OnnxBlockOptions,
  type OnnxContext,
  type OnnxQueries,
  type OnnxRotary,
  reshape,
  transformer,
  unsqueeze,
} from './onnx-layers';

/** As the configuration of a tower has them; the defaults are those of `TowerConfig`. */
const blockOptions = ({ width, heads, activation, epsilon = 1e-5 }: TowerConfig): OnnxBlockOptions => ({
  width,
  heads,
  activation,
  epsilon,
});

/** `pixel_values`, see `imageInputs` → `image_embeds`, unit rows `[batch, embedding]`. */
export function imageGraph(config: VisionConfig, params: VisionTransformerParams): OnnxGraph {
  const graph = graphOf('image', params);
  const options = blockOptions(config);
  const { tokens, context } = imageInputs(graph, config, params);
  const norm = (x: string, p: VisionTransformerParams['lnPost']) => layerNorm(graph, x, p, options.epsilon);
  const placed = params.lnPre ? norm(tokens, params.lnPre) : tokens;
  // Of the last block nothing but the class token is needed.
  const queries = config.pool === 'class' ? queriesAtPlace(graph, 0, context) : undefined;
  const features = transformer(graph, placed, params.blocks, options, context, queries);
  const pooled = params.pool
    ? attentionPool(graph, norm(features, params.lnPost), params.pool, options, context)
    : norm(queries ? rows(graph, features, options) : meanOfTokens(graph, features), params.lnPost);
  const projected = params.projection
    ? graph.node('MatMul', [pooled, graph.weight(params.projection)])
    : pooled;
  return finish(graph, 'image_embeds', projected, params, params.projection?.shape[1] ?? options.width);
}

/** `input_ids`, i64 `[batch, tokens]` → `text_embeds`, unit rows `[batch, embedding]`. */
export function textGraph(config: TextConfig, params: TextTransformerParams): OnnxGraph {
  const { causal = true, pool = 'end' } = config;
  const graph = graphOf('text', params);
  const options = blockOptions(config);
  // Towers that see the padding too want all of it; of two lengths, either.
  const fixed = readsPadding(config) && config.shortLength === undefined;
  const tokens = fixed ? config.contextLength : 'tokens';
  const ids = graph.input('input_ids', ['batch', tokens], 'i64');
  const embedded = graph.node('Gather', [graph.weight(params.tokens.weight), ids], { axis: 0 });
  const count = sizeOf(graph, ids, 1);
  const upTo = (table: string) =>
    graph.node('Slice', [table, graph.integers([0]), count, graph.integers([0])]);
  const learned = learnedPositions(graph, params);
  const placed = learned === undefined ? embedded : graph.node('Add', [embedded, upTo(learned)]);
  const context: OnnxContext = {
    ...(causal && { mask: causalMask(graph, count) }),
    ...(config.positions === 'rotary' && { rotary: rotaryOf(graph, config, params.projection, upTo) }),
  };
  const queries = pool === 'end' ? queriesAtEnds(graph, ids, context) : queriesAtPlace(graph, -1, context);
  const features = transformer(graph, placed, params.blocks, options, context, queries);
  const normal = layerNorm(graph, rows(graph, features, options), params.lnFinal, options.epsilon);
  const projected = graph.node('MatMul', [normal, graph.weight(params.projection)]);
  const { projectionBias: bias } = params;
  const moved = bias ? graph.node('Add', [projected, graph.weight(bias)]) : projected;
  return finish(graph, 'text_embeds', moved, params, params.projection.shape[1] as number);
}

/** A graph whose weights have the names of the parameters. */
const graphOf = (name: string, params: object): OnnxGraph =>
  new OnnxGraph({ name, names: new Map(leaves(params).map(({ path, tensor }) => [tensor, path])) });

/** Adds the last step and the output. @throws Error when the graph leaves out a parameter, since it were another model then */
function finish(
  graph: OnnxGraph,
  name: string,
  embedding: string,
  params: object,
  outputs: number,
): OnnxGraph {
  graph.output(name, l2Normalize(graph, embedding), ['batch', outputs]);
  const used = new Set(graph.weights.map((weight) => weight.name));
  const forgotten = leaves(params).filter(({ path }) => !used.has(path));
  if (forgotten.length > 0) {
    const list = forgotten.map(({ path }) => path).join(', ');
    throw new Error(`exportOnnx: the export does not know what these parameters do: ${list}`);
  }
  return graph;
}

/** The size of an axis, `[1]`. */
const sizeOf = (graph: OnnxGraph, x: string, axis: number): string =>
  graph.node('Gather', [graph.node('Shape', [x]), graph.integers([axis])], { axis: 0 });

/** `[batch, 1, width]` → `[batch, width]` */
const rows = (graph: OnnxGraph, x: string, { width }: OnnxBlockOptions): string =>
  reshape(graph, x, [-1, width]);

const meanOfTokens = (graph: OnnxGraph, x: string): string =>
  graph.node('ReduceMean', [x], { axes: [1], keepdims: 0 });

/**
 * What a run is given, and the tokens made of it, `[batch, tokens, width]`: `pixel_values`, f32 `[batch, 3, side, side]`. For
 * NaFlex it is as `patchedImages` of `@clipin/nn` gives it: `pixel_values`, f32 `[batch, patches, patch · patch · 3]`,
 * `pixel_attention_mask`, i64 `[batch, patches]`, 0 for padding, and `position_weights`, f32 `[batch, patches, positions]`.
 */
function imageInputs(
  graph: OnnxGraph,
  { imageSize, patchSize, width, naflex, pool }: VisionConfig,
  params: VisionTransformerParams,
): { readonly tokens: string; readonly context: OnnxContext } {
  const { weight, bias } = params.patches;
  if (naflex && pool === 'attention') {
    const [values, places] = [weight.shape[0] as number, params.positions.shape[0] as number];
    const input = (name: string, last: OnnxShape) => graph.input(name, ['batch', 'patches', ...last]);
    const product = graph.node('MatMul', [input('pixel_values', [values]), graph.weight(weight)]);
    const embedded = bias ? graph.node('Add', [product, graph.weight(bias)]) : product;
    const mixed = graph.node('MatMul', [input('position_weights', [places]), graph.weight(params.positions)]);
    const present = graph.input('pixel_attention_mask', ['batch', 'patches'], 'i64');
    const padding = graph.node('Equal', [unsqueeze(graph, present, [1, 2]), graph.integers(0)]);
    return { tokens: graph.node('Add', [embedded, mixed]), context: { mask: hidden(graph, padding) } };
  }
  const images = graph.input('pixel_values', ['batch', 3, imageSize, imageSize]);
  const embedded = patches(graph, images, params.patches, patchSize);
  const sequence = params.classToken ? classFirst(graph, embedded, params.classToken, width) : embedded;
  return { tokens: graph.node('Add', [sequence, graph.weight(params.positions)]), context: {} };
}

/** `[batch, 3, side, side]` → `[batch, patches, width]`: a convolution, whose weight is ours in another order. */
function patches(
  graph: OnnxGraph,
  images: string,
  { weight, bias }: PatchEmbeddingParams,
  patchSize: number,
): string {
  const width = weight.shape[1] as number;
  const kernel = weight.reshape([patchSize, patchSize, 3, width]).transpose([3, 2, 0, 1]);
  const sides = [patchSize, patchSize];
  const map = graph.node(
    'Conv',
    [images, graph.weight(kernel, 'patches.weight'), ...(bias ? [graph.weight(bias)] : [])],
    { kernel_shape: sides, strides: sides },
  );
  return graph.node('Transpose', [reshape(graph, map, [0, width, -1])], { perm: [0, 2, 1] });
}

/** Puts the class token before the patches of every image. */
function classFirst(graph: OnnxGraph, x: string, classToken: Tensor, width: number): string {
  return graph.node('Concat', [repeated(graph, classToken, x, width), x], { axis: 1 });
}

/** One token for each item of the batch of `x`: `[width]` → `[batch, 1, width]`. */
function repeated(graph: OnnxGraph, token: Tensor, x: string, width: number): string {
  const sizes = graph.node('Concat', [sizeOf(graph, x, 0), graph.integers([1, width])], { axis: 0 });
  return graph.node('Expand', [graph.weight(token), sizes]);
}

/** `y = attention(probe; x); y + mlp(ln(y))`: `[batch, tokens, width]` → `[batch, width]`. */
function attentionPool(
  graph: OnnxGraph,
  x: string,
  params: AttentionPoolParams,
  options: OnnxBlockOptions,
  context: OnnxContext,
): string {
  const probe = repeated(graph, params.probe, x, options.width);
  const asked = { ...context, queries: probe, keys: x };
  const y = rows(graph, attention(graph, asked, params.attention, options), options);
  const normal = layerNorm(graph, y, params.ln, options.epsilon);
  return graph.node('Add', [y, mlp(graph, normal, params.mlp, options.activation)]);
}

/** One table of the learned positions; Long-CLIP's are in two. */
function learnedPositions(graph: OnnxGraph, params: TextTransformerParams): string | undefined {
  const { positions, stretchedPositions } = params;
  if (!positions) return undefined;
  const table = graph.weight(positions);
  if (!stretchedPositions) return table;
  const part = (of: string, from: number, to: number) =>
    graph.node('Slice', [of, graph.integers([from]), graph.integers([to]), graph.integers([0])]);
  const rest = part(graph.weight(stretchedPositions), keptPositions, positions.shape[0] as number);
  return graph.node('Concat', [part(table, 0, keptPositions), rest], { axis: 0 });
}

/** What is added to scores so that what is true here is not seen. */
const hidden = (graph: OnnxGraph, condition: string): string =>
  graph.node('Where', [condition, graph.number(Number.NEGATIVE_INFINITY), graph.number(0)]);

/** What is added to scores so that token `i` sees tokens `0…i`: `[tokens, tokens]`. */
function causalMask(graph: OnnxGraph, count: string): string {
  const end = graph.node('Squeeze', [count]);
  const places = graph.node('Range', [graph.integers(0), end, graph.integers(1)]);
  return hidden(graph, graph.node('Greater', [places, unsqueeze(graph, places, [1])]));
}

/** The tables of all positions, cut to as many as there are tokens. */
function rotaryOf(
  graph: OnnxGraph,
  { width, heads, contextLength, rotaryBase }: TextConfig,
  { device }: Tensor,
  upTo: (table: string) => string,
): OnnxRotary {
  const dim = width / heads;
  const options = { ...(rotaryBase !== undefined && { base: rotaryBase }) };
  const { cos, sin } = rotaryTables(contextLength, dim, device, options);
  const table = (x: Tensor, name: string) => upTo(graph.weight(x.reshape([contextLength, dim]), name));
  return { cos: table(cos, 'rotary.cos'), sin: table(sin, 'rotary.sin') };
}

/** The token at one place of every sequence; −1 is the last. */
function queriesAtPlace(graph: OnnxGraph, place: number, { mask, rotary }: OnnxContext): OnnxQueries {
  const at = (x: string, axis: number) => graph.node('Gather', [x, graph.integers([place])], { axis });
  return {
    take: (x) => at(x, 1),
    ...(mask !== undefined && { mask: at(mask, 0) }),
    ...(rotary && { rotary: { cos: at(rotary.cos, 0), sin: at(rotary.sin, 0) } }),
  };
}

/** The end token of every sequence, which is the first with the largest id. */
function queriesAtEnds(graph: OnnxGraph, ids: string, { mask, rotary }: OnnxContext): OnnxQueries {
  const ends = graph.node('ArgMax', [ids], { axis: 1, keepdims: 1, select_last_index: 0 }); // [batch, 1]
  const indices = unsqueeze(graph, ends, [2]);
  // [tokens, any] → [batch, 1, 1, any]: the same for all heads
  const at = (table: string) => unsqueeze(graph, graph.node('Gather', [table, ends], { axis: 0 }), [1]);
  return {
    take: (x) => graph.node('GatherND', [x, indices], { batch_dims: 1 }),
    ...(mask !== undefined && { mask: at(mask) }),
    ...(rotary && { rotary: { cos: at(rotary.cos), sin: at(rotary.sin) } }),
  };
}
