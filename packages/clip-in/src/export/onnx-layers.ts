/**
 * The layers of `@clipin/nn` in operators of ONNX: each takes the parameters of the layer of its name, and computes the same. The
 * towers are put together of them in `onnx-towers.ts`.
 */
import type {
  ActivationName,
  AttentionParams,
  BlockParams,
  LayerNormParams,
  LinearParams,
  MlpParams,
} from '@clipin/nn';
import type { OnnxGraph } from './onnx-graph';

/** Of a transformer's blocks. */
export interface OnnxBlockOptions {
  readonly width: number;
  readonly heads: number;
  readonly activation: ActivationName;
  /** Of the norms. */
  readonly epsilon: number;
}

/** Cosines and signed sines `[tokens, dim]`, as `rotaryTables` of `@clipin/nn` has them. */
export interface OnnxRotary {
  readonly cos: string;
  readonly sin: string;
}

/** What attention takes beside its tokens. */
export interface OnnxContext {
  /** Added to the scores; broadcasts to `[batch, heads, queries, tokens]`. */
  readonly mask?: string;
  readonly rotary?: OnnxRotary;
}

/** The tokens whose features are wanted of the last block, and what belongs to them. */
export interface OnnxQueries {
  /** `[batch, tokens, width]` → `[batch, queries, width]` */
  readonly take: (x: string) => string;
  /** Its rows for these queries. */
  readonly mask?: string;
  readonly rotary?: OnnxRotary;
}

/** Sizes for a `Reshape`: 0 keeps an axis, −1 is what is left. */
export const reshape = (graph: OnnxGraph, x: string, sizes: readonly number[]): string =>
  graph.node('Reshape', [x, graph.integers(sizes)]);

/** Puts in axes of size 1. */
export const unsqueeze = (graph: OnnxGraph, x: string, axes: readonly number[]): string =>
  graph.node('Unsqueeze', [x, graph.integers(axes)]);

/** `x W + b`: `[..., inputs]` → `[..., outputs]`. */
export function linear(graph: OnnxGraph, x: string, { weight, bias }: LinearParams): string {
  const product = graph.node('MatMul', [x, graph.weight(weight)]);
  return bias ? graph.node('Add', [product, graph.weight(bias)]) : product;
}

/** Over the last axis. */
export const layerNorm = (graph: OnnxGraph, x: string, p: LayerNormParams, epsilon: number): string =>
  graph.node('LayerNormalization', [x, graph.weight(p.gain), graph.weight(p.bias)], {
    axis: -1,
    epsilon: { float: epsilon },
  });

/** `x / ‖x‖` over the last axis; a vector of zeros stays one. */
export function l2Normalize(graph: OnnxGraph, x: string): string {
  const length = graph.node('ReduceL2', [x], { axes: [-1], keepdims: 1 });
  return graph.node('Div', [x, graph.node('Max', [length, graph.number(1e-12)])]);
}

/** The activations, of operators that every version has, in the forms that onnxruntime knows to fuse. */
const activations: Readonly<Record<ActivationName, (graph: OnnxGraph, x: string) => string>> = {
  relu: (graph, x) => graph.node('Relu', [x]),
  gelu(graph, x) {
    const erf = graph.node('Erf', [graph.node('Div', [x, graph.number(Math.SQRT2)])]);
    const doubled = graph.node('Mul', [x, graph.node('Add', [erf, graph.number(1)])]);
    return graph.node('Mul', [doubled, graph.number(0.5)]);
  },
  geluTanh(graph, x) {
    const cube = graph.node('Mul', [graph.node('Mul', [x, x]), x]);
    const bent = graph.node('Add', [x, graph.node('Mul', [cube, graph.number(0.044715)])]);
    const tanh = graph.node('Tanh', [graph.node('Mul', [bent, graph.number(Math.sqrt(2 / Math.PI))])]);
    const doubled = graph.node('Mul', [x, graph.node('Add', [tanh, graph.number(1)])]);
    return graph.node('Mul', [doubled, graph.number(0.5)]);
  },
  quickGelu: (graph, x) =>
    graph.node('Mul', [x, graph.node('Sigmoid', [graph.node('Mul', [x, graph.number(1.702)])])]),
  silu: (graph, x) => graph.node('Mul', [x, graph.node('Sigmoid', [x])]),
};

/** `f(x W₁ + b₁) W₂ + b₂` */
export const mlp = (graph: OnnxGraph, x: string, p: MlpParams, activation: ActivationName): string =>
  linear(graph, activations[activation](graph, linear(graph, x, p.up)), p.down);

/** What multi-head attention computes of: tokens that ask, and tokens that are looked at. */
export interface OnnxAsked extends OnnxContext {
  /** `[batch, queries, width]` */
  readonly queries: string;
  /** `[batch, tokens, width]` */
  readonly keys: string;
  /** Rotary positions of the queries, where they are not those of the keys. */
  readonly queryRotary?: OnnxRotary;
}

/** Multi-head attention: `[batch, queries, width]`. */
export function attention(
  graph: OnnxGraph,
  { queries, keys, mask, rotary, queryRotary = rotary }: OnnxAsked,
  p: AttentionParams,
  { width, heads }: Pick<OnnxBlockOptions, 'width' | 'heads'>,
): string {
  const dim = width / heads;
  // The batch may be of any size, and so may be the number of tokens: the first stays (0), the second is what is left.
  const inHeads = (x: string, map: LinearParams, perm: readonly number[]) =>
    graph.node('Transpose', [reshape(graph, linear(graph, x, map), [0, -1, heads, dim])], { perm });
  const byHead = [0, 2, 1, 3];
  const place = (x: string, tables: OnnxRotary | undefined) => (tables ? rotate(graph, x, tables, dim) : x);
  const query = place(inHeads(queries, p.query, byHead), queryRotary);
  const key = rotary
    ? graph.node('Transpose', [place(inHeads(keys, p.key, byHead), rotary)], { perm: [0, 1, 3, 2] })
    : inHeads(keys, p.key, [0, 2, 3, 1]);
  const scaled = graph.node('Mul', [graph.node('MatMul', [query, key]), graph.number(dim ** -0.5)]);
  const scores = mask ? graph.node('Add', [scaled, mask]) : scaled;
  const weights = graph.node('Softmax', [scores], { axis: -1 });
  const seen = graph.node('MatMul', [weights, inHeads(keys, p.value, byHead)]);
  const together = graph.node('Transpose', [seen], { perm: byHead });
  return linear(graph, reshape(graph, together, [0, -1, width]), p.out);
}

/** Rotary positions of `[batch, heads, tokens, dim]`: `x · cos + swapPairs(x) · sin`. */
function rotate(graph: OnnxGraph, x: string, { cos, sin }: OnnxRotary, dim: number): string {
  const swap = graph.integers(Array.from({ length: dim }, (_, i) => i ^ 1));
  const swapped = graph.node('Gather', [x, swap], { axis: -1 });
  return graph.node('Add', [graph.node('Mul', [x, cos]), graph.node('Mul', [swapped, sin])]);
}

/**
 * Pre-norm blocks one after another: `[batch, tokens, width]` → the same, or `[batch, queries, width]` where queries are named,
 * since then the last block computes nothing for other tokens.
 */
export function transformer(
  graph: OnnxGraph,
  x: string,
  blocks: readonly BlockParams[],
  options: OnnxBlockOptions,
  context: OnnxContext = {},
  queries?: OnnxQueries,
): string {
  return blocks.reduce(
    (y, p, i) => block(graph, y, p, options, context, i === blocks.length - 1 ? queries : undefined),
    x,
  );
}

function block(
  graph: OnnxGraph,
  x: string,
  p: BlockParams,
  options: OnnxBlockOptions,
  context: OnnxContext,
  queries?: OnnxQueries,
): string {
  const normal = layerNorm(graph, x, p.ln1, options.epsilon);
  const take = queries?.take ?? ((y: string) => y);
  const { mask = undefined, rotary = undefined } = queries ?? context;
  const asked: OnnxAsked = {
    queries: take(normal),
    keys: normal,
    ...(mask !== undefined && { mask }),
    ...(context.rotary && { rotary: context.rotary }),
    ...(rotary && { queryRotary: rotary }),
  };
  const attended = graph.node('Add', [take(x), attention(graph, asked, p.attention, options)]);
  const normalAgain = layerNorm(graph, attended, p.ln2, options.epsilon);
  return graph.node('Add', [attended, mlp(graph, normalAgain, p.mlp, options.activation)]);
}
