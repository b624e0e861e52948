/** clip-in from the workspace's sources: on WebAssembly with so many threads, or on WebGPU. */
import { valueAndGrad, vjp } from '@clipin/autograd';
import { gelu, layerNorm, mlp, relu, transformerBlock } from '@clipin/nn';
import { adamW, applyUpdates } from '@clipin/optim';
import {
  attention,
  evaluate,
  init,
  jit,
  leaves,
  logSoftmax,
  mapTree,
  oneHot,
  softmax,
  type Tensor,
  tensor,
} from '@clipin/tensor';
import { imageTower } from 'clip-in';
import {
  type Abilities,
  type Ids,
  joined,
  type Library,
  mapBlocks,
  mapMlp,
  mapVit,
  type Problems,
  type Task,
  type Values,
} from '../library';
import { clipInStep } from './clip-in-step';

/** Which device. `blas` as `init` takes it, where there is a choice. */
export interface ClipInOptions {
  readonly device: 'wasm' | 'webgpu' | 'reference';
  readonly threads?: number;
  readonly blas?: boolean;
}

/** Starts the device. */
export async function start(options: ClipInOptions): Promise<Library> {
  const { description } = await init(options);
  return { detail: description, abilities };
}

const place = ({ data, shape }: Values | Ids): Tensor => tensor(data, [...shape]);
const placeHalf = ({ data, shape }: Values): Tensor => tensor(data, [...shape], { dtype: 'f16' });
const read = async (x: Tensor) => Float32Array.from(await x.data());
const corner = (x: Tensor) => x.slice(...x.shape.map((): [number, number] => [0, 1])).reshape([]);

/** The same function of the same tensors, again and again. Results come one after another in `values`. */
function repeated<A extends readonly Tensor[]>(args: A, fn: (...args: A) => Tensor[]): Task {
  const both = jit((...xs: A) => {
    const results = fn(...xs);
    return { results, seen: corner(results[0] as Tensor) };
  });
  const all = ({ results, seen }: ReturnType<typeof both>) => [...results, seen];
  return {
    async run() {
      const out = both(...args);
      const number = await out.seen.item();
      for (const x of all(out)) x.dispose();
      return number;
    },
    queue() {
      for (const x of all(both(...args))) x.dispose();
    },
    async values() {
      return joined(await Promise.all(both(...args).results.map(read)));
    },
  };
}

/** Gradient descent on a tree of parameters. */
function training<P>(
  first: P,
  loss: (params: P, input: Tensor, target: Tensor) => Tensor,
  { input, target, learningRate }: { input: Values; target: Values; learningRate: number },
): Task {
  const [x, y] = [place(input), place(target)];
  let params = evaluate(first);
  const step = jit(
    (p: P, xs: Tensor, ys: Tensor) => {
      const [value, gradients] = valueAndGrad(loss)(p, xs, ys);
      return { value, params: mapTree((w, g) => w.sub((g as Tensor).mul(learningRate)), p, gradients) };
    },
    { donate: [0] },
  );
  const next = () => {
    const result = step(params, x, y);
    params = result.params;
    return result.value;
  };
  return {
    async run() {
      using value = next();
      return value.item();
    },
    queue: () => next().dispose(),
    values: () => readAll(params),
  };
}

const readAll = async (tree: unknown) =>
  joined(await Promise.all(leaves(tree).map((leaf) => read(leaf.tensor))));

function adamWStep({ params, gradients, settings }: Problems['adamW']): Task {
  const { learningRate, weightDecay, betas, epsilon } = settings;
  const rule = adamW({ learningRate, weightDecay, b1: betas[0], b2: betas[1], epsilon });
  let weights = params.map(place);
  const slopes = gradients.map(place);
  let state = evaluate(rule.init(weights));
  const step = jit(
    (p: Tensor[], s: typeof state, g: Tensor[]) => {
      const [updates, next] = rule.update(g, s, p);
      const updated = applyUpdates(p, updates);
      return { updated, next, seen: corner(updated[0] as Tensor) };
    },
    { donate: [0, 1] },
  );
  const next = () => {
    const result = step(weights, state, slopes);
    [weights, state] = [result.updated, result.next];
    return result.seen;
  };
  return {
    async run() {
      using seen = next();
      return seen.item();
    },
    queue: () => next().dispose(),
    values: () => readAll(weights),
  };
}

const product = ({ transposeA, transposeB }: Problems['product'], a: Tensor, b: Tensor): Task =>
  repeated([a, b], (x, y) => [
    (transposeA ? x.swapAxes(-1, -2) : x).matmul(transposeB ? y.swapAxes(-1, -2) : y),
  ]);

const abilities: Abilities = {
  product: (problem) => product(problem, place(problem.a), place(problem.b)),
  halfProduct: (problem) =>
    product(problem, (problem.halves === 'both' ? placeHalf : place)(problem.a), placeHalf(problem.b)),
  softmax: ({ x }) => repeated([place(x)], (xs) => [softmax(xs)]),
  layerNorm({ x, gain, bias }) {
    const layer = layerNorm(gain.data.length);
    return repeated([place(x), place(gain), place(bias)], (xs, g, b) => [
      layer.apply({ gain: g, bias: b }, xs),
    ]);
  },
  gelu: ({ x }) => repeated([place(x)], (xs) => [gelu(xs)]),
  crossEntropy({ logits, classes }) {
    const count = logits.shape[1] as number;
    const loss = (xs: Tensor, ids: Tensor) => logSoftmax(xs).mul(oneHot(ids, count)).sum(-1).mean().neg();
    return repeated([place(logits), place(classes)], (xs, ids) => valueAndGrad(loss)(xs, ids));
  },
  embedding: ({ table, ids }) => repeated([place(table), place(ids)], (rows, at) => [rows.gather(at)]),
  embeddingGradient: ({ table, ids, gradient }) =>
    repeated([place(table), place(ids), place(gradient)], (rows, at, g) => [
      vjp((t: Tensor) => t.gather(at), rows)[1](g)[0],
    ]),
  adamW: adamWStep,
  attention: ({ query, key, value }) =>
    repeated([place(query), place(key), place(value)], (q, k, v) => [attention(q, k, v).result]),
  attentionGradient: ({ query, key, value, gradient }) =>
    repeated([place(query), place(key), place(value), place(gradient)], (q, k, v, g) =>
      vjp((x: Tensor, y: Tensor, z: Tensor) => attention(x, y, z).result, q, k, v)[1](g),
    ),
  mlpStep(problem) {
    const { up, down } = problem.params;
    const [inputs, hidden] = up.weight.shape as readonly [number, number];
    const model = mlp({ inputs, hidden, outputs: down.bias.data.length, activation: relu });
    return training(
      mapMlp(problem.params, place),
      (p, x, y) => logSoftmax(model.apply(p, x)).mul(y).sum(-1).mean().neg(),
      problem,
    );
  },
  blockStep(problem) {
    const width = problem.input.shape.at(-1) as number;
    const block = transformerBlock({ width, depth: problem.params.length, heads: problem.heads });
    return training(
      mapBlocks(problem.params, place),
      (params, x, y) =>
        params
          .reduce((z, p) => block.apply(p, z), x)
          .sub(y)
          .square()
          .mean(),
      problem,
    );
  },
  vit({ params, images, patchSize, heads }) {
    const [width, outputs] = params.projection.shape as readonly [number, number];
    const imageSize = images.shape[1] as number;
    const depth = params.blocks.length;
    const sizes = { imageSize, patchSize, width, depth, heads };
    const tower = imageTower({ ...sizes, activation: 'quickGelu', pool: 'class' }, outputs);
    const { patches, ...others } = mapVit(params, place);
    const weights = { patches: { weight: patches }, ...others };
    const apply = jit((p: typeof weights, x: Tensor) => {
      const result = tower.apply(p, x);
      return { result, seen: corner(result) };
    });
    const pictures = place(images);
    const next = () => {
      const { result, seen } = apply(weights, pictures);
      result.dispose();
      return seen;
    };
    return {
      async run() {
        using seen = next();
        return await seen.item();
      },
      queue: () => next().dispose(),
      values: async () => read(apply(weights, pictures).result),
    };
  },
  clipInStep,
};
