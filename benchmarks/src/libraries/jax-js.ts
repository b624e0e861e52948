/** jax-js, steps under its `jit`. On WebAssembly it has one thread outside browsers; on WebGPU it gets Dawn as a browser's. */
import {
  defaultDevice,
  grad,
  init,
  type Array as JaxArray,
  jit,
  nn,
  numpy as np,
  tree,
  valueAndGrad,
} from '@jax-js/jax';
import {
  type Abilities,
  type Block,
  type Ids,
  inOrder,
  joined,
  type Library,
  type Linear,
  leavesOf,
  mapBlocks,
  mapMlp,
  mapVit,
  type Norm,
  type Problems,
  type Task,
  type Values,
} from '../library';
import { versionOf } from './version';

const place = ({ data, shape }: Values) => np.array(data, { shape: [...shape] });
const placeIds = ({ data, shape }: Ids) => np.array(data, { shape: [...shape] });
// An array is used up by what takes it; `.ref` keeps it for another use.
const read = async (x: JaxArray) => Float32Array.from(await x.ref.data());

/** Starts the backend. */
export async function start({ device }: { device: 'wasm' | 'webgpu' }): Promise<Library> {
  const adapter = device === 'webgpu' ? await (await import('./dawn')).asInBrowser() : 'wasm, 1 thread';
  await init(device);
  defaultDevice(device);
  return { detail: `${versionOf('@jax-js/jax')}, ${adapter}`, abilities };
}

const linear = ({ weight, bias }: Linear<JaxArray>, x: JaxArray) => np.matmul(x, weight).add(bias);
const norm = ({ gain, bias }: Norm<JaxArray>, x: JaxArray) => nn.standardize(x, -1).mul(gain).add(bias);
const gelu = (x: JaxArray) => nn.gelu(x, { approximate: false });
/** Rows of unit length. */
const unit = (x: JaxArray) => x.ref.div(np.sqrt(np.sum(np.square(x), -1, { keepdims: true })));
const quickGelu = (x: JaxArray) => x.ref.mul(nn.sigmoid(x.mul(1.702)));

/** `[batch, tokens, heads, dim]` → the same. Spelt out, since `dotProductAttention` needs Node 22 or a browser. */
function attention(query: JaxArray, key: JaxArray, value: JaxArray): JaxArray {
  const dim = query.shape.at(-1) as number;
  const scores = np.matmul(query.transpose([0, 2, 1, 3]), key.transpose([0, 2, 3, 1]));
  const weights = nn.softmax(scores.mul(dim ** -0.5), -1);
  return np.matmul(weights, value.transpose([0, 2, 1, 3])).transpose([0, 2, 1, 3]);
}

/** `[batch, tokens, width]` → the same. */
function block(p: Block<JaxArray>, x: JaxArray, heads: number, activation = gelu): JaxArray {
  const [batch, tokens, width] = x.shape as [number, number, number];
  const normal = norm(p.ln1, x.ref);
  const inHeads = (map: Linear<JaxArray>) =>
    linear(map, normal.ref).reshape([batch, tokens, heads, width / heads]);
  const { query, key, value, out } = p.attention;
  const attended = attention(inHeads(query), inHeads(key), inHeads(value));
  normal.dispose();
  const y = x.add(linear(out, attended.reshape([batch, tokens, width])));
  const hidden = activation(linear(p.mlp.up, norm(p.ln2, y.ref)));
  return y.add(linear(p.mlp.down, hidden));
}

/** The same function of the same arrays; beside its results, one number of the first. */
function repeated(args: readonly JaxArray[], fn: (...args: JaxArray[]) => JaxArray[]): Task {
  const both = jit((...xs: JaxArray[]): [JaxArray, JaxArray[]] => {
    const results = fn(...xs);
    const first = results[0] as JaxArray;
    return [first.ref.reshape([-1]).slice([0, 1]), results];
  });
  const call = () => both(...args.map((x) => x.ref));
  return {
    async run() {
      const [seen, results] = call();
      const [number] = await seen.data();
      for (const x of results) x.dispose();
      return number as number;
    },
    queue() {
      const [seen, results] = call();
      for (const x of [seen, ...results]) x.dispose();
    },
    async values() {
      const [seen, results] = call();
      seen.dispose();
      return joined(await Promise.all(results.map(async (x) => Float32Array.from(await x.data()))));
    },
  };
}

/** The parameters go about as a list, since jax-js's types do not take trees of a type that is left open. */
function training(
  first: readonly Values[],
  { input, target, learningRate }: { input: Values; target: Values; learningRate: number },
  loss: (params: JaxArray[], input: JaxArray, target: JaxArray) => JaxArray,
): Task {
  const [x, y] = [place(input), place(target)];
  let params = first.map(place);
  const step = jit((p: JaxArray[], xs: JaxArray, ys: JaxArray): [JaxArray, JaxArray[]] => {
    const [value, gradients] = valueAndGrad(loss)(tree.ref(p), xs, ys);
    return [value, p.map((w, i) => w.sub((gradients[i] as JaxArray).mul(learningRate)))];
  });
  return {
    async run() {
      const [value, next] = step(params, x.ref, y.ref);
      params = next;
      return (await value.data())[0] as number;
    },
    queue() {
      const [value, next] = step(params, x.ref, y.ref);
      params = next;
      value.dispose();
    },
    async values() {
      return joined(await Promise.all(params.map(read)));
    },
  };
}

/** Written out, as a tree map under `jit`: its optimizers are in a package that is not published. */
function adamWStep({ params, gradients, settings }: Problems['adamW']): Task {
  const { learningRate, weightDecay, betas, epsilon } = settings;
  let [weights, means, squares] = [
    params.map(place),
    params.map(({ shape }) => np.zeros([...shape])),
    params.map(({ shape }) => np.zeros([...shape])),
  ];
  let powers = np.array([1, 1]);
  const slopes = gradients.map(place);
  type State = [JaxArray[], JaxArray[], JaxArray[], JaxArray];
  const step = jit((p: JaxArray[], m: JaxArray[], v: JaxArray[], t: JaxArray, g: JaxArray[]): State => {
    const next = t.mul(np.array([...betas]));
    const corrections = np.subtract(np.array([1, 1]), next.ref);
    const [first, second] = [corrections.ref.slice(0), corrections.slice(1)];
    const mean = m.map((x, i) => x.mul(betas[0]).add(g[i]!.ref.mul(1 - betas[0])));
    const square = v.map((x, i) => x.mul(betas[1]).add(np.square(g[i]!).mul(1 - betas[1])));
    const updated = p.map((w, i) => {
      const deviation = np.sqrt(square[i]!.ref.div(second.ref)).add(epsilon);
      const direction = mean[i]!.ref.div(first.ref).div(deviation);
      return w.ref.sub(direction.add(w.mul(weightDecay)).mul(learningRate));
    });
    first.dispose();
    second.dispose();
    return [updated, mean, square, next];
  });
  return {
    async run() {
      [weights, means, squares, powers] = step(weights, means, squares, powers, tree.ref(slopes));
      return (await weights[0]!.ref.reshape([-1]).slice([0, 1]).data())[0] as number;
    },
    values: async () => joined(await Promise.all(weights.map(read))),
  };
}

const abilities: Abilities = {
  product: ({ a, b, transposeA, transposeB }) =>
    repeated([place(a), place(b)], (x, y) => [
      np.matmul(transposeA ? np.swapaxes(x!, -1, -2) : x!, transposeB ? np.swapaxes(y!, -1, -2) : y!),
    ]),
  softmax: ({ x }) => repeated([place(x)], (xs) => [nn.softmax(xs!, -1)]),
  layerNorm: ({ x, gain, bias }) =>
    repeated([place(x), place(gain), place(bias)], (xs, g, b) => [norm({ gain: g!, bias: b! }, xs!)]),
  gelu: ({ x }) => repeated([place(x)], (xs) => [gelu(xs!)]),
  crossEntropy({ logits, classes }) {
    const count = logits.shape[1] as number;
    const loss = (xs: JaxArray, ids: JaxArray) =>
      nn.logSoftmax(xs).mul(nn.oneHot(ids, count)).sum(-1).mean().neg();
    return repeated([place(logits), placeIds(classes)], (xs, ids) => {
      const [value, gradient] = valueAndGrad(loss)(xs!, ids!);
      return [value, gradient];
    });
  },
  embedding: ({ table, ids }) => repeated([place(table), placeIds(ids)], (rows, at) => [rows!.slice(at!)]),
  embeddingGradient({ table, ids, gradient }) {
    const weighted = (rows: JaxArray, at: JaxArray, y: JaxArray) => rows.slice(at).mul(y).sum();
    return repeated([place(table), placeIds(ids), place(gradient)], (rows, at, y) => [
      grad(weighted)(rows!, at!, y!),
    ]);
  },
  adamW: adamWStep,
  attention: ({ query, key, value }) =>
    repeated([place(query), place(key), place(value)], (q, k, v) => [attention(q!, k!, v!)]),
  attentionGradient: ({ query, key, value, gradient }) =>
    repeated([place(query), place(key), place(value), place(gradient)], (q, k, v, g) => {
      const weighted = (x: JaxArray[], y: JaxArray) => attention(x[0]!, x[1]!, x[2]!).mul(y).sum();
      const [total, gradients] = valueAndGrad(weighted)([q!, k!, v!], g!);
      total.dispose();
      return gradients;
    }),
  mlpStep(problem) {
    const first = leavesOf<Values, typeof problem.params>(mapMlp, problem.params);
    return training(first, problem, (leaves, x, y) => {
      const { up, down } = mapMlp(problem.params, inOrder(leaves));
      const logits = linear(down, nn.relu(linear(up, x)));
      return nn.logSoftmax(logits).mul(y).sum(-1).mean().neg();
    });
  },
  blockStep(problem) {
    const first = leavesOf<Values, typeof problem.params>(mapBlocks, problem.params);
    return training(first, problem, (leaves, x, y) => {
      const blocks = mapBlocks(problem.params, inOrder(leaves));
      return np.square(blocks.reduce((z, p) => block(p, z, problem.heads), x).sub(y)).mean();
    });
  },
  vit({ params, images, patchSize, heads }) {
    const [batch, side] = images.shape as [number, number];
    const [count, width] = [side / patchSize, params.projection.shape[0] as number];
    const leaves = leavesOf<Values, typeof params>(mapVit, params);
    return repeated([place(images), ...leaves.map(place)], (pictures, ...weights) => {
      const p = mapVit(params, inOrder(weights));
      const patches = pictures!
        .reshape([batch, count, patchSize, count, patchSize, 3])
        .transpose([0, 1, 3, 2, 4, 5])
        .reshape([batch, count * count, patchSize ** 2 * 3]);
      const classTokens = np.broadcastTo(p.classToken.reshape([1, 1, width]), [batch, 1, width]);
      const embedded = np.concatenate([classTokens, np.matmul(patches, p.patches)], 1);
      const tokens = norm(p.lnPre, embedded.add(p.positions));
      const features = p.blocks.reduce((x, own) => block(own, x, heads, quickGelu), tokens);
      return [unit(np.matmul(norm(p.lnPost, features.slice([], 0)), p.projection))];
    });
  },
};
