/**
 * onnxruntime, which computes models and does not train: natively on the processor or on WebGPU, or on WebAssembly. Each
 * work is a model in the ONNX format.
 */
import { type OnnxAttributes, OnnxGraph } from 'clip-in';
import type { InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-common';
import type { Abilities, Library, Task, Values } from '../library';
import { versionOf } from './version';

/** Which of its packages and execution providers. */
export interface OnnxruntimeOptions {
  readonly provider: 'cpu' | 'webgpu' | 'wasm';
  readonly threads: number;
}

/** With Gelu and today's Softmax. */
const operatorSet = 20;

interface Runtime {
  /** From its bytes, or from its file. */
  readonly create: (model: Uint8Array | string) => Promise<InferenceSession>;
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
    create: (model) =>
      // Two signatures, of which TypeScript wants to see one.
      typeof model === 'string'
        ? ort.InferenceSession.create(model, options)
        : ort.InferenceSession.create(model, options),
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
    const graph = new OnnxGraph({ operatorSet });
    const names = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, graph.input(name, value.shape)]),
    );
    graph.output('result', build(graph, names), shape);
    const model = await graph.bytes();
    const inputs = Object.fromEntries(
      Object.entries(given).map(([name, { data, shape: dims }]) => [name, new Tensor('float32', data, dims)]),
    );
    return taskOf(await create(model), inputs);
  }
  const ofRows = (op: string, x: Values, attributes: OnnxAttributes = {}) =>
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
    async embedding({ table, ids }) {
      const graph = new OnnxGraph({ operatorSet });
      const [rows, at] = [graph.input('table', table.shape), graph.input('ids', ids.shape, 'i64')];
      const taken = graph.node('Gather', [rows, at], { axis: 0 });
      graph.output('result', taken, [...ids.shape, table.shape[1] as number]);
      const inputs = {
        table: new Tensor('float32', table.data, table.shape),
        ids: new Tensor('int64', BigInt64Array.from(ids.data, BigInt), ids.shape),
      };
      return taskOf(await create(await graph.bytes()), inputs);
    },
    attention: ({ query, key, value }) =>
      task({ query, key, value }, query.shape, (graph, { query: q = '', key: k = '', value: v = '' }) =>
        attention(graph, [q, k, v], query.shape.at(-1) as number),
      ),
    // A path, since a model that has its weights in a second file is found by it.
    vit: async ({ onnx, images }) =>
      taskOf(await create(onnx), { pixel_values: channelsFirst(images, Tensor) }),
  };
}

/** `[batch, tokens, heads, dim]` → the same. */
function attention(graph: OnnxGraph, [q, k, v]: readonly [string, string, string], dim: number): string {
  const toHeads = (x: string, perm = [0, 2, 1, 3]) => graph.node('Transpose', [x], { perm });
  const scale = graph.number(dim ** -0.5);
  const scores = graph.node('MatMul', [toHeads(q), toHeads(k, [0, 2, 3, 1])]);
  const weights = graph.node('Softmax', [graph.node('Mul', [scores, scale])], { axis: -1 });
  return toHeads(graph.node('MatMul', [weights, toHeads(v)]));
}

/** Images `[batch, side, side, 3]` as `[batch, 3, side, side]`. */
function channelsFirst({ shape, data }: Values, Tensor: TensorConstructor): Tensor {
  const [batch, side] = shape as [number, number];
  const area = side ** 2;
  const planes = new Float32Array(data.length);
  for (let image = 0; image < batch; image++)
    for (let pixel = 0; pixel < area; pixel++)
      for (let channel = 0; channel < 3; channel++)
        planes[(3 * image + channel) * area + pixel] = data[3 * (image * area + pixel) + channel] as number;
  return new Tensor('float32', planes, [batch, 3, side, side]);
}
