/**
 * onnxruntime, which computes models and does not train: natively on the processor or on WebGPU, or on WebAssembly. Each
 * work is a model in the ONNX format.
 */
import type { InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-common';
import type { Abilities, Block, Library, Linear, Norm, Problems, Task, Values } from '../library';
import { type Attributes, OnnxGraph } from './onnx-model';
import { versionOf } from './version';

/** Which of its packages and execution providers. */
export interface OnnxruntimeOptions {
  readonly provider: 'cpu' | 'webgpu' | 'wasm';
  readonly threads: number;
}

interface Runtime {
  readonly create: (model: Uint8Array) => Promise<InferenceSession>;
  readonly Tensor: TensorConstructor;
}

/** Loads the package. Sessions are made with the works. */
export async function start({ provider, threads }: OnnxruntimeOptions): Promise<Library> {
  const web = provider === 'wasm';
  const name = web ? 'onnxruntime-web' : 'onnxruntime-node';
  const ort = web ? await import('onnxruntime-web') : await import('onnxruntime-node');
  if (web) ort.env.wasm.numThreads = threads;
  const options: InferenceSession.SessionOptions = {
    executionProviders: [provider],
    ...(!web && { intraOpNumThreads: threads, interOpNumThreads: 1 }),
    logSeverityLevel: 3,
  };
  const runtime: Runtime = {
    create: (model) => ort.InferenceSession.create(model, options),
    Tensor: ort.Tensor,
  };
  const place = provider === 'webgpu' ? 'webgpu' : `${provider}, ${threads} threads`;
  return { detail: `${versionOf(name)}, ${place}`, abilities: abilitiesOn(runtime) };
}

type Inputs = Readonly<Record<string, Tensor>>;

function taskOf(session: InferenceSession, inputs: Inputs): Task {
  const result = async () => {
    const out = (await session.run(inputs))[session.outputNames[0] as string] as Tensor;
    return (await out.getData()) as Float32Array;
  };
  return {
    run: async () => (await result())[0] as number,
    values: async () => Float32Array.from(await result()),
  };
}

function abilitiesOn({ create, Tensor }: Runtime): Abilities {
  /** A task for a graph of these inputs; `build` names the result. */
  async function task(
    given: Readonly<Record<string, Values>>,
    shape: readonly number[],
    build: (graph: OnnxGraph, names: Readonly<Record<string, string>>) => string,
  ): Promise<Task> {
    const graph = new OnnxGraph();
    const names = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, graph.input(name, value.shape)]),
    );
    const model = graph.model(build(graph, names), shape);
    const inputs = Object.fromEntries(
      Object.entries(given).map(([name, { data, shape: dims }]) => [name, new Tensor('float32', data, dims)]),
    );
    return taskOf(await create(model), inputs);
  }
  const ofRows = (op: string, x: Values, attributes: Attributes = {}) =>
    task({ x }, x.shape, (graph, { x: rows = '' }) => graph.node(op, [rows], attributes));

  return {
    product({ a, b, transposeA, transposeB }) {
      const rank = a.shape.length;
      const swap = { perm: [...Array(rank - 2).keys(), rank - 1, rank - 2] };
      const m = a.shape.at(transposeA ? -1 : -2) as number;
      const n = b.shape.at(transposeB ? -2 : -1) as number;
      return task({ a, b }, [...a.shape.slice(0, -2), m, n], (graph, { a: left = '', b: right = '' }) => {
        if (rank === 2)
          return graph.node('Gemm', [left, right], {
            transA: Number(transposeA),
            transB: Number(transposeB),
          });
        const turned = (x: string, is: boolean) => (is ? graph.node('Transpose', [x], swap) : x);
        return graph.node('MatMul', [turned(left, transposeA), turned(right, transposeB)]);
      });
    },
    softmax: ({ x }) => ofRows('Softmax', x, { axis: -1 }),
    layerNorm: ({ x, gain, bias }) =>
      task({ x, gain, bias }, x.shape, (graph, { x: rows = '', gain: g = '', bias: b = '' }) =>
        graph.node('LayerNormalization', [rows, g, b], { axis: -1, epsilon: { float: 1e-5 } }),
      ),
    gelu: ({ x }) => ofRows('Gelu', x),
    embedding({ table, ids }) {
      const graph = new OnnxGraph();
      const [rows, at] = [graph.input('table', table.shape), graph.input('ids', ids.shape, 'i64')];
      const taken = graph.node('Gather', [rows, at], { axis: 0 });
      const model = graph.model(taken, [...ids.shape, table.shape[1] as number]);
      const inputs = {
        table: new Tensor('float32', table.data, table.shape),
        ids: new Tensor('int64', BigInt64Array.from(ids.data, BigInt), ids.shape),
      };
      return create(model).then((session) => taskOf(session, inputs));
    },
    attention: ({ query, key, value }) =>
      task({ query, key, value }, query.shape, (graph, { query: q = '', key: k = '', value: v = '' }) =>
        attention(graph, [q, k, v], query.shape.at(-1) as number),
      ),
    vit: (problem) =>
      task(
        { images: problem.images },
        [problem.images.shape[0] as number, problem.params.projection.shape[1] as number],
        (graph, { images = '' }) => imageTower(graph, images, problem),
      ),
  };
}

/** `[batch, tokens, heads, dim]` → the same. */
function attention(graph: OnnxGraph, [q, k, v]: readonly [string, string, string], dim: number): string {
  const toHeads = (x: string, perm = [0, 2, 1, 3]) => graph.node('Transpose', [x], { perm });
  const scale = graph.weight(Float32Array.of(dim ** -0.5), []);
  const scores = graph.node('MatMul', [toHeads(q), toHeads(k, [0, 2, 3, 1])]);
  const weights = graph.node('Softmax', [graph.node('Mul', [scores, scale])], { axis: -1 });
  return toHeads(graph.node('MatMul', [weights, toHeads(v)]));
}

function imageTower(graph: OnnxGraph, images: string, problem: Problems['vit']): string {
  const { params, patchSize, heads } = problem;
  const [batch, side] = problem.images.shape as [number, number];
  const [count, width] = [side / patchSize, params.projection.shape[0] as number];
  const weight = ({ data, shape }: Values) => graph.weight(data, shape);
  const reshape = (x: string, shape: readonly number[]) => graph.node('Reshape', [x, graph.integers(shape)]);
  const linear = (x: string, p: Linear<Values>) =>
    graph.node('Add', [graph.node('MatMul', [x, weight(p.weight)]), weight(p.bias)]);
  const norm = (x: string, p: Norm<Values>) =>
    graph.node('LayerNormalization', [x, weight(p.gain), weight(p.bias)], {
      axis: -1,
      epsilon: { float: 1e-5 },
    });
  const quickGelu = (x: string) => {
    const factor = graph.weight(Float32Array.of(1.702), []);
    return graph.node('Mul', [x, graph.node('Sigmoid', [graph.node('Mul', [x, factor])])]);
  };
  const tokens = count ** 2 + 1;
  const block = (x: string, p: Block<Values>): string => {
    const normal = norm(x, p.ln1);
    const inHeads = (map: Linear<Values>) =>
      reshape(linear(normal, map), [batch, tokens, heads, width / heads]);
    const { query, key, value, out } = p.attention;
    const attended = attention(graph, [inHeads(query), inHeads(key), inHeads(value)], width / heads);
    const y = graph.node('Add', [x, linear(reshape(attended, [batch, tokens, width]), out)]);
    return graph.node('Add', [y, linear(quickGelu(linear(norm(y, p.ln2), p.mlp.up)), p.mlp.down)]);
  };
  const grid = reshape(images, [batch, count, patchSize, count, patchSize * 3]);
  const turned = graph.node('Transpose', [grid], { perm: [0, 1, 3, 2, 4] });
  const patches = reshape(turned, [batch, count ** 2, patchSize ** 2 * 3]);
  const embedded = graph.node('MatMul', [patches, weight(params.patches)]);
  const classToken = reshape(weight(params.classToken), [1, 1, width]);
  const classTokens = graph.node('Expand', [classToken, graph.integers([batch, 1, width])]);
  const sequence = graph.node('Concat', [classTokens, embedded], { axis: 1 });
  const placed = norm(graph.node('Add', [sequence, weight(params.positions)]), params.lnPre);
  const features = params.blocks.reduce(block, placed);
  const first = graph.node('Gather', [features, graph.integers([0])], { axis: 1 });
  const pooled = norm(reshape(first, [batch, width]), params.lnPost);
  return graph.node('MatMul', [pooled, weight(params.projection)]);
}
